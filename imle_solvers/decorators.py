"""The API of torch-imle and torch-adaptive-imle: decorators for functions on batches of tensors.

A thin skin over the estimators, for code that was written for those libraries: arguments, classes and output shapes
are theirs, and so are the numbers, save for the defects that docs/migration.md lists. New code is better served by
`SolverLayer`.
"""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Size, Tensor, nn

from imle_solvers.estimators.aimle import AIMLE
from imle_solvers.estimators.base import Estimator, Sampling, Saved, Solve, Solved
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP, check_temperature, difference, shift
from imle_solvers.estimators.straight_through import StraightThrough
from imle_solvers.executors.serial import SerialExecutor
from imle_solvers.function_adapter import FunctionAdapter
from imle_solvers.noise.distributions import Gumbel, Noise, SumOfGamma
from imle_solvers.noise.ranks import generator_of_rank
from imle_solvers.pytorch.graph_break import graph_break
from imle_solvers.solving.batch_solver import BatchSolver
from imle_solvers.solving.context import prepare_context
from imle_solvers.solving.stats import Stats
from imle_solvers.solving.theta import check_tensor

Solver = Callable[..., Tensor]


class BaseNoiseDistribution(ABC):
    """Noise; subclass it, or use any object with such a method."""

    @abstractmethod
    def sample(self, shape: Size) -> Tensor:
        """Draws noise of this shape."""


class SumOfGammaNoiseDistribution(BaseNoiseDistribution):
    """Sum-of-Gamma noise, see `SumOfGamma`.

    Args:
        k: about the number of ones in a solution.
        nb_iterations: number of Gamma terms.
        device: where to draw.
    """

    def __init__(self, k: float, nb_iterations: int = 10, device: torch.device | str | None = None) -> None:
        self.k = k
        self.nb_iterations = nb_iterations
        self.device = device
        self._noise = SumOfGamma(k, nb_iterations)

    def sample(self, shape: Size) -> Tensor:
        """Draws noise of this shape."""
        return _draw(self._noise, shape, self.device)


class GumbelNoiseDistribution(BaseNoiseDistribution):
    """Gumbel noise.

    Args:
        location, scale: of the distribution.
        device: where to draw.
    """

    def __init__(self, location: float = 0.0, scale: float = 1.0, device: torch.device | str | None = None) -> None:
        self.location = location
        self.scale = scale
        self.device = device

    def sample(self, shape: Size) -> Tensor:
        """Draws noise of this shape."""
        return self.location + self.scale * _draw(Gumbel(), shape, self.device)


class BaseTargetDistribution(ABC):
    """Target distributions; subclass it for one's own."""

    @abstractmethod
    def params(self, theta: Tensor, dy: Tensor | None, _is_minimization: bool = False) -> Tensor:
        """The target's theta, (B * S, *instance_shape), for theta and downstream gradient of that shape."""

    def process(self, theta: Tensor, dy: Tensor, gradient: Tensor) -> Tensor:
        """What becomes of the gradient of each sample, (B, S, *instance_shape)."""
        return gradient


