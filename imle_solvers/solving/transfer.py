"""Tensors to arrays and back, where torch and numpy meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imle_solvers.adapter import FloatArray


def to_host(thetas: Tensor) -> FloatArray:
    """The tensor as an array; a copy where it is on another device, else the same memory.

    From a GPU by way of pinned memory, on a stream of its own: it waits for what makes theta, and for nothing that is
    queued on other streams, and the copy runs at the full speed of the bus.
    """
    if thetas.device.type == "cpu":
        return thetas.detach().numpy()
    if not thetas.is_cuda:
        return thetas.detach().cpu().numpy()
    thetas = thetas.detach().contiguous()
    host = torch.empty(thetas.shape, dtype=thetas.dtype, pin_memory=True)
    side = torch.cuda.Stream(thetas.device)
    side.wait_stream(torch.cuda.current_stream(thetas.device))
    with torch.cuda.stream(side):
        host.copy_(thetas, non_blocking=True)
    thetas.record_stream(side)
    side.synchronize()
    return host.numpy()


def to_device(values: NDArray[Any], like: Tensor) -> Tensor:
    """The array as a tensor of the dtype and on the device of another; the same memory where it can be.

    To a GPU by way of pinned memory, which PyTorch keeps until the copy is done, so that nobody waits for it.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if not like.is_cuda:
        return tensor.to(like)
    return tensor.pin_memory().to(like, non_blocking=True)
