"""The Fenchel-Young loss of the perturbed maximum (Berthet et al., NeurIPS 2020, arXiv 2002.08676)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imle_solvers.arguments import check_count, explain_arguments
from imle_solvers.estimators.base import Sampling, Solve
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP, shift
from imle_solvers.layer import SolverLayer
from imle_solvers.losses.common import (
    Reduction,
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
    The expectation is a mean of `num_samples` draws with the noise of the layer's estimator; a relative temperature
    goes by the first theta.

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
        check_layer("FenchelYoungLoss", layer)
        if not isinstance(layer.estimator, PerturbAndMAP):
            raise TypeError(
                f"FenchelYoungLoss: expected a layer whose estimator perturbs theta, such as IMLE(), got "
                f"{type(layer.estimator).__name__}"
            )
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
            ValueError: theta or target of the wrong shape.
        """
        check_target(theta, target)
        prepared, solve, single = self.layer.prepare(theta, context)
        scores = solve.sign * prepared
        target = (target.unsqueeze(0) if single else target).to(scores)
        sampling = self.layer.sampling(self.num_samples)
        assert isinstance(self.layer.estimator, PerturbAndMAP)
        self.layer.estimator.fix_scale(prepared)
        losses: Tensor = _FenchelYoung.apply(scores, target, self.layer.estimator, solve, sampling)  # type: ignore[no-untyped-call]
        return reduce(losses, self.reduction, single).to(theta.dtype)


class _FenchelYoung(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, target: Tensor, estimator: PerturbAndMAP, solve: Solve, sampling: Sampling
    ) -> Tensor:
        solved, (_, noise, values, _) = estimator.draw(scores, solve, sampling)
        perturbed = shift(scores.unsqueeze(1), noise, estimator.input_noise_temperature)
        target = target.unsqueeze(1)
        ctx.save_for_backward(mean_of_solved(values - target, solved))
        return mean_of_solved(inner(perturbed, values) - inner(scores.unsqueeze(1), target), solved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return dl.reshape(-1, *(1 for _ in gradient.shape[1:])) * gradient, None, None, None, None
