"""Read by mypy and pyright, never run: what a user's editor knows of calls and adapters."""

from __future__ import annotations

from typing import Any, assert_type

from torch import Tensor

from imle_solvers import FenchelYoungLoss, ScoreFunctionLoss, SolverAdapter, SolverLayer, SPOPlusLoss, Status
from imle_solvers.adapter import Context, FloatArray


class Claims(SolverAdapter):
    """Says what holds by attributes."""

    sense = "max"
    instance_shape = (3,)
    is_binary = True
    num_ones = 2.0

    def solve(self, state: Any, theta: FloatArray, **context: Any) -> tuple[FloatArray, Status]:
        return theta, Status.OPTIMAL


class Decides(SolverAdapter):
    """Says it for each context."""

    sense = "min"
    instance_shape = (3,)

    def is_binary(self, context: Context) -> bool:
        return not context


def use(theta: Tensor, target: Tensor) -> None:
    layer = SolverLayer(Claims())
    assert_type(layer(theta, k=3), Tensor)
    assert_type(FenchelYoungLoss(layer)(theta, target), Tensor)
    assert_type(SPOPlusLoss(layer)(theta, target), Tensor)
    assert_type(ScoreFunctionLoss(layer, lambda z: z.sum(-1))(theta), Tensor)
