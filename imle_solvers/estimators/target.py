"""The target distributions of I-MLE. Any function of scores and downstream gradient will do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imle_solvers.arguments import explain_arguments, is_finite
from imle_solvers.estimators.relative import Relative, direction, magnitude


@explain_arguments()
@dataclass(frozen=True)
class Target:
    """theta' = alpha * theta - beta * dL/dz, in max form (I-MLE paper, section 3.2).

    Args:
        alpha: 1 for perturbation-based implicit differentiation, 0 for a target made of the gradient alone.
        beta: the step against the downstream gradient, lambda in the paper. Too small and both solves agree, so the
            gradient is zero; too large and the target forgets theta. A number multiplies the gradient of the loss as
            the loss is reduced: for the same step, a mean over a batch of B takes a beta B times that of a sum.
            `Relative(share)`: lambda = share * ||theta|| / ||dL/dz|| for each sample, whatever the reduction.

    Raises:
        ValueError: `alpha` or `beta` not finite, or `beta` not positive.
    """

    alpha: float = 1.0
    beta: float = 10.0

    def __post_init__(self) -> None:
        if not is_finite(self.alpha):
            raise ValueError(f"Target: alpha must be finite, got {self.alpha!r}")
        if not (is_finite(self.beta) and self.beta > 0):
            raise ValueError(f"Target: beta must be positive and finite, got {self.beta!r}")

    def __call__(self, scores: Tensor, dz: Tensor) -> Tensor:
        """The target's scores.

        Args:
            scores: (B, 1, *instance_shape), the natural parameters in max form.
            dz: (B, S, *instance_shape), the gradient of the loss in each sample.
        """
        if isinstance(self.beta, Relative):
            step = direction(dz, 2).mul_(-self.beta * magnitude(scores, 2))
            return step.add_(scores if self.alpha == 1 else self.alpha * scores)
        return torch.sub(scores if self.alpha == 1 else self.alpha * scores, dz, alpha=self.beta)


@explain_arguments()
@dataclass(frozen=True)
class HammingTarget:
    """theta'_i = -scale * dL/dz_i where that is not zero, else theta_i, in max form (I-MLE paper, Eq. 14).

    For 0/1 solutions and losses such as Hamming's, whose gradient in an entry says which value the entry should have.

    Args:
        scale: of the gradient, 1 in the paper.

    Raises:
        ValueError: `scale` not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (is_finite(self.scale) and self.scale > 0):
            raise ValueError(f"HammingTarget: scale must be positive and finite, got {self.scale!r}")

    def __call__(self, scores: Tensor, dz: Tensor) -> Tensor:
        """The target's scores, see `Target`."""
        return torch.where(dz != 0, -self.scale * dz, scores)
