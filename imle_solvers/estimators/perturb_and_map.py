"""What the estimators that perturb theta and solve have in common."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, Self

import torch
from torch import Tensor

from imle_solvers.arguments import check_count, is_finite
from imle_solvers.estimators.base import SCORES, Estimator, Sampling, Saved, Solve, Solved
from imle_solvers.estimators.certificate import find_known
from imle_solvers.estimators.relative import Relative, spread
from imle_solvers.noise.distributions import Noise, deviation, is_own, resolve_noise
from imle_solvers.pytorch.blocks import rows_at_once

_TEMPERATURE = Relative(0.3)
"""What learns best, or nearly so, on every problem of benchmarks/bench_defaults.py."""


class PerturbAndMAP(Estimator):
    """Samples are MAP(theta + tau_in * eps), eps ~ noise; the base of I-MLE and its kin.

    Args:
        noise: what perturbs theta. "auto": Sum-of-Gamma with the adapter's number of ones where that is known, else
            Gumbel. None: no noise.
        input_noise_temperature: tau_in, 0 or more, what multiplies the noise, or `Relative`; None: that of the target,
            and where that is None, too, `Relative(0.3)`.
        target_noise_temperature: the same for the solves of the backward pass; None: that of the input.
        num_marginal_samples: M, of how many draws each sample is the mean.
        skip_known: whether target solutions that are known are not solved for, see `estimators.certificate`.

    Attributes:
        theta_scale: in a buffer, the mean standard deviation of the entries of theta in the first batch that was
            differentiated, which relative temperatures go by; 0 before, None where no temperature is relative. Ranks
            of `torch.distributed` have rank 0's where `DistributedDataParallel` broadcasts buffers, from the second
            step on; elsewhere each has its own, unless all call `fix_scale` with the same theta first.

    Raises:
        ValueError: a temperature below zero or not finite, or `num_marginal_samples` below one. When sampling: one
            temperature is relative and the other is not, nor zero.
        TypeError: `noise` without a `sample` method, or one that takes something else; a number that is none.
    """

    theta_scale: Tensor | None

    def __init__(
        self,
        noise: Noise | Literal["auto"] | None = "auto",
        *,
        input_noise_temperature: float | None = None,
        target_noise_temperature: float | None = None,
        num_marginal_samples: int = 1,
        skip_known: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if noise is not None and not (isinstance(noise, str) and noise == "auto"):
            check_noise(name, noise, 'noise with a sample method, such as Gumbel(), "auto" or None')
        given = {
            "input_noise_temperature": input_noise_temperature,
            "target_noise_temperature": target_noise_temperature,
        }
        for argument, value in given.items():
            if value is not None:
                check_temperature(name, argument, value)
        if input_noise_temperature is None:
            input_noise_temperature = _TEMPERATURE if target_noise_temperature is None else target_noise_temperature
        if target_noise_temperature is None:
            target_noise_temperature = input_noise_temperature
        check_count(f"{name}: ", "num_marginal_samples", num_marginal_samples)
        self.num_marginal_samples = num_marginal_samples
        self.skip_known = skip_known
        self.noise = noise
        self.input_noise_temperature: float = input_noise_temperature
        self.target_noise_temperature: float = target_noise_temperature
        # Zero until it is fixed.
        relative = isinstance(input_noise_temperature, Relative)
        self.register_buffer("theta_scale", torch.zeros(()) if relative else None)

    def draw(self, scores: Tensor, solve: Solve, sampling: Sampling) -> tuple[Solved, Saved]:
        """Solves perturbed scores; `gradient` gets the scores, the noise, the solutions and which of them are valid."""
        noise = self._sample_noise(scores, solve, sampling)
        repeated = scores.unsqueeze(1)
        if sampling.draws > 1 and (noise is None or self.input_noise_temperature == 0):
            repeated = repeated.expand(-1, sampling.draws, *scores.shape[1:])
        perturbed = shift(repeated, noise, self.input_noise_temperature)
        owned = perturbed is not repeated
        del scores, repeated  # each of these may be as large as all samples
        solved = solve(perturbed, owned=owned)
        return solved, (SCORES, noise, solved.values, solved.ok)

    def _known(
        self, solve: Solve, target: Tensor, scores: Tensor, noise: Tensor | None, solved: Solved
    ) -> Tensor | None:
        """Which solutions of the target need no solving, (B, M) bool; None if there are none."""
        if not (self.skip_known and solve.binary):
            return None
        return find_known(target, scores, noise, self.input_noise_temperature, solved)

    def check_shapes(self, instance_shape: tuple[int, ...], solution_shape: tuple[int, ...]) -> None:
        """Raises `ValueError` unless solutions have theta's shape."""
        if instance_shape != solution_shape:
            raise ValueError(
                f"{type(self).__name__} needs solutions of theta's shape, since its gradient is a difference of "
                f"solutions: theta has {instance_shape}, a solution {solution_shape}. Let the adapter return the part "
                "of the solution that theta prices, entry by entry, and compute what follows from it in torch; or use "
                "the layer without gradients."
            )

    def _sample_noise(self, scores: Tensor, solve: Solve, sampling: Sampling) -> Tensor | None:
        silent = self.input_noise_temperature == 0 and self.target_noise_temperature == 0
        if self.noise is None or silent or not sampling.perturb:
            return None
        # Waits until here because the adapter, which may know the number of ones, comes with the solve.
        distribution = resolve_noise(self.noise, solve.num_ones)
        unit = self.noise_unit(distribution, scores)
        noise = sampling.noise(distribution, scores)
        if unit is None:
            return noise
        # What a distribution of the user's returns is theirs.
        return torch.mul(noise, unit, out=noise if is_own(distribution) else None)

    def noise_unit(self, distribution: Noise, scores: Tensor) -> Tensor | None:
        """What noise is multiplied by before its temperature, a scalar, where that is relative, else None.

        Args:
            distribution: of the noise.
            scores: (B, *instance_shape), of which the scale is taken until `fix_scale` has been called.

        Raises:
            ValueError: one temperature is relative, the other is not.
        """
        if not self._is_relative():
            return None
        if self.theta_scale is not None and self._is_fixed():
            return self.theta_scale.to(scores) / deviation(distribution)
        scale = spread(scores, 1).mean()
        if self.theta_scale is not None:
            fixed = self.theta_scale.to(scale)
            scale = torch.where(fixed > 0, fixed, scale)
        return scale / deviation(distribution)

    def _is_fixed(self) -> bool:
        """Whether the scale is known to be fixed; on a GPU, which would have to be waited for, it is not known."""
        return self.theta_scale is not None and self.theta_scale.device.type == "cpu" and bool(self.theta_scale > 0)

    @torch.no_grad()
    def fix_scale(self, theta: Tensor) -> None:
        """Takes the scale of theta, (B, *instance_shape), as that of relative temperatures, whichever they went by.

        Ranks of `torch.distributed` are not asked for theirs.

        Raises:
            ValueError: theta is empty, or not finite.
        """
        if theta.numel() == 0 or not bool(theta.isfinite().all()):
            wrong = "one without entries" if theta.numel() == 0 else "one with entries that are not finite"
            raise ValueError(f"{type(self).__name__}: expected theta of which to take the scale, got {wrong}")
        if self.theta_scale is not None:
            self.theta_scale.zero_()
        self.fix_first_scale(theta)

    @torch.no_grad()
    def fix_first_scale(self, theta: Tensor) -> None:
        """The same as `fix_scale`, unless there is a scale, or theta is empty.

        Ranks of `torch.distributed` are not asked for theirs: one that has no part in this pass would be waited for.
        """
        if not self._is_relative() or theta.numel() == 0 or self._is_fixed():
            return
        if self.theta_scale is None:
            self.theta_scale = torch.zeros((), device=theta.device)
        # Without a look at what it holds, for which a GPU would have to be waited for.
        new = spread(theta, 1).mean().clamp(max=torch.finfo(torch.float32).max).to(self.theta_scale)
        self.theta_scale.copy_(torch.where(self.theta_scale > 0, self.theta_scale, new))

    def is_noisy(self) -> bool:
        """Whether the forward pass perturbs theta."""
        return self.noise is not None and self.input_noise_temperature != 0

    def awaits_scale(self) -> bool:
        """Whether there is noise of a relative temperature, whose scale no batch has fixed yet."""
        if self.noise is None or not self._is_relative():
            return False
        return not self._is_fixed()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        if self.theta_scale is not None:  # older checkpoints have none
            state_dict.setdefault(f"{prefix}theta_scale", torch.zeros(()))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(self, theta: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """See `Estimator`; the first call that is differentiated fixes the scale of the noise."""
        if sampling.perturb and self.noise is not None and theta.requires_grad and torch.is_grad_enabled():
            self.fix_first_scale(theta)
        return super().forward(theta, solve, sampling)

    def _is_relative(self) -> bool:
        temperatures = self.input_noise_temperature, self.target_noise_temperature
        relative = [isinstance(temperature, Relative) for temperature in temperatures if temperature != 0]
        if any(relative) and not all(relative):
            raise ValueError(
                f"{type(self).__name__}: expected both temperatures relative, or neither, got "
                f"input_noise_temperature={temperatures[0]!r}, target_noise_temperature={temperatures[1]!r}; set both"
            )
        return any(relative)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # .to(bfloat16) on a model would round what is adapted, and steps of 1e-4 would vanish in it.
        before = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before.items():
            new = getattr(self, name)
            if new.dtype != buffer.dtype:
                setattr(self, name, buffer.to(new.device))
        return self

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"noise={self.noise!r}, input_noise_temperature={self.input_noise_temperature}, "
            f"target_noise_temperature={self.target_noise_temperature}"
        )


