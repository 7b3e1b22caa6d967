"""The target distribution of I-MLE."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Target:
    """theta' = alpha * theta - beta * dL/dz, in max form (I-MLE paper, section 3.2).

    Args:
        alpha: 1 for perturbation-based implicit differentiation, 0 for a target made of the gradient alone.
        beta: the step against the downstream gradient, lambda in the paper. Too small and both solves agree, so the
            gradient is zero; too large and the target forgets theta.

    Raises:
        ValueError: `alpha` or `beta` not finite, or `beta` not positive.
    """

    alpha: float = 1.0
    beta: float = 10.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.alpha):
            raise ValueError(f"Target: alpha must be finite, got {self.alpha}")
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(f"Target: beta must be positive and finite, got {self.beta}")

    def __call__(self, scores: Tensor, dz: Tensor) -> Tensor:
        """The target's scores.

        Args:
            scores: (B, 1, *instance_shape), the natural parameters in max form.
            dz: (B, S, *instance_shape), the gradient of the loss in each sample.
        """
        return self.alpha * scores - self.beta * dz
