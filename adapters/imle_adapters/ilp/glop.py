"""GLOP, a simplex method, for linear programs."""

from __future__ import annotations

import importlib
from typing import Any

from imle_adapters.ilp.engine import Claim, Outcome, scaled
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats

# By name, as the stubs that come with it hide the rest of ortools.linear_solver from mypy.
_builder: Any = importlib.import_module("ortools.linear_solver.python.model_builder_helper")

_TOLERANCES = "primal_feasibility_tolerance: 1e-9 dual_feasibility_tolerance: 1e-9"

_Status = _builder.SolveStatus
_CLAIMS = {
    _Status.OPTIMAL: Claim.OPTIMAL,
    _Status.FEASIBLE: Claim.FEASIBLE,
    _Status.INFEASIBLE: Claim.NO_OPTIMUM,
    _Status.UNBOUNDED: Claim.NO_OPTIMUM,
}


class GlopEngine:
    """GLOP by way of OR-Tools' model builder, which takes arrays: MathOpt takes two to five times as long."""

    def __init__(self, program: Program) -> None:
        self._matrix = program.matrix

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        model = _builder.ModelBuilderHelper()
        model.fill_model_from_sparse_data(
            bounds.lb, bounds.ub, scaled(costs), bounds.row_lb, bounds.row_ub, self._matrix
        )
        solver = _builder.ModelSolverHelper("glop")
        solver.set_solver_specific_parameters(_TOLERANCES)
        if seconds is not None:
            solver.set_time_limit_in_seconds(seconds)
        solver.solve(model)
        status = solver.status()
        if status == _Status.NOT_SOLVED and seconds is not None:
            return Claim.LIMIT, None
        claim = _CLAIMS.get(status, Claim.FAILED)
        return claim, solver.variable_values() if claim in (Claim.OPTIMAL, Claim.FEASIBLE) else None
