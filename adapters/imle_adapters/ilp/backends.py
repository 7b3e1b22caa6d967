"""The solvers of OR-Tools by name.

Every solve starts from the model alone. None of the solvers is given a basis, a solution or a statistic of an
earlier solve, since these would decide between tied optima: the same instance could give another solution after
another history. At most the model is kept between solves; only objective coefficients and bounds change.

All solvers run on one thread with a fixed seed and release the GIL.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from ortools.linear_solver import pywraplp
from ortools.math_opt.python import mathopt

from imle_adapters.ilp.cp_sat import CpSatEngine
from imle_adapters.ilp.engine import Claim, Engine, Outcome, scaled
from imle_adapters.ilp.glop import GlopEngine, UnimodularEngine
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats, ILPSpec

_TIGHT = 1e-9


class HighsEngine:
    """HiGHS by way of MathOpt; `mathopt.solve` loads the model afresh each time."""

    def __init__(self, program: Program) -> None:
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
        self._parameters = _highs_parameters(bool(program.integrality.any()))

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
            return Claim.FAILED, None
        claim = _HIGHS_CLAIMS.get(result.termination.reason, Claim.FAILED)
        if claim in (Claim.OPTIMAL, Claim.FEASIBLE):
            return claim, np.array(result.variable_values(self._variables), dtype=np.float64)
        return claim, None

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


def _highs_parameters(mixed: bool) -> mathopt.SolveParameters:
    parameters = mathopt.SolveParameters()
    if mixed:
        parameters.relative_gap_tolerance = 0.0
        parameters.absolute_gap_tolerance = 0.0
    parameters.highs.string_options["parallel"] = "off"
    for name in (
        "mip_feasibility_tolerance",
        "primal_feasibility_tolerance",
        "dual_feasibility_tolerance",
    ):
        parameters.highs.double_options[name] = _TIGHT
    return parameters


class WrappedEngine:
    """SCIP and CBC by way of `pywraplp`, which is told to load the model afresh each time.

    Not by MathOpt: its interrupter does not reach SCIP (OR-Tools 9.15), and it has no CBC.
    """

    def __init__(self, name: str, settings: str, lock: AbstractContextManager[Any], program: Program) -> None:
        self._lock = lock
        self._stopped = False
        self._solver = pywraplp.Solver.CreateSolver(name)
        if not self._solver.SetSolverSpecificParametersAsString(settings):
            raise ValueError(f"{name} does not take the settings {settings!r}")
        bounds = program.bounds
        self._variables = [
            self._solver.Var(float(low), float(high), bool(whole), "")
            for low, high, whole in zip(bounds.lb, bounds.ub, program.integrality, strict=True)
        ]
        self._rows = [
            self._solver.Constraint(float(low), float(high))
            for low, high in zip(bounds.row_lb, bounds.row_ub, strict=True)
        ]
        entries = program.matrix.tocoo()
        for row, column, value in zip(entries.row, entries.col, entries.data, strict=True):
            self._rows[row].SetCoefficient(self._variables[column], float(value))
        self._objective = self._solver.Objective()
        self._objective.SetMinimization()
        self._costs = np.zeros(len(self._variables))
        self._bounds = bounds
        self._parameters = pywraplp.MPSolverParameters()
        self._parameters.SetDoubleParam(self._parameters.RELATIVE_MIP_GAP, 0.0)
        self._parameters.SetIntegerParam(self._parameters.INCREMENTALITY, self._parameters.INCREMENTALITY_OFF)

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        costs = scaled(costs)
        for i in np.flatnonzero(costs != self._costs):
            self._objective.SetCoefficient(self._variables[i], float(costs[i]))
        self._costs = costs
        self._move_to(bounds)
        self._solver.SetTimeLimit(0 if seconds is None else max(1, round(seconds * 1000)))  # ms, 0: none
        with self._lock:
            if self._stopped:  # while it waited
                return Claim.FAILED, None
            status = self._solver.Solve(self._parameters)
        if status in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
            values = np.array([variable.solution_value() for variable in self._variables])
            return (Claim.OPTIMAL if status == pywraplp.Solver.OPTIMAL else Claim.FEASIBLE), values
        if status in (pywraplp.Solver.INFEASIBLE, pywraplp.Solver.UNBOUNDED):
            return Claim.NO_OPTIMUM, None
        return (Claim.LIMIT if status == pywraplp.Solver.NOT_SOLVED and seconds is not None else Claim.FAILED), None

    def stop(self) -> None:
        """Ends `minimize` in another thread; CBC cannot be stopped from outside."""
        self._stopped = True
        self._solver.InterruptSolve()

    def _move_to(self, bounds: Bounds) -> None:
        old = self._bounds
        for i in np.flatnonzero((bounds.lb != old.lb) | (bounds.ub != old.ub)):
            self._variables[i].SetBounds(float(bounds.lb[i]), float(bounds.ub[i]))
        for i in np.flatnonzero((bounds.row_lb != old.row_lb) | (bounds.row_ub != old.row_ub)):
            self._rows[i].SetBounds(float(bounds.row_lb[i]), float(bounds.row_ub[i]))
        self._bounds = bounds


_SCIP_SETTINGS = f"""
numerics/feastol = {_TIGHT}
limits/absgap = 0.0
misc/catchctrlc = FALSE
"""

_scip = functools.partial(WrappedEngine, "SCIP", _SCIP_SETTINGS, contextlib.nullcontext())

# CBC has a handler of its own for Ctrl-C for about a millisecond of each solve, and restores what it found. Two solves
# at once in one process would find each other's.
_cbc = functools.partial(WrappedEngine, "CBC", "", threading.Lock())


def _glop(program: Program) -> Engine:
    rows = program.unimodular
    return GlopEngine(program) if rows is None else UnimodularEngine(program, rows, _scip)


ENGINES: dict[str, Callable[[Program], Engine]] = {
    "scip": _scip,
    "highs": HighsEngine,
    "glop": _glop,
    "cbc": _cbc,
    "cp_sat": CpSatEngine,
}


@functools.cache
def available_backends() -> tuple[str, ...]:
    """The names of the solvers that this build of OR-Tools has, for `ILPAdapter(backend=...)`."""
    program = Program.of(ILPSpec(sense="min", shape=1, ub=1, integrality=True))
    return tuple(name for name, engine in ENGINES.items() if _works(engine, program))


def _works(engine: Callable[[Program], Engine], program: Program) -> bool:
    try:
        return engine(program).minimize(np.ones(1), program.bounds, None)[0] is Claim.OPTIMAL
    except Exception:  # a build without the solver has no one exception for it
        return False
