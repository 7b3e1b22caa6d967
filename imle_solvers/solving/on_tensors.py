"""Solving by an adapter that takes tensors, on the device where they are."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imle_solvers.adapter import Context, SolverAdapter, not_finite
from imle_solvers.errors import AdapterError, InputError
from imle_solvers.executors.chunk import check_codes
from imle_solvers.status import Status

StatusArray = NDArray[np.uint8]


def solve_tensors(adapter: SolverAdapter, thetas: Tensor, context: Context) -> tuple[Tensor, StatusArray]:
    """Solves (N, *instance_shape), all finite, in one call of the adapter.

    Returns:
        Solutions, (N, *solution_shape), of theta's dtype and device, and the codes of their statuses.

    Raises:
        InputError: the adapter's.
        AdapterError: the adapter raised anything else, or returned what is no solution.
    """
    try:
        with _no_autocast(thetas.device.type):
            result = adapter.solve_tensors(thetas, context)
    except InputError:
        raise
    except Exception as error:
        raise AdapterError(f"{adapter!r} failed: {type(error).__name__}: {error}") from error
    return _checked_tensors(adapter, thetas, result)


def _checked_tensors(adapter: SolverAdapter, thetas: Tensor, result: Any) -> tuple[Tensor, StatusArray]:
    """What a solver on tensors returned, as solutions of theta's dtype and device, and statuses."""
    values, statuses = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    expected = (len(thetas), *adapter.solution_shape)
    if not isinstance(values, Tensor) or values.shape != expected:
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise AdapterError(f"{adapter!r}: expected a tensor of solutions of shape {expected}, got {got}")
    if values.is_complex():
        raise AdapterError(f"{adapter!r}: expected solutions of real numbers, got {values.dtype}")
    values, codes = values.to(thetas), _codes(adapter, statuses, len(thetas))
    if not bool(values.sum().isfinite()):  # one pass without a temporary; it may be that only the sum is too large
        finite = values.isfinite().reshape(len(thetas), -1).all(1)
        wrong = (~finite).cpu().numpy() & (codes <= Status.FEASIBLE)
        if wrong.any():
            row = int(wrong.argmax())
            entry = tuple((~values[row].isfinite()).nonzero()[0].tolist())
            raise AdapterError(not_finite(adapter, values[row][entry].item(), entry, codes[row]), row)
    return values, codes


def _codes(adapter: SolverAdapter, statuses: Any, rows: int) -> StatusArray:
    """The statuses that a solver on tensors returned; None: all OPTIMAL."""
    if statuses is None:
        return np.zeros(rows, np.uint8)
    codes = torch.as_tensor(statuses).cpu().numpy()
    if codes.shape != (rows,):
        raise AdapterError(f"{adapter!r}: expected {rows} codes of Status, got statuses of shape {codes.shape}")
    if isinstance(statuses, list | tuple) and any(isinstance(status, bool) for status in statuses):
        codes = codes.astype(bool)  # as which they would be refused without a number among them
    check_codes(adapter, codes)
    return codes.astype(np.uint8)


def _no_autocast(device: str) -> AbstractContextManager[Any]:
    """Autocast rounds in the forward pass only, whose solutions would then differ from those of the backward pass."""
    # Older versions of PyTorch refuse to turn it off where they have none.
    return torch.autocast(device, enabled=False) if device in ("cpu", "cuda") else nullcontext()
