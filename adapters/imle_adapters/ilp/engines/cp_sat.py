"""CP-SAT: integers only, and exact in them."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from imle_adapters.ilp.engines.engine import Claim, Outcome, scaled
from imle_adapters.ilp.engines.outside import OutsideEngine, tensorflow_is_here
from imle_adapters.ilp.program import FEASIBILITY, Bounds, Program
from imle_adapters.ilp.spec import Floats

LARGEST_SUM = 2**60
"""What the terms of a row, or of the objective, may sum up to; CP-SAT's own limit is 2**63."""

ROUNDED = 1e-12
"""By how much a row of coefficients that are no integers may be missed, relative to the sum of its terms' magnitudes.

Far more than the rounding errors of such coefficients, as of 1/3, and of sides that were computed from them.
"""

_DECIMALS = 2**18
"""The largest factor of a row whose coefficients are taken for the decimals that they are, and not for rounded ones."""

_LARGEST_VALUE = 2.0**53  # of a variable: integers that float64 holds exactly
_STATUS = {
    cp_model.OPTIMAL: Claim.OPTIMAL,
    cp_model.FEASIBLE: Claim.FEASIBLE,
    cp_model.INFEASIBLE: Claim.NO_OPTIMUM,
    cp_model.UNKNOWN: Claim.LIMIT,
}


def unfit(program: Program) -> str | None:
    """Why CP-SAT cannot hold a program, or None if it can."""
    if not program.integrality.all():
        return f"variable {int(np.argmin(program.integrality))} is continuous"
    reason = unfit_bounds(program.bounds)
    if reason is not None:
        return reason
    try:
        _integer_rows(program)
    except ValueError as error:
        return str(error)
    return None


def unfit_bounds(bounds: Bounds) -> str | None:
    """Why CP-SAT cannot hold bounds, or None if it can."""
    unbounded = ~((np.abs(bounds.lb) <= _LARGEST_VALUE) & (np.abs(bounds.ub) <= _LARGEST_VALUE))
    if unbounded.any():
        where = int(np.argmax(unbounded))
        return f"variable {where} has bounds [{bounds.lb.flat[where]}, {bounds.ub.flat[where]}]"
    return None


def integer_costs(costs: Floats, bounds: Bounds) -> tuple[NDArray[np.int64], float]:
    """Costs times a power of two, rounded, as fine as int64 sums allow, and no finer than exactness asks for.

    Returns:
        The integers, (n,), and what rounding can lose: the costs of the optimum of the integer objective exceed
        the least costs by no more than this, and by nothing if it is 0.
    """
    magnitude = int(np.frexp(np.abs(costs).max())[1])
    # As they come, their sum may not be finite.
    largest = np.abs(np.ldexp(costs, -magnitude)) @ np.maximum(1.0, np.maximum(np.abs(bounds.lb), np.abs(bounds.ub)))
    if largest == 0.0:
        return np.zeros(costs.size, dtype=np.int64), 0.0
    exponent = int(math.log2(LARGEST_SUM)) - 1 - int(np.frexp(largest)[1]) - magnitude
    whole = np.rint(np.ldexp(costs, exponent))
    with np.errstate(over="ignore"):  # a loss of inf says what there is to say
        # Of the costs themselves: in scaling down, those that are far smaller than the largest may become 0.
        loss = float(np.abs(costs - np.ldexp(whole, -exponent)) @ (bounds.ub - bounds.lb))
    integers = whole.astype(np.int64)
    return integers // max(1, np.gcd.reduce(integers)), loss


