"""The Hamming distance of solutions to the true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from imle_solvers.arguments import explain_arguments
from imle_solvers.layer import SolverLayer
from imle_solvers.losses.common import Reduction, check_entries, check_layer, checked_reduction, paired, reduce, refuse


@explain_arguments()
class HammingLoss(nn.Module):
    """How many entries of a solution of zeros and ones are wrong: sum_i |z_i - y_i|, from 0 to the number of entries.

    The mean is over instances and samples, the sum over entries, so that neither the size of a batch nor that of an
    instance scales what an entry counts for. Its gradient is 1 where an entry is wrongly there, -1 where it is wrongly
    missing, 0 where it is right, divided by the number of solutions. Means of samples have the mean of their losses.

    Args:
        layer: of which the solutions are.
        reduction: "mean" over instances and samples, "sum", or "none" for one loss a solution.

    Raises:
        TypeError: no layer.
        ValueError: an unknown reduction.
    """

    def __init__(self, layer: SolverLayer, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_layer("HammingLoss", layer)
        self.layer = layer
        self.reduction = checked_reduction(reduction)

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, solutions: Tensor, target: Tensor) -> Tensor: ...

    def forward(self, solutions: Tensor, target: Tensor) -> Tensor:
        """The loss.

        Args:
            solutions: (B, *solution_shape), (B, S, *solution_shape), or without B, as the layer gives them.
            target: the true ones, of that shape, or without the axis of samples.

        Returns:
            A scalar, or (B,) or (B, S).

        Raises:
            ValueError: other shapes, a target that is not finite, or what are no solutions nor means of them.
        """
        given, true = paired("HammingLoss", self.layer, solutions, target, "target")
        refuse(~target.isfinite(), target, "target: expected finite values", "check the data")
        if self.layer.adapter.is_binary is True:
            check_entries(solutions, "solutions", "the order is loss(solutions, target), and theta is neither")
        return reduce((given - true.to(given)).abs().sum(-1), self.reduction, single=False)
