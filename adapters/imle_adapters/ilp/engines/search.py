"""Programs small enough for the compiled search, and the arrays that it takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imle_adapters.ilp.engines.cp_sat import ROUNDED, integer_row
from imle_adapters.ilp.program import FEASIBILITY, Bounds, Program
from imle_adapters.ilp.spec import Bools, Floats

LARGEST_TABLEAU = 4096
"""Rows times variables; above, the solvers' sparse simplex methods win."""

_LARGEST_SUM = 2.0**18  # of a row's terms: where a solver that is off by FEASIBILITY cannot be off by an integer
_MARGIN = 1e-7  # by which an optimum must beat all other points, relative to the sum of the terms' magnitudes
_VIOLATED = 2 * FEASIBILITY  # relative to a row's magnitude, where it cannot be made integer
_SAME_SIDE = 1e-9  # how near to an integer the side of an integer row means that integer, as in CP-SAT
_FEW = 36
_DEPTH = 64
_WORK = 10_000_000  # about 30 ms
_TRIALS = 4


class Found(NamedTuple):
    """What the search found out about N instances."""

    values: Floats  # (N, n), where solved
    solved: Bools
    infeasible: Bools


class Search:
    """The compiled branch and bound on one program, for instances with one optimum.

    It answers only where every exact solver must give the same answer: the optimum is better than all other points by
    more than solvers, in floating point, may take for equal; each row that matters is clearly satisfied or clearly
    violated; and the effort, counted and not timed, stays within a limit. All else is left to a solver. So what it
    returns does not depend on what was solved before.

    A row is clear if a factor makes it integer, and its sums stay small; otherwise a point is doubtful that misses it
    by between 1e-12 and 2e-6 of its magnitude, or by one if its coefficients are large integers.
    """

    def __init__(self, program: Program) -> None:
        """Scales the rows: to integers where possible, and then by powers of two, which loses nothing."""
        from imle_adapters.ilp.engines import search_kernels

        self._kernels = search_kernels
        self._matrix = program.matrix.toarray()
        self._equal = np.isfinite(program.bounds.row_lb)
        reach = _reach(program.bounds)
        rows = len(self._matrix)
        self._whole, self._factor, self._unit = np.zeros(rows, dtype=bool), np.ones(rows), np.ones(rows)
        integers = (self._matrix == np.rint(self._matrix)).all(axis=1)
        self._grain = np.where(integers, 0.5, np.inf)  # CP-SAT rounds nothing there
        for row, values in enumerate(self._matrix):
            factor, coefficients = integer_row(values)
            if factor <= _LARGEST_SUM and np.abs(np.array(coefficients, dtype=float)) @ reach <= _LARGEST_SUM:
                self._whole[row], self._factor[row] = True, factor
                self._matrix[row] = coefficients
            self._unit[row] = 2.0 ** -np.frexp(np.abs(self._matrix[row]).max(initial=0.0))[1]

    @staticmethod
    def takes(program: Program) -> bool:
        """Whether it could search the program at all."""
        rows, columns = program.matrix.shape
        whole = bool(program.integrality.all()) and program.bounds.finite and not program.bounds.crossed
        return whole and rows * columns <= LARGEST_TABLEAU

    @staticmethod
    def of(program: Program, typical: Floats | None) -> Search | None:
        """The search, if it is worth while: it must solve most of a few instances made up for a trial.

        Args:
            program: one that it takes.
            typical: (n,) costs to vary in the trial. Without them it has positive costs, as of covering, and again
                negative ones, as of packing.
        """
        search = Search(program)
        factors = np.random.default_rng(0).uniform(0.5, 1.5, (_TRIALS, program.matrix.shape[1]))
        trials = (factors, -factors) if typical is None else (factors * typical,)
        solved = [search.solve(costs, program.bounds.stacked()).solved.sum() for costs in trials]
        return search if 2 * min(solved) > _TRIALS else None

    def solve(self, costs: Floats, bounds: Bounds) -> Found:
        """Minimises costs @ x, (N, n), within bounds, each of them (N or 1, ...)."""
        reach = _reach(bounds)
        fit: Bools = np.asarray(((reach <= _LARGEST_SUM) & (bounds.lb <= bounds.ub)).all(axis=-1))
        low, high = (np.where(fit[:, None], bound, 0.0) for bound in (bounds.lb, bounds.ub))
        reach = np.where(fit[:, None], reach, 1.0)
        terms = reach @ np.abs(self._matrix).T
        sides, clear = self._sides(bounds.row_ub, low, high, terms)
        magnitude = np.abs(sides) + terms
        clear &= (~self._whole | (magnitude <= 4 * _LARGEST_SUM)).all(axis=-1)  # bounds may be wider than the spec's
        doubtful = ~self._whole * magnitude
        satisfied = np.minimum(ROUNDED * doubtful, self._grain)
        slacks = np.stack([satisfied, _VIOLATED * doubtful, magnitude], axis=-1)
        largest = np.abs(costs).max(axis=1, keepdims=True)
        scores = np.ldexp(-costs, -np.frexp(largest)[1])  # exactly the same problem, at the scale of tolerances
        values, ends = np.zeros_like(scores), np.zeros(len(scores), dtype=np.int64)
        self._kernels.search(
            scores,
            self._matrix * self._unit[:, None],
            self._equal,
            slacks * self._unit[:, None],
            sides * self._unit,
            low,
            high,
            _MARGIN * (np.abs(scores) * np.maximum(reach, 1.0)).sum(axis=1),
            _FEW,
            _DEPTH,
            _WORK,
            values,
            ends,
        )
        answered = fit & clear
        return Found(
            values + 0.0, answered & (ends == self._kernels.SOLVED), answered & (ends == self._kernels.INFEASIBLE)
        )

    def _sides(self, given: Floats, low: Floats, high: Floats, terms: Floats) -> tuple[Floats, Bools]:
        """The sides of the scaled rows, (N or 1, m), integers where these are, and whether they are clear, (N or 1,).

        What is out of reach is moved nearer, but stays out of reach by more than any tolerance, relative to terms.
        """
        positive, negative = np.maximum(self._matrix, 0.0), np.minimum(self._matrix, 0.0)
        least = low @ positive.T + high @ negative.T
        most = high @ positive.T + low @ negative.T
        sides = np.clip(given * self._factor, least - 1.0 - terms, most + 1.0 + terms)
        nearest = np.rint(sides)
        away, scale = np.abs(sides - nearest), np.maximum(1.0, np.abs(sides))
        meant = away <= _SAME_SIDE * scale
        whole = np.where(meant, nearest, np.floor(sides))
        clear = ~self._whole | meant | ((away > FEASIBILITY * scale) & ~self._equal)
        return np.where(self._whole, whole, sides), np.asarray(clear.all(axis=-1))


def _reach(bounds: Bounds) -> Floats:
    return np.maximum(np.abs(bounds.lb), np.abs(bounds.ub))
