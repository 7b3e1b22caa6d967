"""Solving in worker processes, for solvers that hold the GIL."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import cloudpickle

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.errors import AdapterError, WorkerDiedError
from imle_solvers.executors.base import Executor, chunk_bounds, join, slice_context
from imle_solvers.executors.cpus import check_num_workers

_GRACE_SECONDS = 2.0
"""How long a worker may take to end by itself after its connection was closed."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""Workers are the parallelism: libraries inside them must not multiply it."""


class ProcessExecutor(Executor):
    """Solves in persistent worker processes.

    A worker is a program of its own that imports neither torch nor the main script, so no
    `if __name__ == "__main__"` guard is needed. An adapter is sent to each worker once. What a script or a notebook
    defines travels by value; what it imports must be importable from `sys.path`. Linux and macOS.

    Args:
        num_workers: how many processes; None: the CPUs that this process may use.

    Raises:
        ValueError: fewer than one worker.
        RuntimeError: on Windows, or where there is no Python executable to start workers with.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        super().__init__()
        self.num_workers = check_num_workers(num_workers)
        if os.name != "posix" or not sys.executable:
            raise RuntimeError(
                'worker processes need a POSIX system and sys.executable; use executor="threads" or num_workers=0 here'
            )
        self._lock = threading.Lock()
        self._workers: _Workers | None = None
        self._adapters = _AdapterKeys()

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context) -> Solutions:
        if self._workers is not None and self._workers.pid != os.getpid():
            # A fork shares the parent's workers, and whatever state its lock was in: start afresh.
            self._workers, self._lock = None, threading.Lock()
        with self._lock:
            key, pickled = self._adapters.key(adapter), self._adapters.pickled(adapter)
            if self._workers is None:
                self._workers = _Workers(self.num_workers)
                weakref.finalize(self, self._workers.close)
            try:
                self._workers.send_adapter(key, pickled, self._adapters.dropped())
                return self._workers.solve(key, thetas, context)
            except AdapterError:
                raise  # every chunk was answered, the workers are sound
            except BaseException:
                # Answers may still be on their way: these workers cannot be used again.
                self._workers.close(kill=True)
                self._workers = None
                raise

    def close(self) -> None:
        """Ends the worker processes."""
        super().close()
        if self._workers is not None:
            with self._lock:
                self._workers.close()
                self._workers = None

    def __reduce__(self) -> tuple[type[ProcessExecutor], tuple[int]]:
        return ProcessExecutor, (self.num_workers,)


class _AdapterKeys:
    """Numbers the adapters that were sent to workers, and notes those that are gone."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._known: dict[int, tuple[int, bytes]] = {}
        self._dropped: list[int] = []

    def key(self, adapter: SolverAdapter) -> int:
        if id(adapter) not in self._known:
            try:
                pickled = cloudpickle.dumps(adapter)
            except Exception as error:
                problem = f"{adapter!r} cannot be sent to worker processes: {type(error).__name__}: {error}"
                raise AdapterError(f"{problem}. Make it picklable, or use num_workers=0") from error
            self._known[id(adapter)] = next(self._numbers), pickled
            weakref.finalize(adapter, self._forget, id(adapter)).atexit = False
        return self._known[id(adapter)][0]

    def pickled(self, adapter: SolverAdapter) -> bytes:
        return self._known[id(adapter)][1]

    def _forget(self, adapter_id: int) -> None:
        self._dropped.append(self._known.pop(adapter_id)[0])

    def dropped(self) -> list[int]:
        keys = self._dropped[:]
        del self._dropped[: len(keys)]
        return keys


