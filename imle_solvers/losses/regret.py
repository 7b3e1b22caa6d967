"""The regret of solutions: what they cost more than the best, by the true costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imle_solvers.arguments import explain_arguments
from imle_solvers.layer import SolverLayer
from imle_solvers.losses.common import Reduction, check_layer, check_shapes, checked_reduction, paired, reduce, refuse


@explain_arguments()
class RegretLoss(nn.Module):
    """What a solution costs more than the best one: <c, z> - <c, z*(c)> with the true costs c, in their units.

    For scores the same with signs turned; 0 is the least in either case. The mean is over instances and samples. Its
    gradient is c, or -c for scores, divided by the number of solutions, whatever the solution: no absolute value, whose
    sign rounding turns around where the regret is zero. One solve where `solution` is not given, else none.

    Args:
        layer: of which the solutions are, and whose adapter says whether theta are costs or scores; solutions must have
            theta's shape.
        reduction: "mean" over instances and samples, "sum", or "none" for one loss a solution.

    Raises:
        TypeError: no layer.
        ValueError: an unknown reduction, solutions of another shape.
    """

    def __init__(self, layer: SolverLayer, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_layer("RegretLoss", layer)
        check_shapes("RegretLoss", layer)
        self.layer = layer
        self.reduction = checked_reduction(reduction)

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(
            self, solutions: Tensor, truth: Tensor, solution: Tensor | None = None, **context: Any
        ) -> Tensor: ...

    def forward(self, solutions: Tensor, truth: Tensor, solution: Tensor | None = None, **context: Any) -> Tensor:
        """The loss.

        Args:
            solutions: (B, *solution_shape), (B, S, *solution_shape), or without B, as the layer gives them.
            truth: (B, *instance_shape), or without B, the true costs or scores.
            solution: their optimum z*(c), of that shape; None: it is solved for.
            **context: per-instance arrays for the adapter, where that is solved for.

        Returns:
            A scalar, or (B,) or (B, S).

        Raises:
            ValueError: other shapes, or truth that is not finite.
        """
        given, costs = paired("RegretLoss", self.layer, solutions, truth, "truth")
        refuse(~truth.isfinite(), truth, "truth: expected finite values", "check the data")
        if truth.ndim > len(self.layer.adapter.solution_shape) + 1:
            raise ValueError(f"RegretLoss: expected truth without an axis of samples, got {tuple(truth.shape)}")
        if solution is None:
            with torch.no_grad():
                solution = self.layer.map(truth.to(solutions), **context)
        _, best = paired("RegretLoss", self.layer, solutions, solution, "solution")
        costs = costs.to(given)
        sign = -1 if self.layer.adapter.sense == "max" else 1
        return reduce(sign * (costs * (given - best.to(given))).sum(-1), self.reduction, single=False)
