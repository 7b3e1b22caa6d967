"""What of an estimator can be set, in units of theta, and setting it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imle_solvers.estimators import AIMLE, IMLE, Blackbox, Estimator, PerturbedOptimizer, StraightThrough
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP
from imle_solvers.estimators.relative import Relative, magnitude, spread
from imle_solvers.estimators.target import Target
from imle_solvers.noise.distributions import deviation, resolve_noise


@dataclass(frozen=True)
class Setting:
    """A point of the grid.

    Attributes:
        beta: the length of the target's step in units of theta's, see `Relative`; None: there is no step to be set.
        temperature: the standard deviation of the noise in units of that of theta's entries, see `Relative`; None:
            there is no noise.
    """

    beta: float | None
    temperature: float | None


@dataclass(frozen=True)
class Units:
    """What settings are in units of, where an estimator takes numbers.

    Attributes:
        spread: the mean standard deviation of the entries of an instance's theta, which temperatures multiply.
        length: ||theta|| / ||dL/dz||, the lambda whose step is as long as theta.
        num_ones: of a solution, for the noise "auto"; None: unknown.
    """

    spread: float
    length: float
    num_ones: float | None

    @classmethod
    def of(cls, theta: Tensor, dz: Tensor, num_ones: float | None) -> Units:
        """The units of theta, (B, *instance_shape), and of dL/dz, (B, ..., *instance_shape)."""
        return cls(float(spread(theta, 1).mean()), float(magnitude(theta, 0) / magnitude(dz, 0)), num_ones)


def has_beta(estimator: Estimator) -> bool:
    """Whether there is a step of the target to be set."""
    return isinstance(estimator, AIMLE) or (isinstance(estimator, IMLE) and isinstance(estimator.target, Target))


def has_temperature(estimator: Estimator) -> bool:
    """Whether there is noise."""
    if isinstance(estimator, PerturbAndMAP):
        return estimator.noise is not None
    return isinstance(estimator, PerturbedOptimizer)


@torch.no_grad()
def apply_setting(estimator: Estimator, setting: Setting, units: Units) -> None:
    """Sets it in place.

    Temperatures that are numbers stay numbers, in the units given. The beta of a `Target` becomes relative, since a
    number would be another step for each batch, but where the gradient is divided by it. Of two temperatures the ratio
    stays as it is.

    Args:
        estimator: that has what is set.
        setting: what to set.
        units: of it.

    Raises:
        TypeError: it has other settings.
    """
    if (setting.beta is None, setting.temperature is None) != (not has_beta(estimator), not has_temperature(estimator)):
        raise TypeError(f"expected an estimator like the one that was calibrated, got {estimator!r}")
    if setting.beta is not None:
        if isinstance(estimator, AIMLE):
            estimator.beta.fill_(setting.beta)
            estimator.last_move.zero_()
        else:
            assert isinstance(estimator, IMLE)
            assert isinstance(estimator.target, Target)
            beta = setting.beta * units.length if estimator.scale_gradient else Relative(setting.beta)
            estimator.target = replace(estimator.target, beta=beta)
    if setting.temperature is not None:
        if isinstance(estimator, PerturbedOptimizer):
            unit = 1.0 if estimator.multiplicative else units.spread / deviation(estimator.noise)
            estimator.sigma = setting.temperature * unit
        else:
            assert isinstance(estimator, PerturbAndMAP)
            _set_temperatures(estimator, setting.temperature, units)


def _set_temperatures(estimator: PerturbAndMAP, temperature: float, units: Units) -> None:
    assert estimator.noise is not None
    before = estimator.input_noise_temperature, estimator.target_noise_temperature
    ratio = before[1] / before[0] if before[0] > 0 else 1.0
    if any(isinstance(each, Relative) for each in before):
        new: tuple[float, float] = Relative(temperature), Relative(ratio * temperature)
        if estimator.theta_scale is not None:
            estimator.theta_scale.fill_(units.spread)
    else:
        number = temperature * units.spread / deviation(resolve_noise(estimator.noise, units.num_ones))
        new = number, ratio * number
    estimator.input_noise_temperature, estimator.target_noise_temperature = new


def described(estimator: Estimator) -> str:
    """The arguments of the estimator that `apply_setting` sets, as they are set now."""
    words: dict[str, object] = {}
    if isinstance(estimator, AIMLE):
        words["initial_beta"] = float(estimator.beta)
    elif isinstance(estimator, IMLE) and isinstance(estimator.target, Target):
        blackbox = isinstance(estimator, Blackbox)
        words |= {"lam": float(estimator.target.beta)} if blackbox else {"target": estimator.target}
    if isinstance(estimator, PerturbedOptimizer):
        words["sigma"] = estimator.sigma
    elif isinstance(estimator, StraightThrough):
        words["noise_temperature"] = estimator.input_noise_temperature
    elif has_temperature(estimator):
        words["input_noise_temperature"] = estimator.input_noise_temperature
        words["target_noise_temperature"] = estimator.target_noise_temperature
    said = (f"{name}={value:.4g}" if type(value) is float else f"{name}={value!r}" for name, value in words.items())
    return ", ".join(said)
