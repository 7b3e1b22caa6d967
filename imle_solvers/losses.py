"""Losses that know the solver: they compare theta with a solution, or with the true theta, not two solutions.

Each takes theta and targets in the adapter's own sense, (B, *shape), costs or scores, and solves with the layer's
adapter, executor and policy for failures. Instances whose solve failed contribute zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from imle_solvers.arguments import check_count, explain_arguments
from imle_solvers.estimators.base import Sampling, Solve, Solved
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP, shift
from imle_solvers.graph_break import graph_break
from imle_solvers.layer import SolverLayer
from imle_solvers.noise import ScoredNoise
from imle_solvers.transforms import once_differentiable

Reduction = Literal["mean", "sum", "none"]


@explain_arguments()
class FenchelYoungLoss(nn.Module):
    """The Fenchel-Young loss of the perturbed maximum (Berthet et al., NeurIPS 2020, section 4).

    In max form, L(theta; y) = F(theta) - <theta, y> with F(theta) = E max_z <theta + tau eps, z>, up to a constant
    that depends on y only; convex in theta, with the gradient E z - y, which needs no solve beyond the forward ones.
    The expectation is a mean of `num_samples` draws with the noise of the layer's estimator.

    Args:
        layer: whose estimator perturbs, as `IMLE` does; solutions must have theta's shape.
        num_samples: draws for each instance.
        reduction: "mean" over the batch, "sum", or "none" for (B,).

    Raises:
        TypeError: an estimator that has no noise to draw.
        ValueError: `num_samples` below one, an unknown reduction, solutions of another shape.
    """

    def __init__(self, layer: SolverLayer, num_samples: int = 10, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check_layer("FenchelYoungLoss", layer)
        if not isinstance(layer.estimator, PerturbAndMAP):
            raise TypeError(
                f"FenchelYoungLoss: expected a layer whose estimator perturbs theta, such as IMLE(), got "
                f"{type(layer.estimator).__name__}"
            )
        _check_shapes("FenchelYoungLoss", layer)
        check_count("FenchelYoungLoss: ", "num_samples", num_samples)
        self.layer = layer
        self.num_samples = num_samples
        self.reduction = _checked_reduction(reduction)

    # Positional only: `target` is context of shortest paths.
    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, target: Tensor, /, **context: Any) -> Tensor: ...

    @graph_break
    def forward(self, theta: Tensor, target: Tensor, /, **context: Any) -> Tensor:
        """The loss.

        Args:
            theta: (B, *instance_shape).
            target: (B, *solution_shape), the solutions to learn, y.
            **context: per-instance arrays for the adapter.

        Returns:
            A scalar, or (B,).

        Raises:
            ValueError: theta or target of the wrong shape.
        """
        _check_target(theta, target)
        prepared, solve, single = self.layer.prepare(theta, context)
        scores = solve.sign * prepared
        target = (target.unsqueeze(0) if single else target).to(scores)
        sampling = self.layer.sampling(self.num_samples)
        losses: Tensor = _FenchelYoung.apply(scores, target, self.layer.estimator, solve, sampling)  # type: ignore[no-untyped-call]
        return _reduce(losses, self.reduction, single).to(theta.dtype)


class _FenchelYoung(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, target: Tensor, estimator: PerturbAndMAP, solve: Solve, sampling: Sampling
    ) -> Tensor:
        solved, (_, noise, values, _) = estimator.draw(scores, solve, sampling)
        perturbed = shift(scores.unsqueeze(1), noise, estimator.input_noise_temperature)
        target = target.unsqueeze(1)
        ctx.save_for_backward(_mean_of_solved(values - target, solved))
        return _mean_of_solved(_inner(perturbed, values) - _inner(scores.unsqueeze(1), target), solved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return dl.reshape(-1, *(1 for _ in gradient.shape[1:])) * gradient, None, None, None, None


@explain_arguments()
class SPOPlusLoss(nn.Module):
    """The SPO+ loss (Elmachtoub and Grigas, Management Science 2022, arXiv 1710.08005, Definition 3).

    For costs: max_z <c - 2 theta, z> + 2 <theta, z*(c)> - <c, z*(c)>, with c the true costs: an upper bound of the
    regret <c, z*(theta) - z*(c)>, convex in theta, with the subgradient 2 (z*(c) - z*(2 theta - c)). For scores the
    same with signs turned. One solve a step where `solution` is given, else two.

    Args:
        layer: whose adapter solves; solutions must have theta's shape.
        reduction: "mean" over the batch, "sum", or "none" for (B,).

    Raises:
        ValueError: an unknown reduction, solutions of another shape.
    """

    def __init__(self, layer: SolverLayer, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check_layer("SPOPlusLoss", layer)
        _check_shapes("SPOPlusLoss", layer)
        self.layer = layer
        self.reduction = _checked_reduction(reduction)

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, truth: Tensor, solution: Tensor | None = None, **context: Any) -> Tensor: ...

    @graph_break
    def forward(self, theta: Tensor, truth: Tensor, solution: Tensor | None = None, **context: Any) -> Tensor:
        """The loss.

        Args:
            theta: (B, *instance_shape), predicted costs or scores.
            truth: (B, *instance_shape), the true ones, c.
            solution: (B, *solution_shape), their optimum z*(c); None: it is solved for.
            **context: per-instance arrays for the adapter.

        Returns:
            A scalar, or (B,).

        Raises:
            ValueError: theta, truth or solution of the wrong shape.
        """
        _check_target(theta, truth, "truth")
        if solution is None:
            with torch.no_grad():
                solution = self.layer.map(truth.to(theta), **context)
        _check_target(theta, solution, "solution")
        prepared, solve, single = self.layer.prepare(theta, context)
        scores = solve.sign * prepared
        sign = -1 if self.layer.adapter.sense == "min" else 1
        if single:
            truth, solution = truth.unsqueeze(0), solution.unsqueeze(0)
        losses: Tensor = _SPOPlus.apply(scores, sign * truth.to(scores), solution.to(scores), solve)  # type: ignore[no-untyped-call]
        return _reduce(losses, self.reduction, single).to(theta.dtype)


class _SPOPlus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, truth: Tensor, solution: Tensor, solve: Solve) -> Tensor:
        rival = 2 * scores - truth
        solved = solve(rival.unsqueeze(1))
        gain = solved.values - solution.unsqueeze(1)
        ctx.save_for_backward(_mean_of_solved(2 * gain, solved))
        return _mean_of_solved(_inner(rival.unsqueeze(1), gain), solved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return dl.reshape(-1, *(1 for _ in gradient.shape[1:])) * gradient, None, None, None


@explain_arguments()
class ScoreFunctionLoss(nn.Module):
    """The expected loss of sampled solutions, differentiated by its score function (REINFORCE, Williams 1992).

    E l(MAP(theta + tau eps)) over the noise of the layer's estimator, with the unbiased gradient
    mean_s (l_s - b_s) score(eps_s) / tau, where b_s is the mean loss of the other samples. The loss is any function,
    differentiable or not; solutions may have any shape. No solves beyond the forward ones.

    Args:
        layer: whose estimator perturbs with noise that has a density, as `IMLE(Normal())` does.
        loss: `loss(z)`, from solutions (B, S, *solution_shape) to losses (B, S).
        num_samples: S, at least 2 where `baseline`.
        baseline: whether to subtract b_s, which lowers the variance.

    Raises:
        TypeError: noise without a density in closed form, such as Sum-of-Gamma, or an estimator that is no kin of
            `IMLE`, such as `PerturbedOptimizer`.
        ValueError: too few samples, or no noise.
    """

    def __init__(
        self, layer: SolverLayer, loss: Callable[[Tensor], Tensor], num_samples: int = 10, baseline: bool = True
    ) -> None:
        super().__init__()
        _check_layer("ScoreFunctionLoss", layer)
        if not callable(loss):
            raise TypeError(f"ScoreFunctionLoss: expected a function of solutions as loss, got {loss!r}")
        estimator = layer.estimator
        if not isinstance(estimator, PerturbAndMAP):
            raise TypeError(
                f"ScoreFunctionLoss: expected a layer whose estimator perturbs theta, such as IMLE(Normal()), got "
                f"{type(estimator).__name__}"
            )
        if not isinstance(estimator.noise, ScoredNoise):
            raise TypeError(
                f"ScoreFunctionLoss: expected a layer with noise that has a score, such as IMLE(Normal()), got noise "
                f"{estimator.noise!r}; without a density in closed form its score is unknown"
            )
        if estimator.input_noise_temperature == 0:
            raise ValueError("ScoreFunctionLoss: expected an input_noise_temperature above 0, got 0")
        check_count("ScoreFunctionLoss: ", "num_samples", num_samples, least=1 + baseline)
        self.layer = layer
        self.loss = loss
        self.num_samples = num_samples
        self.baseline = baseline

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, **context: Any) -> Tensor: ...

    @graph_break
    def forward(self, theta: Tensor, **context: Any) -> Tensor:
        """The mean loss, a scalar, whose gradient in theta (B, *instance_shape) is the score function's.

        Raises:
            ValueError: theta is not what the adapter takes, or losses are not (B, S).
        """
        estimator = self.layer.estimator
        assert isinstance(estimator, PerturbAndMAP)
        assert isinstance(estimator.noise, ScoredNoise)
        with torch.no_grad():
            prepared, solve, _ = self.layer.prepare(theta, context)
            scores = solve.sign * prepared
            sampling = self.layer.sampling(self.num_samples)
            _, (_, noise, values, ok) = estimator.draw(scores, solve, sampling)
            losses = self.loss(values.to(theta.dtype))
            if losses.shape != values.shape[:2]:
                raise ValueError(
                    f"ScoreFunctionLoss: expected losses of shape {tuple(values.shape[:2])}, got {tuple(losses.shape)}"
                )
            if ok is not None:
                losses = torch.where(ok, losses, 0.0)
            advantage = losses
            if self.baseline:
                advantage = (losses - losses.mean(1, keepdim=True)) * self.num_samples / (self.num_samples - 1)
            if ok is not None:
                advantage = torch.where(ok, advantage, 0.0)
            score = estimator.noise.score(noise) / estimator.input_noise_temperature
            weighted = (advantage.reshape(*advantage.shape, *(1 for _ in score.shape[2:])) * score).mean(1)
            sign = -1 if self.layer.adapter.sense == "min" else 1
            direction = sign * weighted.reshape(theta.shape) / len(scores)
        # Zero in value, with the wanted gradient.
        surrogate = (theta * direction.to(theta)).sum()
        return losses.mean().to(theta.dtype) + surrogate - surrogate.detach()


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """(B, M, *shape) twice -> (B, M): inner products."""
    product = one * other
    return product.reshape(*product.shape[:2], math.prod(product.shape[2:])).sum(2)


def _mean_of_solved(values: Tensor, solved: Solved) -> Tensor:
    """(B, M, *shape) -> (B, *shape): the mean over draws, with zeros for those that failed."""
    if solved.ok is not None:
        values = torch.where(solved.ok.reshape(*solved.ok.shape, *(1 for _ in values.shape[2:])), values, 0.0)
    return values.mean(1)


def _check_layer(loss: str, layer: Any) -> None:
    if not isinstance(layer, SolverLayer):
        raise TypeError(f"{loss}: expected a SolverLayer, got {layer!r}; make one by SolverLayer(adapter)")


def _check_shapes(loss: str, layer: SolverLayer) -> None:
    shapes = layer.adapter.instance_shape, layer.adapter.solution_shape
    if shapes[0] != shapes[1]:
        raise ValueError(f"{loss}: expected solutions of theta's shape {shapes[0]}, got {shapes[1]}")


def _check_target(theta: Tensor, target: Tensor, name: str = "target") -> None:
    if not isinstance(target, Tensor) or target.shape != theta.shape:
        got = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
        raise ValueError(f"{name}: expected a tensor of theta's shape {tuple(theta.shape)}, got {got}")


def _checked_reduction(reduction: Reduction) -> Reduction:
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction: expected one of {', '.join(get_args(Reduction))}, got {reduction!r}")
    return reduction


def _reduce(losses: Tensor, reduction: Reduction, single: bool) -> Tensor:
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    return losses.mean() if reduction == "mean" else losses.sum()
