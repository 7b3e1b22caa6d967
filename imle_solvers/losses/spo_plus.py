"""The SPO+ loss (Elmachtoub and Grigas, Management Science 2022, arXiv 1710.08005)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imle_solvers.arguments import explain_arguments
from imle_solvers.estimators.base import Solve
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
        check_layer("SPOPlusLoss", layer)
        check_shapes("SPOPlusLoss", layer)
        self.layer = layer
        self.reduction = checked_reduction(reduction)

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
        check_target(theta, truth, "truth")
        if solution is None:
            with torch.no_grad():
                solution = self.layer.map(truth.to(theta), **context)
        check_target(theta, solution, "solution")
        prepared, solve, single = self.layer.prepare(theta, context)
        scores = solve.sign * prepared
        sign = -1 if self.layer.adapter.sense == "min" else 1
        if single:
            truth, solution = truth.unsqueeze(0), solution.unsqueeze(0)
        losses: Tensor = _SPOPlus.apply(scores, sign * truth.to(scores), solution.to(scores), solve)  # type: ignore[no-untyped-call]
        return reduce(losses, self.reduction, single).to(theta.dtype)


class _SPOPlus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, truth: Tensor, solution: Tensor, solve: Solve) -> Tensor:
        rival = 2 * scores - truth
        solved = solve(rival.unsqueeze(1))
        gain = solved.values - solution.unsqueeze(1)
        ctx.save_for_backward(mean_of_solved(2 * gain, solved))
        return mean_of_solved(inner(rival.unsqueeze(1), gain), solved)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return dl.reshape(-1, *(1 for _ in gradient.shape[1:])) * gradient, None, None, None
