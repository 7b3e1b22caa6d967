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
        raise TypeError(
            f"{loss}: expected a SolverLayer, got {layer!r}; make one by SolverLayer(adapter); JAX and Keras have "
            "losses of their own, in imle_solvers.jax and imle_solvers.keras"
        )


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


def check_entries(solutions: Tensor, name: str, advice: str) -> None:
    """Raises `ValueError` for entries that no mean of solutions of zeros and ones has."""
    off = ((solutions - 0.5).abs() > 0.5 + 1e-4) | ~solutions.isfinite()
    refuse(off, solutions, f"{name}: expected entries from 0 to 1", advice)


def paired(loss: str, layer: SolverLayer, solutions: Tensor, other: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Solutions, and what is known of their instances, as rows: (..., n) both, which broadcast.

    Args:
        loss: its name.
        layer: whose adapter knows the shape of a solution.
        solutions: (*lead, *solution_shape), where lead is (B,), (B, S), (S,) or ().
        other: (*lead, *solution_shape), or without lead's last axis: one for all samples of an instance.
        name: of `other`.

    Raises:
        ValueError: other shapes.
    """
    shape = layer.adapter.solution_shape
    given = [tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__ for each in (solutions, other)]
    axes = solutions.ndim - len(shape) if isinstance(solutions, Tensor) else -1
    if not 0 <= axes <= 2 or solutions.shape[axes:] != shape:
        expected = f"(B, {', '.join(map(str, shape))})" if shape else "(B,)"
        raise ValueError(f"{loss}: expected solutions of shape {expected}, or with an axis of samples, got {given[0]}")
    lead = tuple(solutions.shape[:axes])
    if given[1] not in {(*lead, *shape), (*lead[:-1], *shape)}:
        raise ValueError(
            f"{loss}: expected {name} of the solutions' shape {given[0]}"
            + (f", or {(*lead[:-1], *shape)} for all samples of an instance" if lead else "")
            + f", got {given[1]}"
        )
    entries = math.prod(shape)
    rows = other.reshape(*other.shape[: other.ndim - len(shape)], entries)
    return solutions.reshape(*lead, entries), rows if other.shape == solutions.shape else rows.unsqueeze(-2)


def checked_reduction(reduction: Reduction) -> Reduction:
    """The reduction; raises `ValueError` for an unknown one."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction: expected one of {', '.join(get_args(Reduction))}, got {reduction!r}")
    return reduction


def reduce(losses: Tensor, reduction: Reduction, single: bool) -> Tensor:
    """Losses, (B,) or (B, S), as the reduction says; without B for a single theta."""
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    return losses.mean() if reduction == "mean" else losses.sum()


def refuse(wrong: Tensor, values: Tensor, expected: str, advice: str) -> None:
    """Raises `ValueError` for the first entry that is wrong, naming its instance."""
    if bool(wrong.any()):
        instance, *entry = wrong.nonzero()[0].tolist()
        value = values[(instance, *entry)].item()
        where = f" at {tuple(entry)}" if entry else ""
        raise ValueError(f"{expected}, got {value:.6g} in instance {instance}{where}; {advice}")
