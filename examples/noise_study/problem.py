"""The toy problem of the I-MLE paper (section 6.1): the subset of 5 of 10 that lies nearest to a vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from examples.noise_study.subsets import enumerate_subsets, probabilities

N, K = 10, 5

UNTRAINED, RANDOM = "untrained", "random subset"
"""In place of a method: before any step; a subset drawn at random."""


@dataclass(frozen=True)
class Problem:
    """Minimise over theta the expectation of |z - b|^2, where z is a subset of k of n drawn from p(z; theta).

    Attributes:
        theta: (n,) where to begin.
        b: (n,) what to come near to.
        subsets: (C, n), all that z can be.
        losses: (C,) theirs.
    """

    theta: Tensor
    b: Tensor
    subsets: Tensor
    losses: Tensor

    @property
    def k(self) -> int:
        """How many entries a subset has."""
        return int(self.subsets[0].sum())

    @property
    def least(self) -> float:
        """The loss of the best subset."""
        return float(self.losses.min())

    def loss(self, z: Tensor) -> Tensor:
        """|z - b|^2, (...), of z, (..., n)."""
        return ((z - self.b.to(z)) ** 2).sum(-1)

    def gap(self, theta: Tensor, temperature: float = 1.0) -> Tensor:
        """By how much the expected loss, exactly, is above that of the best subset: (...), of theta, (..., n)."""
        return probabilities(theta.double(), self.subsets, temperature) @ self.losses - self.least

    def found(self, theta: Tensor) -> Tensor:
        """Whether the best subset is the most probable one: (...) bool, of theta, (..., n)."""
        return (theta.double() @ self.subsets.T).argmax(-1) == self.losses.argmin()


def make_problem(seed: int, device: torch.device | str = "cpu") -> Problem:
    """A problem: theta is normal, b the absolute value of a normal. That of seed 0 is the published one."""
    generator = np.random.RandomState(seed % 2**32)  # whose stream is the published one, in every version of NumPy
    theta, b = (torch.from_numpy(generator.randn(N)).to(device) for _ in range(2))
    subsets = enumerate_subsets(N, K).to(device)
    b = b.abs()
    return Problem(theta, b, subsets, ((subsets - b) ** 2).sum(1))
