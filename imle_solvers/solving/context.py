"""The context of a call: what callers pass with theta, checked, in the form that the adapter takes."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imle_solvers.adapter import Context, Parallelism, SolverAdapter


def prepare_context(
    adapter: SolverAdapter, context: Mapping[str, Any], batch: int, device: torch.device, *, single: bool = False
) -> Context:
    """The context of a call in the form that its adapter takes: tensors on theta's device, or numpy arrays.

    Args:
        adapter: the adapter, which declares names and shapes.
        context: tensors, arrays or nested lists with a leading axis of `batch`. Without it, where the adapter says the
            shape, they hold for all instances.
        batch: B.
        device: of theta.
        single: whether context came with a single theta, and has no such axis.

    Raises:
        TypeError: values that are no numbers.
        ValueError: a name that the adapter does not take, a wrong shape, or values that ask for a gradient.
    """
    unknown = [name for name in context if name not in adapter.context]
    if unknown:
        takes = ", ".join(adapter.context) or "no context"
        raise ValueError(f"{adapter!r} does not take {', '.join(unknown)} as context; it takes {takes}")
    prepared: dict[str, Any] = {}
    for name, values in context.items():
        if torch.is_grad_enabled() and isinstance(values, Tensor) and values.requires_grad:
            raise ValueError(
                f"context {name!r} asks for a gradient, but layers differentiate theta alone: detach() it, or see "
                '"Learning a constraint" in docs/programs.md'
            )
        tensor = context_tensor(name, values)
        shape = adapter.context[name]
        if tensor.shape == shape or (single and shape is None):
            tensor = tensor.expand(batch, *tensor.shape)
        if tensor.ndim == 0 or len(tensor) != batch or (shape is not None and tensor.shape[1:] != shape):
            expected = (
                f"({batch}, ...), an entry for each instance"
                if shape is None
                else f"{(batch, *shape)}, or {shape} for all instances"
            )
            raise ValueError(f"context {name!r}: expected shape {expected}, got {tuple(tensor.shape)}")
        if adapter.parallelism is Parallelism.DEVICE:
            prepared[name] = tensor.to(device)
        elif tensor.dtype == torch.bfloat16:  # numpy has none
            prepared[name] = tensor.float().cpu().numpy()
        else:
            prepared[name] = tensor.cpu().numpy()
    return prepared


def context_tensor(name: str, values: Any) -> Tensor:
    """Context that a caller passed as `name`, as a tensor.

    Raises:
        TypeError: it is not made of numbers.
    """
    if isinstance(values, Tensor):
        return values.detach()
    try:
        return torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError):
        advice = "; leave it out where there is none" if values is None else ""
        raise TypeError(
            f"context {name!r}: expected a tensor, or an array or lists of numbers, got {reprlib.repr(values)}{advice}"
        ) from None
