"""What losses share: inner products, means over what was solved, checks of layers and targets."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from imle_solvers.estimators.base import Solved
from imle_solvers.layer import SolverLayer

Reduction = Literal["mean", "sum", "none"]


def inner(one: Tensor, other: Tensor) -> Tensor:
    """(B, M, *shape) twice -> (B, M): inner products."""
    product = one * other
    return product.reshape(*product.shape[:2], math.prod(product.shape[2:])).sum(2)


def mean_of_solved(values: Tensor, solved: Solved) -> Tensor:
    """(B, M, *shape) -> (B, *shape): the mean over draws, with zeros for those that failed."""
    if solved.ok is not None:
        values = torch.where(solved.ok.reshape(*solved.ok.shape, *(1 for _ in values.shape[2:])), values, 0.0)
    return values.mean(1)


def check_layer(loss: str, layer: Any) -> None:
    """Raises `TypeError` unless a loss was given a layer."""
    if not isinstance(layer, SolverLayer):
        raise TypeError(f"{loss}: expected a SolverLayer, got {layer!r}; make one by SolverLayer(adapter)")


def check_shapes(loss: str, layer: SolverLayer) -> None:
    """Raises `ValueError` unless solutions have theta's shape."""
    shapes = layer.adapter.instance_shape, layer.adapter.solution_shape
    if shapes[0] != shapes[1]:
        raise ValueError(f"{loss}: expected solutions of theta's shape {shapes[0]}, got {shapes[1]}")


def check_target(theta: Tensor, target: Tensor, name: str = "target") -> None:
    """Raises `ValueError` unless a target has theta's shape."""
    if not isinstance(target, Tensor) or target.shape != theta.shape:
        got = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
        raise ValueError(f"{name}: expected a tensor of theta's shape {tuple(theta.shape)}, got {got}")


def checked_reduction(reduction: Reduction) -> Reduction:
    """The reduction; raises `ValueError` for an unknown one."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction: expected one of {', '.join(get_args(Reduction))}, got {reduction!r}")
    return reduction


def reduce(losses: Tensor, reduction: Reduction, single: bool) -> Tensor:
    """Losses, (B,), as the reduction says; without B for a single theta."""
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    return losses.mean() if reduction == "mean" else losses.sum()
