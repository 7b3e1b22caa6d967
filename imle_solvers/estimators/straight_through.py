"""Estimators that treat the solver as the identity in the backward pass, for no solve at all."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from imle_solvers.arguments import explain_arguments
from imle_solvers.estimators.base import Sampling, Saved, Solve
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP, like
from imle_solvers.noise.distributions import Noise

Projection = Literal["mean", "norm", "standardize"]


@explain_arguments()
class StraightThrough(PerturbAndMAP):
    """Samples forward, dL/dz as it is backward (Bengio, Leonard, Courville 2013, arXiv 1308.3432).

    Backward, in max form: sum_s dL/dz_s. Samples whose solve failed give nothing.

    Args:
        noise: see `IMLE`.
        noise_temperature: tau, 0 or more, or `Relative`; None: as of `IMLE`.
        num_marginal_samples: see `IMLE`.
    """

    def __init__(
        self,
        noise: Noise | Literal["auto"] | None = "auto",
        *,
        noise_temperature: float | None = None,
        num_marginal_samples: int = 1,
    ) -> None:
        super().__init__(
            noise,
            input_noise_temperature=noise_temperature,
            target_noise_temperature=noise_temperature,
            num_marginal_samples=num_marginal_samples,
        )

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """The sum over samples of the mean over their draws."""
        ok = saved[3]
        if ok is not None:
            dz = torch.where(like(ok, dz), dz, 0.0)
        return dz.sum(1) / sampling.group


@explain_arguments()
class Identity(StraightThrough):
    """The negative identity with projections (Sahoo et al., ICLR 2023, arXiv 2205.15213).

    Backward, in max form: P'(theta)^T sum_s dL/dz_s, where the projection P removes directions of theta that do not
    change the solution: its length, and, where all solutions have the same number of ones, its mean. Solves see
    theta itself, which has the same solution. A layer of costs returns the negative, hence the method's name.

    Args:
        projection: "mean": P(theta) = theta - mean, for solutions with a fixed number of ones. "norm":
            theta / ||theta||, for all linear objectives. "standardize": both, (theta - mean) / ||theta - mean||, the
            paper's advice. None: none. What is left of theta where that is zero counts as of length one.
        noise: what perturbs theta for a margin; none by default.
        noise_temperature: of that noise, as above.

    Raises:
        ValueError: an unknown projection.
    """

    def __init__(
        self,
        projection: Projection | None = "standardize",
        *,
        noise: Noise | Literal["auto"] | None = None,
        noise_temperature: float | None = None,
    ) -> None:
        super().__init__(noise, noise_temperature=noise_temperature)
        if projection is not None and projection not in get_args(Projection):
            raise ValueError(
                f"Identity: projection must be one of {', '.join(get_args(Projection))} or None, got {projection!r}"
            )
        self.projection = projection

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """The projected sum over samples."""
        gradient = _rows(super().gradient(saved, dz, solve, sampling))
        scores = _rows(saved[0])
        if self.projection in ("mean", "standardize"):
            scores, gradient = _centered(scores), _centered(gradient)
        if self.projection in ("norm", "standardize"):
            length = torch.linalg.vector_norm(scores, dim=1, keepdim=True)
            length = torch.where(length > 0, length, 1.0)
            unit = scores / length
            gradient = (gradient - unit * (unit * gradient).sum(1, keepdim=True)) / length
        return gradient.reshape(saved[0].shape)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"projection={self.projection!r}, {super().extra_repr()}"


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(tensor.shape[0], math.prod(tensor.shape[1:]))


def _centered(rows: Tensor) -> Tensor:
    return rows - rows.mean(1, keepdim=True)
