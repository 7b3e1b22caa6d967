"""HiGHS, by way of MathOpt."""

from __future__ import annotations

import datetime

import numpy as np
from ortools.math_opt.python import mathopt

from imle_adapters.ilp.engines.engine import Claim, Outcome, scaled
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats

_TIGHT = 1e-9


class HighsEngine:
    """HiGHS by way of MathOpt; `mathopt.solve` loads the model afresh each time."""

    def __init__(self, program: Program, gap: float = 0.0) -> None:
        self._model = mathopt.Model()
        bounds = program.bounds
        self._variables = [
            self._model.add_variable(lb=low, ub=high, is_integer=bool(whole))
            for low, high, whole in zip(bounds.lb, bounds.ub, program.integrality, strict=True)
        ]
        self._rows = [
            self._model.add_linear_constraint(lb=low, ub=high)
            for low, high in zip(bounds.row_lb, bounds.row_ub, strict=True)
        ]
        entries = program.matrix.tocoo()
        for row, column, value in zip(entries.row, entries.col, entries.data, strict=True):
            self._rows[row].set_coefficient(self._variables[column], float(value))
        self._costs = np.zeros(len(self._variables))
        self._bounds = bounds
        self._parameters = _highs_parameters(bool(program.integrality.any()), gap)

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        costs = scaled(costs)
        for i in np.flatnonzero(costs != self._costs):
            self._model.objective.set_linear_coefficient(self._variables[i], float(costs[i]))
        self._costs = costs
        self._move_to(bounds)
        self._parameters.time_limit = None if seconds is None else datetime.timedelta(seconds=seconds)
        try:
            result = mathopt.solve(self._model, mathopt.SolverType.HIGHS, params=self._parameters)
        except Exception:  # MathOpt raises on results that it finds odd
            return Outcome(Claim.FAILED, None)
        claim = _HIGHS_CLAIMS.get(result.termination.reason, Claim.FAILED)
        if claim in (Claim.OPTIMAL, Claim.FEASIBLE):
            x = np.array(result.variable_values(self._variables), dtype=np.float64)
            return Outcome(claim, x, bound=result.termination.objective_bounds.dual_bound)
        return Outcome(claim, None)

    def stop(self) -> None:
        """Nothing: HiGHS does not listen to MathOpt's interrupter."""

    def _move_to(self, bounds: Bounds) -> None:
        old = self._bounds
        for i in np.flatnonzero((bounds.lb != old.lb) | (bounds.ub != old.ub)):
            self._variables[i].lower_bound = float(bounds.lb[i])
            self._variables[i].upper_bound = float(bounds.ub[i])
        for i in np.flatnonzero((bounds.row_lb != old.row_lb) | (bounds.row_ub != old.row_ub)):
            self._rows[i].lower_bound = float(bounds.row_lb[i])
            self._rows[i].upper_bound = float(bounds.row_ub[i])
        self._bounds = bounds


_Reason = mathopt.TerminationReason
_HIGHS_CLAIMS = {
    _Reason.OPTIMAL: Claim.OPTIMAL,
    _Reason.FEASIBLE: Claim.FEASIBLE,
    _Reason.NO_SOLUTION_FOUND: Claim.LIMIT,
    _Reason.INFEASIBLE: Claim.NO_OPTIMUM,
    _Reason.UNBOUNDED: Claim.NO_OPTIMUM,
    _Reason.INFEASIBLE_OR_UNBOUNDED: Claim.NO_OPTIMUM,
}


def _highs_parameters(mixed: bool, gap: float) -> mathopt.SolveParameters:
    parameters = mathopt.SolveParameters()
    if mixed:
        parameters.relative_gap_tolerance = gap
        parameters.absolute_gap_tolerance = 0.0
    parameters.highs.string_options["parallel"] = "off"
    for name in (
        "mip_feasibility_tolerance",
        "primal_feasibility_tolerance",
        "dual_feasibility_tolerance",
    ):
        parameters.highs.double_options[name] = _TIGHT
    return parameters
