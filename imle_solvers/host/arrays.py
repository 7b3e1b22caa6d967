"""Arrays to tensors and back, bfloat16 included, of which numpy knows no more than its width."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
"""Of theta."""


def to_tensor(array: Array) -> Tensor:
    """The array as a tensor, which nobody else writes to; of the same memory where that may be written to."""
    array = np.ascontiguousarray(array)
    if not array.flags.writeable:  # a front end's own
        array = array.copy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_array(tensor: Tensor, dtype: np.dtype[Any]) -> Array:
    """The tensor, in the dtype given, as an array."""
    tensor = tensor.detach().to(DTYPES[dtype.name]).contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(dtype)
    return tensor.numpy()


def computed_in(dtype: str) -> str:
    """The dtype that theta of this one is computed in: half precision in float32, as by the layer."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def stand_in(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of that shape which takes no memory, for checks of shapes before there are values."""
    return torch.zeros((), dtype=dtype).expand(shape)
