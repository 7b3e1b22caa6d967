"""Solving in threads, for solvers that release the GIL."""

from __future__ import annotations

import os
import threading
import time
import weakref
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.errors import AdapterError
from imle_solvers.executors.base import CHUNKS_PER_WORKER, Executor, Progress, chunk_bounds, join, slice_context
from imle_solvers.executors.by_adapter import ByAdapter
from imle_solvers.executors.chunk import States, solve_chunk
from imle_solvers.executors.cpus import check_num_workers
from imle_solvers.report import Report
from imle_solvers.waiting import LOOK, RETRY, stop_within

_CHUNK_SECONDS = 0.0005
"""How long a chunk should take to solve at least: handing it to a thread takes about a tenth of that."""

_END = ", for which the end of the program waits, too; processes can be stopped"

_LONG_CHUNK = 0.05
"""How long a chunk should take at most."""


@explain_arguments()
class ThreadExecutor(Executor):
    """Solves in a pool of threads. Each thread builds a state of its own for every adapter.

    Args:
        num_workers: how many threads; None: the CPUs that this process may use.

    Raises:
        ValueError: fewer than one worker.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        super().__init__()
        self.num_workers: int = check_num_workers(num_workers)
        self._states = States()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()
        self._row_seconds: ByAdapter[float] = ByAdapter()

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        report = Report("threads", self.num_workers)
        bounds = chunk_bounds(len(thetas), self._num_chunks(adapter, len(thetas)))
        values = np.empty((len(thetas), *adapter.solution_shape), thetas.dtype)  # memory only once it is written to

        states: list[Any] = []

        def solve(start: int, stop: int) -> Solutions:
            state = self._states.of(adapter)
            states.append(state)
            begin = time.perf_counter()
            part = solve_chunk(adapter, state, thetas[start:stop], slice_context(context, start, stop), start)
            report.chunks.append((stop - start, time.perf_counter() - begin))
            if len(bounds) > 1 or not part.fresh:  # here, where threads share the work, and no part is held twice
                values[start:stop] = part.values
                part.values = values[start:stop]
            return part

        pool = self._start()
        futures: list[Future[Solutions]] = []
        try:
            futures += [pool.submit(solve, start, stop) for start, stop in bounds]
            sizes = {future: stop - start for future, (start, stop) in zip(futures, bounds, strict=True)}
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, LOOK, return_when=FIRST_COMPLETED)
                for future in done:
                    progress(sizes[future])
                    if not future.cancelled() and future.exception() is not None:
                        for later in waiting:  # those that have begun go on: the first error in order is to be raised
                            later.cancel()
            parts = [future.result() for future in futures]
        except BaseException as error:
            for future in futures:
                future.cancel()
            if not isinstance(error, AdapterError):
                self._interrupt(adapter, states, futures)
            raise
        self._measure(adapter, report.solving / len(thetas))
        solutions = join(parts, values)
        solutions.report = report
        return solutions

    def _interrupt(self, adapter: SolverAdapter, states: list[Any], futures: list[Future[Solutions]]) -> None:
        """Ends what runs, or leaves it to itself, with its thread and state."""

        def stop() -> None:
            for state in list(states):
                adapter.interrupt(state)

        if any(future.running() for future in futures):
            self._states = States()
            if not stop_within(lambda: not wait(futures, RETRY).not_done, stop, f"{self!r} on {adapter!r}", _END):
                assert self._pool is not None
                self._pool.shutdown(wait=False)
                self._pool = None

    def _num_chunks(self, adapter: SolverAdapter, rows: int) -> int:
        seconds = self._row_seconds.get(adapter)
        enough = rows if seconds is None else int(rows * seconds / _CHUNK_SECONDS)
        # More than a few for each thread where rows take long, so that progress is told of, and all end together.
        few = self.num_workers * CHUNKS_PER_WORKER
        return min(rows, max(1, enough), few if seconds is None else max(few, int(rows * seconds / _LONG_CHUNK)))

    def _measure(self, adapter: SolverAdapter, seconds: float) -> None:
        known = self._row_seconds.get(adapter)
        # The least, not the mean: compiling a kernel, or waiting for a core, says nothing of the next batch.
        self._row_seconds.set(adapter, seconds if known is None else min(1.1 * known, seconds))

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