class TargetDistribution(BaseTargetDistribution):
    """alpha * theta - beta * dy, or + where theta are costs.

    Args:
        alpha: weight of theta.
        beta: weight of the downstream gradient.
        do_gradient_scaling: whether to divide the gradient by beta.
        eps: the least that it is divided by.
    """

    def __init__(
        self, alpha: float = 1.0, beta: float = 1.0, do_gradient_scaling: bool = False, eps: float = 1e-7
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.do_gradient_scaling = do_gradient_scaling
        self.eps = eps

    def params(  # type: ignore[override]  # the published order of arguments
        self,
        theta: Tensor,
        dy: Tensor | None,
        alpha: float | None = None,
        beta: float | None = None,
        _is_minimization: bool = False,
    ) -> Tensor:
        """The target's theta."""
        alpha = self.alpha if alpha is None else alpha
        beta = self.beta if beta is None else beta
        return alpha * theta if dy is None else alpha * theta + (beta if _is_minimization else -beta) * dy

    def process(self, theta: Tensor, dy: Tensor, gradient: Tensor) -> Tensor:
        """The gradient, divided by beta if so asked."""
        return gradient / max(self.beta, self.eps) if self.do_gradient_scaling else gradient


class AdaptiveTargetDistribution(BaseTargetDistribution, nn.Module):
    """The target of AIMLE, whose step adapts, see `AIMLE`. A module: register it with a model to save its state.

    Args:
        initial_alpha: weight of theta.
        initial_beta: beta at the start.
        initial_grad_norm: the decaying mean of the number of non-zeros at the start.
        beta_update_step: by how much beta moves.
        beta_update_momentum: how much of its last move it makes again.
        grad_norm_decay_rate: of the decaying mean.
        target_norm: the number of non-zeros to aim at.
    """

    def __init__(
        self,
        initial_alpha: float = 1.0,
        initial_beta: float = 1.0,
        initial_grad_norm: float = 1.0,
        beta_update_step: float = 0.0001,
        beta_update_momentum: float = 0.0,
        grad_norm_decay_rate: float = 0.9,
        target_norm: float = 1.0,
    ) -> None:
        nn.Module.__init__(self)
        self.aimle: AIMLE = AIMLE(
            alpha=initial_alpha,
            initial_beta=initial_beta,
            initial_norm=initial_grad_norm,
            target_norm=target_norm,
            step=beta_update_step,
            momentum=beta_update_momentum,
            decay=grad_norm_decay_rate,
            input_noise_temperature=1.0,
        )

    @property
    def alpha(self) -> float:
        """Weight of theta."""
        return self.aimle.alpha

    @property
    def beta(self) -> float:
        """Beta as it is now."""
        return float(self.aimle.beta)

    @property
    def grad_norm(self) -> float:
        """The decaying mean of the number of non-zeros as it is now."""
        return float(self.aimle.norm)

    def params(self, theta: Tensor, dy: Tensor | None, _is_minimization: bool = False) -> Tensor:
        """The target's theta, for theta and downstream gradient of the same shape."""
        if dy is None:
            return self.alpha * theta
        size = self.aimle.step_size(theta, dy)
        return self.alpha * theta + (size if _is_minimization else -size) * dy


def imle(
    function: Solver | None = None,
    target_distribution: BaseTargetDistribution | None = None,
    noise_distribution: BaseNoiseDistribution | None = None,
    nb_samples: int = 1,
    *,
    nb_marginal_samples: int = 1,
    input_noise_temperature: float | None = None,
    theta_noise_temperature: float | None = None,
    target_noise_temperature: float = 1.0,
    symmetric_perturbation: bool = False,
    _is_minimization: bool = False,
) -> Any:
    """Makes a solver on batches of tensors differentiable by I-MLE. A function, or a decorator.

    The solver takes (N, *instance_shape) and returns solutions of that shape. The result takes theta,
    (B, *instance_shape), and returns (B * S * M, *instance_shape), the sample axis inside. Further tensors have B rows;
    they are repeated for the samples, and go to the solver in both solves. Everything else, with tensors of no axis,
    goes to it as it is; what all instances share may be a closure.

    Args:
        function: the solver; None: decorates.
        target_distribution: None: `TargetDistribution(alpha=1.0, beta=1.0)`.
        noise_distribution: None: no noise.
        nb_samples: S.
        nb_marginal_samples: M, draws whose differences are averaged to one gradient.
        input_noise_temperature, theta_noise_temperature: two names for the temperature of the forward noise; 1, unless
            given.
        target_noise_temperature: that of the target's noise.
        symmetric_perturbation: central instead of forward difference.
        _is_minimization: whether theta are costs.

    Raises:
        TypeError: a target without `params`, or noise without `sample`. When called: theta of no floating dtype.
        ValueError: both names of the temperature, or numbers out of range. When called: NaN or infinity in theta, or a
            further tensor of another number of rows.
    """
    if input_noise_temperature is not None and theta_noise_temperature is not None:
        raise ValueError("input_noise_temperature and theta_noise_temperature are two names for one; give one")
    given = input_noise_temperature if theta_noise_temperature is None else theta_noise_temperature
    temperatures = (1.0 if given is None else given, target_noise_temperature)
    check_temperature("imle", "input_noise_temperature", temperatures[0])
    check_temperature("imle", "target_noise_temperature", temperatures[1])
    target = TargetDistribution(alpha=1.0, beta=1.0) if target_distribution is None else target_distribution
    sense = "min" if _is_minimization else "max"
    estimator: Estimator
    if isinstance(target, AdaptiveTargetDistribution):
        # A shallow copy of a module shares its buffers: the state stays the target's, the settings are this solver's.
        estimator = copy.copy(target.aimle)
        estimator.noise = _noise(noise_distribution)
        estimator.input_noise_temperature, estimator.target_noise_temperature = temperatures
        estimator.symmetric = symmetric_perturbation
    else:
        estimator = _PublishedTarget(target, _noise(noise_distribution), temperatures, symmetric_perturbation, sense)
    sampling = Sampling(nb_samples, nb_marginal_samples, average=False)
    return _decorate(function, estimator, sampling, sense)


aimle = imle
"""The same, under the name that torch-adaptive-imle has for it; meant for `AdaptiveTargetDistribution`."""


def ste(
    function: Solver | None = None,
    noise_distribution: BaseNoiseDistribution | None = None,
    noise_temperature: float = 1.0,
    nb_samples: int = 1,
) -> Any:
    """Makes a solver differentiable by the straight-through estimator, see `imle` for its form.

    The gradient is the mean of the downstream gradients of the samples, as in torch-adaptive-imle, where
    `StraightThrough` has their sum.

    Args:
        function: the solver; None: decorates.
        noise_distribution: None: no noise.
        noise_temperature: of the noise.
        nb_samples: S.
    """
    estimator = _MeanStraightThrough(_noise(noise_distribution), noise_temperature=noise_temperature)
    return _decorate(function, estimator, Sampling(nb_samples), "max")


class _MeanStraightThrough(StraightThrough):
    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        return super().gradient(saved, dz, solve, sampling) / sampling.num_samples


class _PublishedTarget(PerturbAndMAP):
    """I-MLE with a `BaseTargetDistribution`, which sees theta in the user's own sense, flat as (B * S, ...)."""

    def __init__(
        self, target: BaseTargetDistribution, noise: Any, temperatures: tuple[float, float], symmetric: bool, sense: str
    ) -> None:
        super().__init__(noise, input_noise_temperature=temperatures[0], target_noise_temperature=temperatures[1])
        if not callable(getattr(target, "params", None)):
            raise TypeError(f"target_distribution: expected a BaseTargetDistribution, got {target!r}")
        self.target = target
        self.symmetric = symmetric
        self.sign = -1 if sense == "min" else 1

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        scores, noise, values, ok = saved
        theta = self.sign * scores
        repeated = theta.unsqueeze(1).expand_as(dz).flatten(0, 1)

        def solve_target(step: Tensor) -> Solved:
            target = self.target.params(repeated, step.flatten(0, 1), _is_minimization=self.sign < 0)
            target = shift(self.sign * target.reshape(dz.shape), noise, self.target_noise_temperature)
            return solve(target, skip_nonfinite=True)

        behind = solve_target(dz)
        moved = difference(solve_target(-dz), behind) / 2 if self.symmetric else difference(Solved(values, ok), behind)
        moved = moved.unflatten(1, (sampling.num_samples, sampling.group)).mean(2)
        return self.target.process(theta, dz.flatten(0, 1), moved).mean(1)


def _draw(noise: Noise, shape: Size, device: torch.device | str | None) -> Tensor:
    where = torch.get_default_device() if device is None else torch.device(device)
    return noise.sample(shape, generator=generator_of_rank(None, where), device=where)


class _Noise:
    """Published noise knows only shapes."""

    def __init__(self, noise: Any) -> None:
        self.noise = noise

    def sample(self, shape: Sequence[int], **_: Any) -> Tensor:
        drawn: Tensor = self.noise.sample(Size(shape))
        return drawn


def _noise(noise: Any) -> _Noise | None:
    if noise is None:
        return None
    if not callable(getattr(noise, "sample", None)):
        raise TypeError(f"noise_distribution: expected a BaseNoiseDistribution, got {noise!r}")
    return _Noise(noise)


def _decorate(function: Solver | None, estimator: Estimator, sampling: Sampling, sense: Any) -> Any:
    for name, value in (("nb_samples", sampling.num_samples), ("nb_marginal_samples", sampling.group)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if function is None:
        return functools.partial(_decorate, estimator=estimator, sampling=sampling, sense=sense)

    @graph_break
    @functools.wraps(function)
    def differentiable(theta: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_tensor(theta)
        tensors: dict[str, Tensor] = {}

        def separate(name: str, value: Any) -> Any:
            if isinstance(value, Tensor) and value.ndim:
                tensors[name] = value
            return value

        others = [separate(f"argument {i}", value) for i, value in enumerate(args, start=1)]
        named = {name: separate(name, value) for name, value in kwargs.items()}

        def call(thetas: Tensor, /, **context: Any) -> Tensor:
            arguments = [context.get(f"argument {i}", value) for i, value in enumerate(others, start=1)]
            return function(thetas, *arguments, **{name: context.get(name, value) for name, value in named.items()})

        call.__name__ = getattr(function, "__name__", type(function).__name__)
        adapter = FunctionAdapter(
            call, sense=sense, instance_shape=theta.shape[1:], batched=True, context=list(tensors)
        )
        context = prepare_context(adapter, tensors, len(theta), theta.device)
        solve = BatchSolver(adapter, SerialExecutor(), theta, context, "raise", Stats())
        samples: Tensor = estimator(theta, solve, sampling)
        return samples.flatten(0, 1)

    return differentiable
