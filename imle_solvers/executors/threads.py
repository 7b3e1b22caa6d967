"""Solving in threads, for solvers that release the GIL."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.chunk import States, solve_chunk
from imle_solvers.executors.base import Executor, chunk_bounds, join, slice_context
from imle_solvers.executors.cpus import check_num_workers


class ThreadExecutor(Executor):
    """Solves in a pool of threads. Each thread builds a state of its own for every adapter.

    Args:
        num_workers: how many threads; None: the CPUs that this process may use.

    Raises:
        ValueError: fewer than one worker.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        super().__init__()
        self.num_workers = check_num_workers(num_workers)
        self._states = States()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context) -> Solutions:
        def solve(start: int, stop: int) -> Solutions:
            state = self._states.of(adapter)
            return solve_chunk(adapter, state, thetas[start:stop], slice_context(context, start, stop), start)

        bounds = chunk_bounds(len(thetas), self.num_workers)
        pool = self._start()
        futures = [pool.submit(solve, start, stop) for start, stop in bounds]
        try:
            return join(future.result() for future in futures)
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def _start(self) -> ThreadPoolExecutor:
        if self._pid != os.getpid():  # a fork has the pool's object, but none of its threads
            self._pool, self._lock, self._pid = None, threading.Lock(), os.getpid()
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="imle-solver")
                # Threads would otherwise outlive an executor that is dropped without close().
                weakref.finalize(self, self._pool.shutdown, wait=False)
            return self._pool

    def close(self) -> None:
        """Waits for running chunks and ends the threads."""
        super().close()
        if self._pool is not None and self._pid == os.getpid():
            self._pool.shutdown()
        self._pool = None

    def __reduce__(self) -> tuple[type[ThreadExecutor], tuple[int]]:
        return ThreadExecutor, (self.num_workers,)
