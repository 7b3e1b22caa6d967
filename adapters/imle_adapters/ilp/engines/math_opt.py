"""HiGHS, Gurobi and Xpress, by way of MathOpt."""

from __future__ import annotations

import datetime
import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from imle_adapters.ilp.engines.engine import Claim, Engine, Outcome, scaled
from imle_adapters.ilp.engines.libraries import load_gurobi
from imle_adapters.ilp.engines.outside import OutsideEngine, tensorflow_may_come
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats

# MathOpt is imported where it is used: it does not get along with TensorFlow in a process, see `outside`.

_TIGHT = 1e-9
_CLAIMS = {
    "OPTIMAL": Claim.OPTIMAL,
    "FEASIBLE": Claim.FEASIBLE,
    "NO_SOLUTION_FOUND": Claim.LIMIT,
    "INFEASIBLE": Claim.NO_OPTIMUM,
    "UNBOUNDED": Claim.NO_OPTIMUM,
    "INFEASIBLE_OR_UNBOUNDED": Claim.NO_OPTIMUM,
}


class Solver(NamedTuple):
    """One of MathOpt's solvers.

    Attributes:
        name: in `mathopt.SolverType`.
        parameters: makes those that are not common to all.
        interruptible: whether it listens to MathOpt's interrupter.
        load: what must be done once in a process.
    """

    name: str
    parameters: Callable[[], Any]
    interruptible: bool = True
    load: Callable[[], None] | None = None


class MathOptEngine:
    """A solver by way of MathOpt; `mathopt.solve` loads the model afresh each time."""

    def __init__(self, solver: Solver, program: Program, gap: float = 0.0) -> None:
        from ortools.math_opt.python import mathopt

        if solver.load is not None:
            solver.load()
        self._mathopt: Any = mathopt
        self._type = _solver_type(solver.name)
        self._interrupter: Any = _interrupter() if solver.interruptible else None
        self._model: Any = mathopt.Model()
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
        self._parameters = solver.parameters()
        if program.integrality.any():
            self._parameters.relative_gap_tolerance = gap
            self._parameters.absolute_gap_tolerance = 0.0

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        try:
            return self.solve_or_raise(costs, bounds, seconds)
        except Exception:  # MathOpt raises on results that it finds odd
            return Outcome(Claim.FAILED, None)

    def solve_or_raise(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """The same, but for what MathOpt raises."""
        costs = scaled(costs)
        for i in np.flatnonzero(costs != self._costs):
            self._model.objective.set_linear_coefficient(self._variables[i], float(costs[i]))
        self._costs = costs
        self._move_to(bounds)
        self._parameters.time_limit = None if seconds is None else datetime.timedelta(seconds=seconds)
        listens = {} if self._interrupter is None else {"interrupter": self._interrupter}
        result = self._mathopt.solve(self._model, self._type, params=self._parameters, **listens)
        claim = _CLAIMS.get(result.termination.reason.name, Claim.FAILED)
        if claim in (Claim.OPTIMAL, Claim.FEASIBLE):
            x = np.array(result.variable_values(self._variables), dtype=np.float64)
            return Outcome(claim, x, bound=result.termination.objective_bounds.dual_bound)
        return Outcome(claim, None)

    def stop(self) -> None:
        """Ends `minimize` in another thread, but for HiGHS, which does not listen to MathOpt's interrupter."""
        if self._interrupter is not None:
            self._interrupter.interrupt()

    def _move_to(self, bounds: Bounds) -> None:
        old = self._bounds
        for i in np.flatnonzero((bounds.lb != old.lb) | (bounds.ub != old.ub)):
            self._variables[i].lower_bound = float(bounds.lb[i])
            self._variables[i].upper_bound = float(bounds.ub[i])
        for i in np.flatnonzero((bounds.row_lb != old.row_lb) | (bounds.row_ub != old.row_ub)):
            self._rows[i].lower_bound = float(bounds.row_lb[i])
            self._rows[i].upper_bound = float(bounds.row_ub[i])
        self._bounds = bounds


def _solver_type(name: str) -> Any:
    """What `mathopt.solve` takes for a solver; its Python enumeration lags behind what is linked in."""
    from ortools.math_opt import parameters_pb2
    from ortools.math_opt.python import mathopt

    known = getattr(mathopt.SolverType, name, None)
    if known is not None:
        return known
    try:
        return types.SimpleNamespace(value=parameters_pb2.SolverTypeProto.Value(f"SOLVER_TYPE_{name}"))
    except ValueError:
        raise ValueError(f"support for {name} has not been compiled into this OR-Tools") from None


def _interrupter() -> Any:
    from ortools.util.python import solve_interrupter

    return solve_interrupter.SolveInterrupter()


def _highs_parameters() -> Any:
    from ortools.math_opt.python import mathopt

    parameters = mathopt.SolveParameters()
    parameters.highs.string_options["parallel"] = "off"
    for name in ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "dual_feasibility_tolerance"):
        parameters.highs.double_options[name] = _TIGHT
    return parameters


def _gurobi_parameters() -> Any:
    from ortools.math_opt.python import mathopt

    parameters = mathopt.SolveParameters(threads=1, random_seed=0)
    for name in ("FeasibilityTol", "IntFeasTol", "OptimalityTol"):
        parameters.gurobi.param_values[name] = str(_TIGHT)
    return parameters


def _xpress_parameters() -> Any:
    from ortools.math_opt.python import mathopt

    # By default a node is cut off that is better by less than 1e-5, or 1e-4 of the objective's value.
    controls = {"FEASTOL": _TIGHT, "OPTIMALITYTOL": _TIGHT, "MIPTOL": _TIGHT, "MIPADDCUTOFF": 0.0, "MIPRELCUTOFF": 0.0}

    class XpressParameters(mathopt.SolveParameters):  # type: ignore[misc]
        """MathOpt's parameters in Python have none for Xpress (OR-Tools 9.15); the message that they become has."""

        def to_proto(self) -> Any:
            proto = super().to_proto()
            known = {control.name for control in proto.xpress.parameters}
            for name, value in controls.items():
                if name not in known:
                    proto.xpress.parameters.add(name=name, value=str(value))
            return proto

    return XpressParameters(threads=1, random_seed=0)


_SOLVERS = {
    "highs": Solver("HIGHS", _highs_parameters, interruptible=False),
    "gurobi": Solver("GUROBI", _gurobi_parameters, load=load_gurobi),
    "xpress": Solver("XPRESS", _xpress_parameters),
}


def make_here(name: str, program: Program, gap: float = 0.0) -> MathOptEngine:
    """The engine of this name, in this process."""
    return MathOptEngine(_SOLVERS[name], program, gap)


def make(name: str, program: Program, gap: float = 0.0) -> Engine:
    """The same; in a process of its own where TensorFlow is installed, as MathOpt would not let it be imported."""
    here = functools.partial(make_here, name, program, gap)
    return OutsideEngine(here) if tensorflow_may_come() else here()


Make = functools.partial[Engine]

highs: Make = functools.partial(make, "highs")
gurobi: Make = functools.partial(make, "gurobi")
xpress: Make = functools.partial(make, "xpress")
