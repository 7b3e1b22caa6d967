"""What theta must be, and whose fault it is where it is not."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from imle_solvers.adapter import SolverAdapter
from imle_solvers.pytorch.transforms import check_values

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_tensor(theta: Any) -> None:
    """Raises unless theta is a tensor of a floating dtype of at least 16 bits.

    Raises:
        TypeError: it is not.
        RuntimeError: solvers cannot read it, see `check_values`.
    """
    if not isinstance(theta, Tensor):
        raise TypeError(
            f"theta: expected a torch.Tensor, got {type(theta).__name__}; make one by torch.as_tensor(theta)"
        )
    check_values(theta)
    if theta.dtype not in _DTYPES:
        raise TypeError(
            f"theta: expected a floating dtype of at least 16 bits, got {theta.dtype}; convert it with theta.float()"
        )


def is_single(theta: Any, adapter: SolverAdapter) -> bool:
    """Whether theta is that of a single instance, and not of a batch.

    Raises:
        TypeError, RuntimeError: see `check_tensor`.
        ValueError: it has the shape of neither.
    """
    check_tensor(theta)
    shape = adapter.instance_shape
    single: bool = theta.shape == shape
    if not single and (theta.ndim == 0 or theta.shape[1:] != shape):
        raise wrong_shape(tuple(theta.shape), adapter)
    return single


def wrong_shape(got: tuple[int | None, ...], adapter: SolverAdapter) -> ValueError:
    """What is raised of theta of this shape, whose sides may be unknown."""
    shape = adapter.instance_shape
    batched = "(B,)" if shape == () else f"(B, {', '.join(map(str, shape))})"
    return ValueError(f"theta: expected shape {batched} or {shape} for {adapter!r}, got {got}")


def check_finite(theta: Tensor, adapter: SolverAdapter) -> None:
    """Raises `ValueError` for NaN or infinity, naming the instance, and how the adapter is told to rule entries out.

    Args:
        theta: (B, *instance_shape).
        adapter: the adapter.
    """
    finite = theta.isfinite()
    if not bool(finite.all()):
        instance, *entry = (~finite).nonzero()[0].tolist()
        value = theta[(instance, *entry)].item()
        worst = math.inf if adapter.sense == "min" else -math.inf
        advice = f"rule entries out by {adapter.exclusion}, or " if value == worst and adapter.exclusion else ""
        raise ValueError(
            f"theta: expected finite values, got {value} in instance {instance} at {tuple(entry)}; {advice}check the "
            "network that predicts theta"
        )
