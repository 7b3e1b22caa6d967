"""GLOP, a simplex method, for linear programs and for integer programs whose vertices are integer."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from imle_adapters.ilp.engines.engine import Claim, Deadline, Engine, Outcome, scaled
from imle_adapters.ilp.engines.outside import OutsideEngine, tensorflow_is_here
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats
from imle_adapters.ilp.unimodular import UnimodularRows

# By name, as the stubs that come with it hide the rest of ortools.linear_solver from mypy.
_builder: Any = importlib.import_module("ortools.linear_solver.python.model_builder_helper")

_TOLERANCES = "primal_feasibility_tolerance: 1e-9 dual_feasibility_tolerance: 1e-9"
# Ends in a vertex by itself, and takes a fifth to nine tenths of the time of the primal method with presolve. With
# costs scaled as they come it sees differences of 1e-14 of the largest cost, and not of 1e-9 as otherwise.
_DUAL = "use_dual_simplex: true use_preprocessing: false cost_scaling: NO_COST_SCALING"

_SAME_SIDE = 1e-9  # how near to an integer the side of a row means that integer, as in CP-SAT
_LARGEST_SUM = 2.0**53  # of a row's terms: below, sums of integers are exact

_Status = _builder.SolveStatus
_CLAIMS = {
    _Status.OPTIMAL: Claim.OPTIMAL,
    _Status.FEASIBLE: Claim.FEASIBLE,
    _Status.INFEASIBLE: Claim.NO_OPTIMUM,
    _Status.UNBOUNDED: Claim.NO_OPTIMUM,
}


class GlopEngine:
    """GLOP by way of OR-Tools' model builder, which takes arrays: MathOpt takes 1.5 to 5 times as long."""

    def __init__(self, program: Program, parameters: str = "") -> None:
        self._matrix = program.matrix
        self._parameters = f"{_TOLERANCES} {parameters}"
        self._loads = program, parameters
        self._solver: Any = None

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        if tensorflow_is_here():
            return self._outside.minimize(costs, bounds, seconds)
        costs = scaled(costs)
        model = _builder.ModelBuilderHelper()
        model.fill_model_from_sparse_data(bounds.lb, bounds.ub, costs, bounds.row_lb, bounds.row_ub, self._matrix)
        solver = self._solver = _builder.ModelSolverHelper("glop")
        solver.set_solver_specific_parameters(self._parameters)
        if seconds is not None:
            solver.set_time_limit_in_seconds(seconds)
        solver.solve(model)
        status = solver.status()
        if status == _Status.NOT_SOLVED and seconds is not None:
            return Outcome(Claim.LIMIT, None)
        claim = _CLAIMS.get(status, Claim.FAILED)
        if claim not in (Claim.OPTIMAL, Claim.FEASIBLE):
            return Outcome(claim, None)
        x = solver.variable_values()
        return Outcome(claim, x, bound=float(costs @ x) if claim is Claim.OPTIMAL else None)

    def stop(self) -> None:
        """Ends `minimize` in another thread."""
        if self._solver is not None:
            self._solver.interrupt_solve()
        if "_outside" in self.__dict__:
            self._outside.stop()

    @cached_property
    def _outside(self) -> OutsideEngine:
        return OutsideEngine(partial(GlopEngine, *self._loads))


class UnimodularEngine:
    """Integer programs with a totally unimodular matrix, whose linear relaxations have integer vertices.

    A point counts if it is integer, and then satisfies every row exactly. Where it does not, as numbers are too large
    for floating point, an engine for any integer program solves instead.
    """

    def __init__(self, program: Program, rows: UnimodularRows, any_program: Callable[[Program], Engine]) -> None:
        self._program, self._any_program = program, any_program
        self._factors, self._signs = rows
        relaxed = Program(self._signs, np.zeros_like(program.integrality), program.bounds)
        self._relaxation = GlopEngine(relaxed, _DUAL)

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        deadline = Deadline(seconds)
        whole = self._whole(bounds)
        if whole.crossed:
            return Outcome(Claim.NO_OPTIMUM, None)
        claim, x, *_ = self._relaxation.minimize(costs, whole, deadline.left())
        if claim in (Claim.NO_OPTIMUM, Claim.LIMIT):
            return Outcome(claim, None)
        point = None if x is None else self._program.round(x, bounds)
        if point is not None and self._holds(point, whole):
            return Outcome(claim, point, bound=float(scaled(costs) @ point) if claim is Claim.OPTIMAL else None)
        return self._fallback.minimize(costs, bounds, deadline.left())

    def stop(self) -> None:
        """Ends `minimize` in another thread."""
        self._relaxation.stop()
        if "_fallback" in self.__dict__:
            self._fallback.stop()

    @cached_property
    def _fallback(self) -> Engine:
        return self._any_program(self._program)

    def _whole(self, bounds: Bounds) -> Bounds:
        """The sides of the rows of signs, rounded inwards: their sums are integers."""
        return Bounds(
            bounds.lb,
            bounds.ub,
            -_floor(-bounds.row_lb / self._factors),
            _floor(bounds.row_ub / self._factors),
        )

    def _holds(self, point: Floats, whole: Bounds) -> bool:
        sums = self._signs @ point
        exact = abs(self._signs) @ np.abs(point) <= _LARGEST_SUM
        return bool((exact & (whole.row_lb <= sums) & (sums <= whole.row_ub)).all())


def _floor(sides: Floats) -> Floats:
    """Sides rounded down, but for those meant to be the integer above."""
    finite = np.where(np.isfinite(sides), sides, 0.0)
    nearest = np.rint(finite)
    meant = np.abs(finite - nearest) <= _SAME_SIDE * np.maximum(1.0, np.abs(finite))
    return np.where(np.isfinite(sides), np.where(meant, nearest, np.floor(finite)), sides)