def check_temperature(owner: str, name: str, value: float) -> None:
    """Raises `ValueError` unless a temperature is finite and not negative."""
    if not (is_finite(value) and value >= 0):
        raise ValueError(f"{owner}: {name} must be finite and not negative, got {value!r}")


def check_noise(owner: str, noise: Any, expected: str) -> None:
    """Raises `TypeError` unless noise can be drawn as estimators draw it."""
    sample = getattr(noise, "sample", None)
    if isinstance(noise, type) or not callable(sample):
        raise TypeError(f"{owner}: expected {expected}, got {noise!r}")
    try:
        inspect.signature(sample).bind((1,), generator=None, device=None, dtype=None)
    except TypeError:
        raise TypeError(
            f"{owner}: expected noise whose sample method takes (shape, *, generator, device, dtype), which that of "
            f"{noise!r} does not; imle_solvers.Normal() is one"
        ) from None
    except ValueError:  # a signature that Python does not know
        pass


def shift(scores: Tensor, noise: Tensor | None, temperature: float, *, owned: bool = False) -> Tensor:
    """Scores under noise; with `owned`, they may be overwritten, and are (B, M, *shape) for (B, M, *shape) of noise."""
    if noise is None or temperature == 0:
        return scores
    return scores.add_(noise, alpha=temperature) if owned else torch.add(scores, noise, alpha=temperature)


def difference(one: Solved, other: Solved) -> Tensor:
    """The first minus the other, (B, M, *shape), zero where either solve failed: it teaches nothing.

    The other is gone afterwards if it is `owned`.
    """
    out = other.values if other.owned and other.values.dtype == one.values.dtype else None
    result = torch.sub(one.values, other.values, out=out)
    for ok in (one.ok, other.ok):
        if ok is not None:
            result = torch.where(like(ok, result), result, 0.0)
    return result


def mean_difference(one: Solved, other: Solved) -> Tensor:
    """The mean of `difference` over the M draws, (B, *shape), without holding more of it than a block."""
    batch, draws = one.values.shape[:2]
    size = rows_at_once(one.values, math.prod(one.values.shape[1:]))
    if draws == 1:
        return difference(one, other).squeeze(1)
    if batch <= size:
        return difference(one, other).mean(1)
    return torch.cat([difference(*pair).mean(1) for pair in zip(one.split(size, 0), other.split(size, 0), strict=True)])


def like(mask: Tensor, tensor: Tensor) -> Tensor:
    """(B, M) -> (B, M, 1, ...), with the axes of `tensor`."""
    return mask.reshape(*mask.shape, *(1 for _ in tensor.shape[2:]))
