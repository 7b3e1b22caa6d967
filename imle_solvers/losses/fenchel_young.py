"""The Fenchel-Young loss of the perturbed maximum (Berthet et al., NeurIPS 2020, arXiv 2002.08676)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imle_solvers.adapter import claims_binary
from imle_solvers.arguments import check_count, explain_arguments
from imle_solvers.estimators.base import Estimator, Sampling, Solve, Solved
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP
from imle_solvers.layer import SolverLayer
from imle_solvers.losses.common import (
    Reduction,
    check_entries,
    check_layer,
    check_shapes,
    check_target,
    checked_reduction,
    inner,
    mean_of_solved,
    reduce,
)
from imle_solvers.pytorch.graph_break import graph_break
from imle_solvers.pytorch.transforms import once_differentiable


@explain_arguments()
class FenchelYoungLoss(nn.Module):
    """The Fenchel-Young loss of the perturbed maximum (Berthet et al., NeurIPS 2020, section 4).

    In max form, L(theta; y) = F(theta) - <theta, y> with F(theta) = E max_z <theta + tau eps, z>, up to a constant
    that depends on y only; convex in theta, with the gradient E z - y, which needs no solve beyond the forward ones.
    The expectation is a mean of `num_samples` draws with the noise of the layer's estimator, at its temperature (a
    relative one goes by the first theta). Where that multiplies theta, as in `PerturbedOptimizer(multiplicative=True)`,
    the gradient is E[z * perturbed / theta] - y (Dalle et al. 2022, arXiv 2207.13513). Where perturbed theta is not
    solved as it is (costs of paths below zero, see `SolverAdapter.clamped`) the loss is not convex: keep the
    temperature small beside theta.

    Args:
        layer: whose estimator perturbs, as `IMLE` and `PerturbedOptimizer` do, or one of one's own that has `noise` and
            solves all its draws in one call; solutions must have theta's shape.
        num_samples: draws for each instance.
        reduction: "mean" over the batch, "sum", or "none" for (B,).

    Raises:
        TypeError: an estimator that has no noise to draw, such as `Blackbox()` and `IMLE(None)`.
        ValueError: `num_samples` below one, an unknown reduction, solutions of another shape, noise at temperature 0.
    """

    def __init__(self, layer: SolverLayer, num_samples: int = 10, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_layer("FenchelYoungLoss", layer)
        if getattr(layer.estimator, "noise", None) is None:
            raise TypeError(
                f"FenchelYoungLoss: expected a layer whose estimator perturbs theta, such as IMLE() or "
                f"PerturbedOptimizer(), got {layer.estimator!r}, which has no noise"
            )
        if getattr(layer.estimator, "input_noise_temperature", None) == 0:
            raise ValueError("FenchelYoungLoss: expected an input_noise_temperature above 0, got 0")
        check_shapes("FenchelYoungLoss", layer)
        check_count("FenchelYoungLoss: ", "num_samples", num_samples)
        self.layer = layer
        self.num_samples = num_samples
        self.reduction = checked_reduction(reduction)

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
            ValueError: theta or target of the wrong shape; or, where solutions have zeros and ones, a target that has
                others than means of them have.
        """
        check_target(theta, target)
        prepared, solve, single = self.layer.prepare(theta, context)
        scores = solve.sign * prepared
        target = (target.unsqueeze(0) if single else target).to(scores)
        if claims_binary(self.layer.adapter, context):
            check_entries(target, "target", "the order is loss(theta, target), and the target is a solution")
        sampling = self.layer.sampling(self.num_samples)
        if isinstance(self.layer.estimator, PerturbAndMAP):
            self.layer.estimator.fix_first_scale(prepared)
        losses: Tensor = _FenchelYoung.apply(scores, target, self.layer.estimator, solve, sampling)  # type: ignore[no-untyped-call]
        return reduce(losses, self.reduction, single).to(theta.dtype)


class _FenchelYoung(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, target: Tensor, estimator: Estimator, solve: Solve, sampling: Sampling
    ) -> Tensor:
        recorder = _Recorder(solve)
        solved, _ = estimator.draw(scores, recorder, sampling)
        perturbed = recorder.scores
        if perturbed is None or perturbed.shape != solved.values.shape:
            raise TypeError(
                f"FenchelYoungLoss: expected an estimator that solves all {sampling.draws} draws in one call, which "
                f"{type(estimator).__name__} does not"
            )
        target, scores = target.unsqueeze(1), scores.unsqueeze(1)
        values = solved.values
        moved = values * (perturbed / scores) if getattr(estimator, "multiplicative", False) else values
        ctx.save_for_backward(mean_of_solved(moved - target, solved))
        return mean_of_solved(inner(perturbed, values) - inner(scores, target), solved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return dl.reshape(-1, *(1 for _ in gradient.shape[1:])) * gradient, None, None, None, None


class _Recorder:
    """A `Solve` that keeps the scores of its one call: only the estimator knows how it perturbs."""

    def __init__(self, solve: Solve) -> None:
        self._solve = solve
        self.num_ones: float | None = solve.num_ones
        self.binary: bool = solve.binary
        self.sign: int = solve.sign
        self.calls = 0
        self.scores: Tensor | None = None

    def __call__(
        self,
        scores: Tensor,
        *,
        needed: Tensor | None = None,
        owned: bool = False,
        skip_nonfinite: bool = False,
    ) -> Solved:
        self.calls += 1
        self.scores = scores if self.calls == 1 else None
        return self._solve(scores, needed=needed, skip_nonfinite=skip_nonfinite)  # not owned: they are needed yet
