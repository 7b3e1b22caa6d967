"""Solving in worker processes, for solvers that hold the GIL."""

from __future__ import annotations

import datetime
import math
import os
import sys
import threading
import weakref

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.errors import AdapterError
from imle_solvers.executors.adapter_keys import AdapterKeys
from imle_solvers.executors.base import Executor, Progress
from imle_solvers.executors.cpus import check_num_workers
from imle_solvers.executors.processes.pool import Pool


@explain_arguments()
class ProcessExecutor(Executor):
    """Solves in persistent worker processes, which nothing that happens in one of them can stop.

    A worker is a program of its own that imports neither torch nor the main script, so no
    `if __name__ == "__main__"` guard is needed. An adapter is sent to each worker once; batches lie in shared memory.
    What a script or a notebook defines travels by value; what it imports must be importable from `sys.path`.
    Linux and macOS.

    A worker that dies in a solve, by its own fault or a signal, is replaced, and its part of the batch is solved again.
    An instance on which a worker dies twice ends CRASHED, alone. Workers end with their parent, however that ends.

    Args:
        num_workers: how many processes; None: the CPUs that this process may use.
        timeout: seconds, or a timedelta, that one instance may take; one that takes longer ends TIMEOUT, and its
            worker is replaced. Instances are then sent one at a time. None: any.

    Raises:
        ValueError: fewer than one worker, or a timeout that is not positive.
        RuntimeError: on Windows, or where there is no Python executable to start workers with.
    """

    def __init__(self, num_workers: int | None = None, timeout: float | datetime.timedelta | None = None) -> None:
        super().__init__()
        self.num_workers: int = check_num_workers(num_workers)
        self.timeout: float | None = _seconds(timeout)
        if os.name != "posix" or not sys.executable:
            raise RuntimeError(
                'worker processes need a POSIX system and sys.executable; use executor="threads" or num_workers=0 here'
            )
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a callback or a signal handler may close in the middle of a batch
        self._solving = False
        self._pool: Pool | None = None
        self._adapters = AdapterKeys()

    def check(self, adapter: SolverAdapter) -> None:
        """Pickles the adapter, which is kept. Raises `AdapterError` if that is impossible."""
        self._adapters.pickled(adapter)

    def prepare(self, adapter: SolverAdapter) -> None:
        """Starts workers, and has them build the adapter's state."""
        if not self.closed:
            self._leave_fork()
            with self._lock:
                self._start().prepare(*self._adapters.number(adapter))

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        self._leave_fork()
        with self._lock:
            if self._solving:
                raise RuntimeError(f"{self!r} is in the middle of a batch in this thread; use another one in callbacks")
            key, pickled = self._adapters.number(adapter)
            pool = self._start()
            self._solving = True
            try:
                return pool.solve(key, pickled, adapter, thetas, context, progress)
            except AdapterError:
                raise  # every chunk was answered, the workers are sound
            except BaseException:
                # Answers may still be on their way: these workers cannot be used again.
                self._pool = None  # first, since a second interrupt may come
                pool.close(kill=True)
                raise
            finally:
                self._solving = False
                if self.closed:
                    self._end_pool()

    def _start(self) -> Pool:
        self._check_open()  # with the lock, for which this thread may have waited while another closed
        if self._pool is None:
            self._pool = Pool(self.num_workers, self.timeout)
            weakref.finalize(self, _end, self._pool, self._lock)
        self._pool.forget(self._adapters.dropped())
        return self._pool

    def _leave_fork(self) -> None:
        if self._pid != os.getpid():  # the lock is in whatever state it was
            self._pid, self._pool, self._lock, self._solving = os.getpid(), None, threading.RLock(), False

    def close(self) -> None:
        """Ends the worker processes, after the batch that they are at."""
        super().close()
        self._leave_fork()
        with self._lock:
            if not self._solving:
                self._end_pool()

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    def __reduce__(self) -> tuple[type[ProcessExecutor], tuple[int, float | None]]:
        return ProcessExecutor, (self.num_workers, self.timeout)

    def __repr__(self) -> str:
        timeout = "" if self.timeout is None else f", timeout={self.timeout}"
        return f"ProcessExecutor(num_workers={self.num_workers}{timeout})"


def _end(pool: Pool, lock: threading.RLock) -> None:
    # At exit another thread may be in a batch, and must not see its workers vanish; they end by their lifelines.
    if lock.acquire(blocking=False):
        pool.close()


def _seconds(timeout: float | datetime.timedelta | None) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else float(timeout)
    if not 0 < seconds < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, a timedelta or None, got {timeout!r}")
    return seconds
