"""Solving in the caller's own thread."""

from __future__ import annotations

import time

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.chunk import States, solve_chunk
from imle_solvers.executors.base import Executor, Progress, join, slice_context
from imle_solvers.report import Report

_PROGRESS_SECONDS = 0.1
"""How often progress is told of, where there is somebody to tell."""


class SerialExecutor(Executor):
    """Solves in-process, with no workers."""

    num_workers = 0

    def __init__(self) -> None:
        super().__init__()
        self._states = States()

    def _solve(
        self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress | None
    ) -> Solutions:
        state = self._states.of(adapter)
        report, parts, start = Report("serial"), [], 0
        size = len(thetas) if progress is None else 1
        while start < len(thetas):
            stop = min(len(thetas), start + size)
            begin = time.perf_counter()
            part = solve_chunk(adapter, state, thetas[start:stop], slice_context(context, start, stop), start)
            seconds = time.perf_counter() - begin
            if not part.fresh:
                part.values = part.values.copy()
            parts.append(part)
            report.chunks.append((stop - start, seconds))
            if progress is not None:
                progress(stop - start)
                size = max(1, int(_PROGRESS_SECONDS * (stop - start) / max(seconds, 1e-9)))
            start = stop
        solutions = join(parts)
        solutions.report = report
        return solutions

    def __reduce__(self) -> tuple[type[SerialExecutor], tuple[()]]:
        return SerialExecutor, ()
