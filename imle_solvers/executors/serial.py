"""Solving in the caller's own thread."""

from __future__ import annotations

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.chunk import States, solve_chunk
from imle_solvers.executors.base import Executor


class SerialExecutor(Executor):
    """Solves in-process, with no workers."""

    num_workers = 0

    def __init__(self) -> None:
        super().__init__()
        self._states = States()

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context) -> Solutions:
        return solve_chunk(adapter, self._states.of(adapter), thetas, context, start=0)

    def __reduce__(self) -> tuple[type[SerialExecutor], tuple[()]]:
        return SerialExecutor, ()