class _Workers:
    """Running worker processes and the connections to them."""

    def __init__(self, num_workers: int) -> None:
        self.pid = os.getpid()
        self._sent: set[int] = set()
        self._processes: dict[Connection[Any, Any], subprocess.Popen[bytes]] = {}
        # What can be imported here can be imported there; "" is a notebook's own folder.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": path}
        for _ in range(num_workers):
            ours, theirs = Pipe()
            # -P: the working directory is on the path only if it is on ours.
            command = [sys.executable, "-P", "-m", "imle_solvers.worker", str(theirs.fileno())]
            with theirs:
                self._processes[ours] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, env=environment, pass_fds=[theirs.fileno()]
                )

    def send_adapter(self, key: int, pickled: bytes, dropped: list[int]) -> None:
        messages: list[tuple[Any, ...]] = [("forget", old) for old in dropped if old in self._sent]
        if key not in self._sent:
            messages.append(("adapter", key, pickled))
            self._sent.add(key)
        for message in messages:
            for connection in self._processes:
                self._send(connection, message, "before its first batch")
        self._sent.difference_update(dropped)

    def solve(self, key: int, thetas: FloatArray, context: Context) -> Solutions:
        """Hands chunks to whichever worker is free, so that uneven solves balance."""
        bounds = chunk_bounds(len(thetas), len(self._processes))
        waiting = iter(enumerate(bounds))
        solving: dict[Connection[Any, Any], int] = {}
        chunks: list[Solutions | None] = [None] * len(bounds)
        failure: AdapterError | None = None

        def hand_out(connection: Connection[Any, Any]) -> None:
            for chunk, (start, stop) in waiting:
                message = ("solve", key, start, thetas[start:stop], slice_context(context, start, stop))
                self._send(connection, message, _rows(bounds[chunk]))
                solving[connection] = chunk
                return

        for connection in self._processes:
            hand_out(connection)
        while solving:
            ready = wait(list(solving))
            for connection in [connection for connection in solving if connection in ready]:
                chunk = solving.pop(connection)
                kind, *rest = self._receive(connection, _rows(bounds[chunk]))
                if kind == "solved":
                    chunks[chunk] = rest[0]
                elif failure is None or (rest[1] or 0) < (failure.row or 0):
                    # The first row in order, not in time, so that every run reports the same.
                    failure = _failure(*rest)
                if failure is None:
                    hand_out(connection)
        if failure is not None:
            raise failure
        return join(chunk for chunk in chunks if chunk is not None)

    def _send(self, connection: Connection[Any, Any], message: tuple[Any, ...], doing: str) -> None:
        try:
            connection.send_bytes(pickle.dumps(message, protocol=5))
        except OSError as error:
            raise self._death(connection, doing) from error

    def _receive(self, connection: Connection[Any, Any], doing: str) -> Any:
        try:
            return pickle.loads(connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._death(connection, doing) from error

    def _death(self, connection: Connection[Any, Any], doing: str) -> WorkerDiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._processes[connection].wait(_GRACE_SECONDS)
        code = self._processes[connection].returncode
        how = "without an exit code" if code is None else f"with exit code {code}"
        if code is not None and code < 0:
            how = f"by {signal.Signals(-code).name}"
        return WorkerDiedError(
            f"a worker process ended {how} {doing}. Usual reasons are the memory limit and a crash in the solver's "
            "native code; num_workers=0 shows which instance does it. The next batch starts new workers"
        )

    def close(self, kill: bool = False) -> None:
        """Ends the workers and waits for them; may be called again. In a fork, only drops the connections."""
        ours = self.pid == os.getpid()
        for connection, process in self._processes.items():
            connection.close()
            if ours and kill:
                process.kill()
        for process in self._processes.values() if ours else ():
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:  # still solving
                process.kill()
                process.wait()
        self._processes = {}


def _rows(bounds: tuple[int, int]) -> str:
    return f"while it held rows {bounds[0]} to {bounds[1] - 1} of the batch"


def _failure(problem: str, row: int | None, trace: str, cause: bytes | None) -> AdapterError:
    failure = AdapterError(problem, row)
    failure.add_note(f"Traceback in the worker:\n{trace}")
    failure.__cause__ = pickle.loads(cause) if cause is not None else None
    return failure