class CpSatEngine:
    """CP-SAT with the rows of a program scaled to integers.

    Without cuts it takes 0.3 to 0.7 times as long on most families, and far longer on some.
    """

    def __init__(self, program: Program, gap: float = 0.0, *, cuts: bool = True) -> None:
        self._program = program
        self._gap = gap
        self._cuts = cuts
        self._scales, rows = _integer_rows(program)
        self._magnitudes = abs(program.matrix)
        self._bounds: Bounds | None = None
        self._solver: cp_model.CpSolver | None = None
        if tensorflow_is_here():  # a model alone would end the process, too
            return
        self._model = cp_model.CpModel()
        n = program.integrality.size
        self._variables = [self._model.new_int_var(0, 1, "") for _ in range(n)]
        for columns, coefficients in rows:
            terms = cp_model.LinearExpr.weighted_sum([self._variables[j] for j in columns], coefficients)
            self._model.add_linear_constraint(terms, 0, 0)

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None, work: float | None = None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds; work is deterministic time."""
        if tensorflow_is_here():
            return self._outside.minimize(costs, bounds, seconds, work)
        if not self._move_to(bounds):
            return Outcome(Claim.NO_OPTIMUM, None)
        integers, _ = integer_costs(costs, bounds)
        self._model.minimize(cp_model.LinearExpr.weighted_sum(self._variables, integers.tolist()))
        solver = self._solver = cp_model.CpSolver()
        solver.parameters.catch_sigint_signal = False  # or Ctrl-C ends the whole program from then on
        solver.parameters.num_workers = 1
        # With one worker clauses are otherwise not in the linear relaxation at all, and set covers have no bound.
        solver.parameters.linearization_level = 2
        solver.parameters.cp_model_probing_level = 0  # half of the time on assignments, and next to no loss elsewhere
        solver.parameters.cut_level = int(self._cuts)
        solver.parameters.random_seed = 0
        solver.parameters.relative_gap_limit = self._gap
        solver.parameters.absolute_gap_limit = 0.0
        if seconds is not None:
            solver.parameters.max_time_in_seconds = seconds
        if work is not None:
            solver.parameters.max_deterministic_time = work
        claim = _STATUS.get(solver.solve(self._model), Claim.FAILED)
        response = solver.response_proto
        if claim not in (Claim.OPTIMAL, Claim.FEASIBLE):
            return Outcome(claim, None, response.deterministic_time)
        x = np.array(response.solution, dtype=np.float64)
        costs = scaled(costs)
        largest = np.abs(integers).argmax()
        unit = costs[largest] / integers[largest] if integers[largest] else 0.0  # what 1 of the integer objective is
        bound = float(costs @ x - unit * (solver.objective_value - solver.best_objective_bound))
        return Outcome(claim, x, response.deterministic_time, bound)

    def stop(self) -> None:
        """Ends `minimize` in another thread."""
        if self._solver is not None:
            self._solver.stop_search()
        if "_outside" in self.__dict__:
            self._outside.stop()

    @cached_property
    def _outside(self) -> OutsideEngine:
        return OutsideEngine(partial(CpSatEngine, self._program, self._gap, cuts=self._cuts))

    def _move_to(self, bounds: Bounds) -> bool:
        """Sets the bounds; False where some row has no integer between its sides."""
        if bounds is self._bounds:
            return True
        proto: Any = self._model.proto
        self._bounds = None
        for variable, low, high in zip(proto.variables, bounds.lb, bounds.ub, strict=True):
            _set_domain(variable.domain, int(low), int(high))
        terms = self._magnitudes @ np.maximum(1.0, np.maximum(np.abs(bounds.lb), np.abs(bounds.ub)))
        large = np.flatnonzero(terms * np.array(self._scales, dtype=np.float64) > 2 * LARGEST_SUM)
        if large.size:
            raise ValueError(
                f"expected bounds under which row {large[0]}, scaled to integers, sums up to no more than 2**61; make "
                "them narrower, or take another backend"
            )
        sides = zip(proto.constraints, self._scales, terms, bounds.row_lb, bounds.row_ub, strict=True)
        for row, scale, size, low, high in sides:
            room = 0.0 if scale <= _DECIMALS else ROUNDED * size * scale
            first, last = -_integer_side(-low, scale, room), _integer_side(high, scale, room)
            if first > last:
                return False
            _set_domain(row.linear.domain, first, last)
        self._bounds = bounds
        return True


def _set_domain(domain: Any, low: int, high: int) -> None:
    domain.clear()
    domain.extend([low, high])


def _integer_side(side: float, scale: int, room: float) -> int:
    """The upper side of a scaled row, with room for rounding errors of its terms.

    Sums of integers never lie between integers, so rounding down loses nothing.
    """
    if not math.isfinite(side) or abs(side) * scale >= 2 * LARGEST_SUM:
        return int(math.copysign(2 * LARGEST_SUM, side))  # beyond any sum of terms
    exact = Fraction(repr(float(side))) * scale
    nearest = round(exact)
    slack = max(room, FEASIBILITY * 1e-3 * max(1.0, abs(float(exact))))
    return (nearest if abs(exact - nearest) <= slack else math.floor(exact)) + int(room)


def integer_row(values: Floats) -> tuple[int, list[int]]:
    """The least factor that makes the coefficients of a row integer, and what it makes of them.

    Coefficients count as the decimal numbers that they print as, so 0.1 takes the factor 10.
    """
    if (values == np.rint(values)).all():
        return 1, [int(value) for value in values]
    exact = [Fraction(repr(float(value))) for value in values]
    scale = math.lcm(*(value.denominator for value in exact))
    return scale, [int(value * scale) for value in exact]


def _integer_rows(program: Program) -> tuple[list[int], list[tuple[list[int], list[int]]]]:
    """The rows times the least factors that make them integer, and these factors."""
    matrix, bounds = program.matrix, program.bounds
    reach = np.maximum(np.abs(bounds.lb), np.abs(bounds.ub))
    scales, rows = [], []
    for row in range(matrix.shape[0]):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[part], matrix.data[part]
        scale, coefficients = integer_row(values)
        if sum(abs(c) * max(1, int(r)) for c, r in zip(coefficients, reach[columns], strict=True)) > LARGEST_SUM:
            raise ValueError(f"the coefficients of row {row} make sums above 2**60 when scaled to integers")
        scales.append(scale)
        rows.append((columns.tolist(), coefficients))
    return scales, rows
