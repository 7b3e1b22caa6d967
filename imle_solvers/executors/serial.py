"""Solving in the caller's own thread."""

from __future__ import annotations

import time

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.errors import AdapterError
from imle_solvers.executors.base import Executor, Progress, join, slice_context
from imle_solvers.executors.by_adapter import ByAdapter
from imle_solvers.executors.chunk import States, solve_chunk
from imle_solvers.report import Report
from imle_solvers.waiting import Interrupted

_SLICE_SECONDS = 0.1
"""How long to solve at a time: between slices progress is told of, and Python hears of Ctrl-C."""


class SerialExecutor(Executor):
    """Solves in-process, with no workers."""

    num_workers = 0

    def __init__(self) -> None:
        super().__init__()
        self._states = States()
        self._row_seconds: ByAdapter[float] = ByAdapter()

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        try:
            return self._solve_slices(adapter, thetas, context, progress)
        except AdapterError:
            raise
        except Interrupted as interrupted:
            self._states = States()
            raise interrupted.error from None
        except BaseException:
            self._states = States()  # an interrupted solve may have left its state in any condition
            raise

    def _solve_slices(
        self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress
    ) -> Solutions:
        state, row_seconds = self._states.of(adapter), self._row_seconds.get(adapter)
        report, parts, start = Report("serial"), [], 0
        while start < len(thetas):
            size = 1 if row_seconds is None else max(1, int(_SLICE_SECONDS / max(row_seconds, 1e-9)))
            stop = min(len(thetas), start + size)
            begin = time.perf_counter()
            part = solve_chunk(adapter, state, thetas[start:stop], slice_context(context, start, stop), start)
            seconds = time.perf_counter() - begin
            if not part.fresh:
                part.values = part.values.copy()
            parts.append(part)
            report.chunks.append((stop - start, seconds))
            row_seconds = seconds / (stop - start)
            progress(stop - start)
            start = stop
        assert row_seconds is not None
        self._row_seconds.set(adapter, row_seconds)
        solutions = join(parts)
        solutions.report = report
        return solutions

    def __reduce__(self) -> tuple[type[SerialExecutor], tuple[()]]:
        return SerialExecutor, ()
