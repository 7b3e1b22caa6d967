"""Solutions of the past in place of solves: approximate, and so for those who ask for it."""

from __future__ import annotations

import itertools
import threading

import numpy as np
from numpy.typing import NDArray

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.errors import AdapterError
from imle_solvers.executors.base import Executor, Progress
from imle_solvers.executors.by_adapter import ByAdapter
from imle_solvers.gaps import gather_gaps
from imle_solvers.report import Report
from imle_solvers.status import Status

FROM_CACHE = "solutions from the cache"
"""Counts, among an adapter's own, the rows that were not solved but given the best solution of the past."""


@explain_arguments()
class SolutionCache(Executor):
    """Solves only some instances, and gives the others the best of the solutions that were found before.

    Each instance is solved with probability `solve_ratio`, by the executor inside, and its solution is kept; the others
    get, of all that were kept, the one of the best objective (Mulamba et al., IJCAI 2021, arXiv 2011.05354, section 4).
    That is feasible but need not be optimal, so its status is FEASIBLE: use a layer with `on_failure="keep"`. While
    nothing is kept everything is solved.

    Solutions of one instance must be feasible for all, so there can be no context, and they must have theta's shape.

    Args:
        executor: what solves; it is not closed by this one.
        solve_ratio: the probability, above 0 and up to 1.
        max_size: how many solutions are kept for each adapter; the oldest go first.
        seed: of the draws, which are made here, so that results do not depend on the executor inside.

    Raises:
        TypeError, ValueError: an argument that cannot work. When solving: context, or solutions of another shape.
    """

    def __init__(self, executor: Executor, *, solve_ratio: float = 0.1, max_size: int = 1000, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(executor, Executor):
            raise TypeError(f"SolutionCache: expected an Executor such as AutoExecutor(), got {executor!r}")
        if not 0 < solve_ratio <= 1:
            raise ValueError(f"SolutionCache: solve_ratio must be above 0 and at most 1, got {solve_ratio}")
        if max_size < 1:
            raise ValueError(f"SolutionCache: max_size must be at least 1, got {max_size}")
        self.executor = executor
        self.num_workers: int = executor.num_workers
        self.solve_ratio = solve_ratio
        self.max_size = max_size
        self.seed = seed
        self._random = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._kept: ByAdapter[dict[bytes, FloatArray]] = ByAdapter()

    def check(self, adapter: SolverAdapter) -> None:
        """Asks the executor inside."""
        self.executor.check(adapter)

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        if context:
            raise ValueError(
                f"SolutionCache: solutions of the past fit all instances only without context, got {', '.join(context)}"
            )
        if adapter.solution_shape != adapter.instance_shape:
            raise ValueError(
                f"SolutionCache: expected solutions of theta's shape {adapter.instance_shape}, whose objective is "
                f"theirs with theta; those of {adapter!r} have {adapter.solution_shape}"
            )
        with self._lock:
            kept = self._kept_of(adapter)
            known = np.array(list(kept.values()))
            chosen = self._random.random(len(thetas)) < self.solve_ratio
        rows = np.flatnonzero(chosen) if len(known) else np.arange(len(thetas))
        solutions = self._solve_some(adapter, thetas, rows, progress)
        rest = np.setdiff1d(np.arange(len(thetas)), rows)
        if len(rest):
            flat = thetas[rest].reshape(len(rest), -1).astype(np.float64)
            objectives = flat @ known.reshape(len(known), -1).T
            best = objectives.argmax(1) if adapter.sense == "max" else objectives.argmin(1)
            solutions.values[rest] = known[best]
            solutions.statuses[rest] = Status.FEASIBLE
            solutions.counters[FROM_CACHE] = len(rest)
            progress(len(rest))
        solutions.gaps = gather_gaps([(rows, solutions.gaps)], solutions.statuses)
        with self._lock:
            for row in rows[solutions.statuses[rows] == Status.OPTIMAL]:
                kept[solutions.values[row].astype(np.float64).tobytes()] = solutions.values[row].astype(np.float64)
            for key in list(itertools.islice(kept, max(0, len(kept) - self.max_size))):
                del kept[key]
        return solutions

    def _solve_some(
        self, adapter: SolverAdapter, thetas: FloatArray, rows: NDArray[np.intp], progress: Progress
    ) -> Solutions:
        """Solves these rows; the others have solutions of zero."""
        values = np.zeros((len(thetas), *adapter.solution_shape), dtype=thetas.dtype)
        solutions = Solutions(values, np.zeros(len(thetas), dtype=np.uint8), report=Report("cache"))
        if len(rows):
            try:
                solved = self.executor.run(adapter, thetas[rows], {}, progress)
            except AdapterError as error:
                error.of_part(rows)
                raise
            solutions.values[rows], solutions.statuses[rows] = solved.values, solved.statuses
            solutions.counters, solutions.report = dict(solved.counters), solved.report
            solutions.gaps = solved.gaps
        return solutions

    def _kept_of(self, adapter: SolverAdapter) -> dict[bytes, FloatArray]:
        kept = self._kept.get(adapter)
        if kept is None:
            kept = {}
            self._kept.set(adapter, kept)
        return kept

    def __reduce__(self) -> tuple[object, ...]:
        return _make, (self.executor, self.solve_ratio, self.max_size, self.seed)

    def __repr__(self) -> str:
        return f"SolutionCache({self.executor!r}, solve_ratio={self.solve_ratio})"


def _make(executor: Executor, solve_ratio: float, max_size: int, seed: int) -> SolutionCache:
    return SolutionCache(executor, solve_ratio=solve_ratio, max_size=max_size, seed=seed)
