"""SCIP and CBC, by way of `pywraplp`, OR-Tools' wrapper of linear solvers."""

from __future__ import annotations

import contextlib
import functools
import threading
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from ortools.linear_solver import pywraplp

from imle_adapters.ilp.engines.engine import Claim, Outcome, scaled
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats


class WrappedEngine:
    """SCIP and CBC by way of `pywraplp`, which is told to load the model afresh each time.

    Not by MathOpt: its interrupter does not reach SCIP (OR-Tools 9.15), and it has no CBC.
    """

    def __init__(
        self, name: str, settings: str, lock: AbstractContextManager[Any], program: Program, gap: float = 0.0
    ) -> None:
        self._lock = lock
        self._settings = settings
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
        self._parameters.SetDoubleParam(self._parameters.RELATIVE_MIP_GAP, gap)
        self._parameters.SetIntegerParam(self._parameters.INCREMENTALITY, self._parameters.INCREMENTALITY_OFF)

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds."""
        return self._minimize(costs, bounds, seconds, limited=seconds is not None)

    def _minimize(self, costs: Floats, bounds: Bounds, seconds: float | None, limited: bool) -> Outcome:
        costs = scaled(costs)
        for i in np.flatnonzero(costs != self._costs):
            self._objective.SetCoefficient(self._variables[i], float(costs[i]))
        self._costs = costs
        self._move_to(bounds)
        self._solver.SetTimeLimit(0 if seconds is None else max(1, round(seconds * 1000)))  # ms, 0: none
        with self._lock:
            if self._stopped:  # while it waited
                return Outcome(Claim.FAILED, None)
            status = self._solver.Solve(self._parameters)
        if status in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
            values = np.array([variable.solution_value() for variable in self._variables])
            claim = Claim.OPTIMAL if status == pywraplp.Solver.OPTIMAL else Claim.FEASIBLE
            return Outcome(claim, values, bound=self._objective.BestBound())
        if status in (pywraplp.Solver.INFEASIBLE, pywraplp.Solver.UNBOUNDED):
            return Outcome(Claim.NO_OPTIMUM, None)
        limited = limited and status == pywraplp.Solver.NOT_SOLVED
        return Outcome(Claim.LIMIT if limited else Claim.FAILED, None)

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


class ScipEngine(WrappedEngine):
    """SCIP without restarts, which took twice as long or more on half of the families.

    Without cuts it takes 0.15 to 0.7 times as long on most families, and far longer on some.

    Args:
        program, gap: see `ENGINES`.
        cuts: whether to separate.
        settings: more of SCIP's parameters, one a line.
    """

    def __init__(self, program: Program, gap: float = 0.0, *, cuts: bool = True, settings: str = "") -> None:
        settings = _SCIP_SETTINGS + ("" if cuts else _NO_CUTS) + settings
        super().__init__("SCIP", settings, contextlib.nullcontext(), program, gap)
        self._costs_of_work = _scip_work(cuts, program.matrix.nnz)
        _, iteration, node = self._costs_of_work
        self._work_of_a_node = _ITERATIONS * iteration + node

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None, work: float | None = None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds; work is a sum of nodes and simplex iterations.

        SCIP has a limit of nodes alone, so a limit of work is a rough one.
        """
        nodes = -1 if work is None else max(1, round(work / self._work_of_a_node))
        self._solver.SetSolverSpecificParametersAsString(f"{self._settings}limits/totalnodes = {nodes}")
        outcome = self._minimize(costs, bounds, seconds, limited=seconds is not None or work is not None)
        start, iteration, node = self._costs_of_work
        return outcome._replace(work=start + iteration * self._solver.iterations() + node * self._solver.nodes())


_SCIP_SETTINGS = f"""
numerics/feastol = {1e-9}
limits/absgap = 0.0
misc/catchctrlc = FALSE
presolving/maxrestarts = 0
"""
_NO_CUTS = """separating/maxrounds = 0
separating/maxroundsroot = 0
"""


_ITERATIONS = 5  # of the simplex method in a node, for most of the families


def _scip_work(cuts: bool, entries: int) -> tuple[float, float, float]:
    """Seconds to begin with, for a simplex iteration, and for a node of a program with so many entries.

    Fitted to 38 families, those of `benchmarks/ilp_families.py` among them; half of the solves are off by less than a
    factor of 1.5, and one in eighty by more than 4.
    """
    return (0.0, 131e-6 + 2.1e-9 * entries, 0.0) if cuts else (8e-3, 26e-6 + 6.9e-9 * entries, 158e-9 * entries)


# CBC has a handler of its own for Ctrl-C for about a millisecond of each solve, and restores what it found. Two solves
# at once in one process would find each other's.
cbc: functools.partial[WrappedEngine] = functools.partial(WrappedEngine, "CBC", "", threading.Lock())
