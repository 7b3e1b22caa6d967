"""Implicit maximum likelihood estimation (Niepert, Minervini, Franceschi, NeurIPS 2021, arXiv 2106.01798)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from imle_solvers.estimators.base import Estimator, Sampling, Saved, Solve, Solved
from imle_solvers.noise import Noise, default_noise
from imle_solvers.target import Target


class IMLE(Estimator):
    """I-MLE: perturb-and-MAP forward, the difference to a target distribution's MAP backward.

    Forward (paper, Eq. 4), for each sample s: z_s = MAP(theta + tau_in * eps_s), eps_s ~ noise.
    Backward (Algorithm 1), under the same noise: mean_s [ z_s - MAP(theta'_s + tau_target * eps_s) ] with
    theta'_s = alpha * theta - beta * dL/dz_s. The forward solution is kept, not solved again.

    It costs one solve a sample forward and one backward. The solution must have theta's shape. Where dL/dz or
    the target is not finite, the instance's gradient is NaN and the other instances' are right, so that a gradient
    scaler sees and skips such steps.

    Args:
        noise: what perturbs theta. "auto": Sum-of-Gamma with the adapter's number of ones where that is known, else
            Gumbel. None: no noise.
        target: the target distribution.
        input_noise_temperature: tau_in, 0 or more, in units of theta.
        target_noise_temperature: tau_target, 0 or more.

    Raises:
        ValueError: a temperature below zero or not finite.
        TypeError: `noise` without a `sample` method.
    """

    def __init__(
        self,
        noise: Noise | Literal["auto"] | None = "auto",
        target: Target | None = None,
        *,
        input_noise_temperature: float = 1.0,
        target_noise_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if noise is not None and noise != "auto" and not callable(getattr(noise, "sample", None)):
            raise TypeError(f'IMLE: expected noise with a sample method, "auto" or None, got {noise!r}')
        for name, value in (
            ("input_noise_temperature", input_noise_temperature),
            ("target_noise_temperature", target_noise_temperature),
        ):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"IMLE: {name} must be finite and not negative, got {value}")
        self.noise = noise
        self.target = Target() if target is None else target
        self.input_noise_temperature = input_noise_temperature
        self.target_noise_temperature = target_noise_temperature

    def draw(self, scores: Tensor, solve: Solve, sampling: Sampling) -> tuple[Solved, Saved]:
        noise = self._sample_noise(scores, solve, sampling)
        draws = sampling.num_samples * sampling.group
        perturbed = scores.unsqueeze(1).expand(-1, draws, *scores.shape[1:])
        solved = solve(_shift(perturbed, noise, self.input_noise_temperature))
        return solved, (scores, noise, solved.values, solved.ok)

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve) -> Tensor:
        scores: Tensor
        values: Tensor
        scores, noise, values, ok = saved
        target = _shift(self.target(scores.unsqueeze(1), dz), noise, self.target_noise_temperature)
        finite = _rows(target.isfinite()).all(-1)
        all_finite = bool(finite.all())
        if not all_finite:
            target = torch.where(_like(finite, target), target, 0.0)
        solved = solve(target)
        difference = values - solved.values
        for solved_ok in (ok, solved.ok):
            if solved_ok is not None:  # a failed solve teaches nothing
                difference = torch.where(_like(solved_ok, difference), difference, 0.0)
        if not all_finite:
            difference = torch.where(_like(finite, difference), difference, math.nan)
        return difference.mean(1)

    def check_shapes(self, instance_shape: tuple[int, ...], solution_shape: tuple[int, ...]) -> None:
        if instance_shape != solution_shape:
            raise ValueError(
                "I-MLE needs solutions of theta's shape, since its gradient is a difference of solutions: theta has "
                f"{instance_shape}, a solution {solution_shape}. Let the adapter return the part of the solution that "
                "theta prices, entry by entry, and compute what follows from it in torch; or use the layer without "
                "gradients."
            )

    def _sample_noise(self, scores: Tensor, solve: Solve, sampling: Sampling) -> Tensor | None:
        # "auto" waits until here because the adapter, which may know the number of ones, comes with the solve.
        noise = default_noise(solve.num_ones) if isinstance(self.noise, str) else self.noise
        silent = self.input_noise_temperature == 0 and self.target_noise_temperature == 0
        if noise is None or silent or not sampling.perturb:
            return None
        shape = (scores.shape[0], sampling.num_samples * sampling.group, *scores.shape[1:])
        drawn = noise.sample(shape, generator=sampling.generator, device=scores.device, dtype=scores.dtype)
        if drawn.shape != shape:
            raise ValueError(f"{noise!r}: expected noise of shape {shape}, got {tuple(drawn.shape)}")
        return drawn.to(scores)

    def extra_repr(self) -> str:
        return (
            f"noise={self.noise!r}, target={self.target!r}, "
            f"input_noise_temperature={self.input_noise_temperature}, "
            f"target_noise_temperature={self.target_noise_temperature}"
        )


def _shift(scores: Tensor, noise: Tensor | None, temperature: float) -> Tensor:
    return scores if noise is None or temperature == 0 else scores + temperature * noise


def _rows(tensor: Tensor) -> Tensor:
    """(B, S, *shape) -> (B, S, size), also for an empty shape."""
    return tensor.reshape(*tensor.shape[:2], math.prod(tensor.shape[2:]))


def _like(mask: Tensor, tensor: Tensor) -> Tensor:
    """(B, S) -> (B, S, 1, ...), with the axes of `tensor`."""
    return mask.reshape(*mask.shape, *(1 for _ in tensor.shape[2:]))
