"""A row of the table: a batch, those who take a training step on it, and the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from comparison.loops import Array
from imle_solvers import SolverLayer

OURS = "imle-solvers"


@dataclass(frozen=True)
class Contender:
    """One way to take a step.

    Attributes:
        forward: (b, *shape) -> (b, *shape) or (b, S, *shape), differentiable; what has no gradient has no backward.
        solve: (N, *shape) thetas as they reach the solver -> their solutions; None where there is only noise.
        layer: ours, whose counts say how many solves were skipped.
        generator: of the noise; None: it cannot be told.
    """

    forward: Callable[[Tensor], Tensor]
    solve: Callable[[Array], Array] | None = None
    layer: SolverLayer | None = None
    generator: Generator | None = None

    def step(self, thetas: Tensor, weights: Tensor) -> None:
        """Forward, and backward of a loss that is linear in the solutions.

        Args:
            thetas: (b, *shape).
            weights: (b, *shape), the loss's gradient in every sample.
        """
        theta = thetas.clone().requires_grad_()
        z = self.forward(theta)
        if z.requires_grad:
            z.backward(weights if z.ndim == weights.ndim else weights.unsqueeze(1).expand_as(z))

    def close(self) -> None:
        """Ends the workers of a layer; those of others end with their objects."""
        if self.layer is not None:
            self.layer.close()


@dataclass(frozen=True)
class Problem:
    """A batch and its contenders.

    Attributes:
        thetas: (B, *shape), natural costs or scores.
        contenders: by name, what makes them; ours is first.
        weights: (B, *shape), of the linear loss: standard normal, so that hardly any target's solution is known.
    """

    thetas: Tensor
    contenders: Mapping[str, Callable[[], Contender]]
    weights: Tensor = field(init=False)

    def __post_init__(self) -> None:
        weights = torch.randn(self.thetas.shape, generator=torch.Generator().manual_seed(1))
        object.__setattr__(self, "weights", weights)


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        key: its name on the command line.
        title: what is solved.
        batch: B.
        make: the problem for a batch of that size.
        target: how many times longer the best of `against` takes, at least; or, `at_most`, how many times longer
            ours takes than it, shared evenly by all cores.
        against: names of contenders.
        at_most: see `target`.
    """

    key: str
    title: str
    batch: int
    make: Callable[[int], Problem]
    target: float
    against: tuple[str, ...]
    at_most: bool = False
