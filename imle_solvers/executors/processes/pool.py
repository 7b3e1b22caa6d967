"""Worker processes that solve batches together: chunks go to whoever is free, and nobody's death loses any."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import select
import subprocess
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.errors import AdapterError, WorkerDiedError
from imle_solvers.executors.backlog import RESTARTS, Backlog, Chunk
from imle_solvers.executors.base import Progress
from imle_solvers.executors.processes.casualties import Casualties
from imle_solvers.executors.processes.shared_batch import STATUSES, THETAS, VALUES, Layout, SharedMemory
from imle_solvers.executors.processes.worker_process import WorkerProcess, cannot_start
from imle_solvers.executors.remote_error import first_of, unpack
from imle_solvers.gaps import Gaps, gather_gaps
from imle_solvers.report import Report
from imle_solvers.status import Status

_CHUNK_SECONDS = 0.05
"""How long a chunk should take to solve: long beside the 0.3 ms until the next one is there, short beside a batch."""

_LONGEST_WAIT = 3600.0
"""Seconds to wait at a time: what the system takes for a timeout ends at some weeks."""

_LAST_MOMENT = 0.5
"""Seconds that a worker has to end by itself once its connection has."""

_OVERDUE = "at the time limit"
"""How a worker ended that was given no more time."""

_FALSE_STARTS = 3
"""How often in a row workers may die before they solve anything, until it counts as their fault and not bad luck."""


class _Worker(WorkerProcess):
    """A worker process, and what it is at.

    Attributes:
        ready: whether it runs.
        known, built: the adapters that it was sent, and those whose state it has.
        dropped: the adapters that it is to be told to forget.
        chunk: the rows that it was given; None: none.
        ahead: rows that it was given to solve after these, so that it need not wait for the parent; None: none.
        started: whether it has begun to solve them.
        proven: whether it has ever begun to solve any.
        deadline: when it must have solved them, by the monotonic clock.
    """

    def __init__(self, memory: int) -> None:
        super().__init__(memory)
        self.ready = False
        self.started = False
        self.proven = False
        self.known: set[int] = set()
        self.built: set[int] = set()
        self.dropped: list[int] = []
        self.chunk: Chunk | None = None
        self.ahead: Chunk | None = None
        self.deadline: float | None = None


@dataclass
class _Batch:
    """What is left to do of a batch.

    Attributes:
        gaps: rows, and what `Solutions.gaps` the adapter has told of them.
        busy: the workers that are heard of, by the descriptors of their connections.
        poll: of these. To list all workers for each message would take longer than the message.
    """

    key: int
    pickled: bytes
    layout: Layout
    pickled_layout: bytes
    thetas: FloatArray
    report: Report
    progress: Progress | None
    backlog: Backlog
    counters: Counter[str] = field(default_factory=Counter)
    gaps: list[tuple[slice, Gaps | None]] = field(default_factory=list)
    failure: AdapterError | None = None
    casualties: Casualties = field(default_factory=Casualties)
    busy: dict[int, _Worker] = field(default_factory=dict)
    poll: select.poll = field(default_factory=select.poll)

    def expect(self, worker: _Worker) -> None:
        """Listens to a worker that was given rows."""
        descriptor = worker.connection.fileno()
        self.busy[descriptor] = worker
        self.poll.register(descriptor, select.POLLIN)

    def leave(self, worker: _Worker) -> None:
        """Listens to it no more."""
        descriptor = worker.connection.fileno()
        if self.busy.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)


class Pool:
    """Running worker processes and the memory that they share.

    Args:
        num_workers: how many.
        timeout: seconds that one instance may take; None: any.
    """

    def __init__(self, num_workers: int, timeout: float | None) -> None:
        self.pid: int = os.getpid()
        self._timeout = timeout
        self._workers: list[_Worker] = []
        self._row_seconds: dict[int, float] = {}
        self._false_starts = 0
        self._memory = _memory()
        _POOLS.add(self)
        try:
            for _ in range(num_workers):
                self._workers.append(self._start())
        except BaseException:
            self.close(kill=True)
            raise

    @property
    def processes(self) -> Sequence[subprocess.Popen[bytes]]:
        """The worker processes."""
        return [worker.process for worker in self._workers]

    def forget(self, keys: Sequence[int]) -> None:
        """Has workers drop adapters that are gone, with their next batch."""
        for key in keys:
            self._row_seconds.pop(key, None)
            for worker in self._workers:
                if key in worker.known:
                    worker.known.remove(key)
                    worker.built.discard(key)
                    worker.dropped.append(key)

    def prepare(self, key: int, pickled: bytes) -> None:
        """Has workers load an adapter and build its state. What goes wrong comes up again in the first batch."""
        for worker in self._workers:
            if key not in worker.known:
                with contextlib.suppress(OSError):
                    self._introduce(worker, key, pickled)
                    worker.send("build", key)

    def solve(
        self,
        key: int,
        pickled: bytes,
        adapter: SolverAdapter,
        thetas: FloatArray,
        context: Context,
        progress: Progress | None = None,
    ) -> Solutions:
        """Solves a batch; see `Executor.solve`.

        Args:
            key: the adapter's number.
            pickled: the adapter, for workers that do not know it yet.
            adapter: for its shapes.
            thetas, context: the batch.
            progress: told of each chunk.
        """
        report = Report("processes", len(self._workers))
        begin = time.perf_counter()
        arrays = {name: np.asarray(array) for name, array in context.items()}
        layout = Layout.of(thetas, arrays, adapter.solution_shape)
        self._memory.grow(layout.size)
        self._memory.array(layout, THETAS)[:] = thetas
        for name, array in arrays.items():
            self._memory.context(layout, name)[:] = array
        report.copying = time.perf_counter() - begin
        # With a timeout one by one, so that a worker that hangs takes no other row with it.
        backlog = Backlog(len(thetas), _CHUNK_SECONDS if self._timeout is None else 0)
        batch = _Batch(key, pickled, layout, pickle.dumps(layout), thetas, report, progress, backlog)
        try:
            self._run(batch)
        finally:
            batch.casualties.tell()
        report.crash = batch.casualties.crash
        if batch.failure is not None:
            raise batch.failure
        begin = time.perf_counter()
        values, statuses = (self._memory.array(layout, name).copy() for name in (VALUES, STATUSES))
        report.copying += time.perf_counter() - begin
        return Solutions(values, statuses, dict(batch.counters), report, gaps=gather_gaps(batch.gaps, statuses))

    def _run(self, batch: _Batch) -> None:
        for hand_out in (self._hand_out, self._hand_ahead):
            for worker in self._workers:
                hand_out(worker, batch)
        while batch.busy:
            for descriptor, _ in batch.poll.poll(self._patience()):
                self._hear(batch.busy[descriptor], batch)
            self._end_overdue(batch)
            if batch.backlog:  # of a worker that died, when others had nothing left to do
                for worker in self._workers:
                    if worker.chunk is None:
                        self._hand_out(worker, batch)

    def _hand_out(self, worker: _Worker, batch: _Batch) -> None:
        """Gives a worker its next chunk, if there is one."""
        if batch.failure is not None or not batch.backlog:
            return
        chunk = self._take(batch)
        built = batch.key in worker.built
        # Word that it has started takes time, so it is asked for only where it tells something.
        announce = not built or self._timeout is not None
        worker.chunk, worker.started = chunk, False
        if worker.ended:
            self._replace(worker, batch)
            return
        try:
            self._introduce(worker, batch.key, batch.pickled)
            worker.send("solve", batch.key, batch.pickled_layout, *chunk, announce)
        except OSError:
            self._replace(worker, batch)
            return
        batch.expect(worker)
        worker.started = not announce
        if built:  # otherwise when it has: making the state is not the instance's fault
            self._start_clock(worker)

    def _hand_ahead(self, worker: _Worker, batch: _Batch) -> None:
        """Gives a worker that is at a chunk the next one, as long as there is plenty for all to end together."""
        free = worker.chunk is not None and worker.ahead is None and batch.key in worker.built
        if free and self._timeout is None and batch.failure is None and batch.backlog.plenty(len(self._workers)):
            worker.ahead = self._take(batch)
            with contextlib.suppress(OSError):  # of its end the connection tells
                worker.send("solve", batch.key, batch.pickled_layout, *worker.ahead, False)

    def _take(self, batch: _Batch) -> Chunk:
        return batch.backlog.take(len(self._workers), self._row_seconds.get(batch.key))

    def _introduce(self, worker: _Worker, key: int, pickled: bytes) -> None:
        """Tells a worker of adapters that are gone, and of this one unless it knows it."""
        while worker.dropped:
            worker.send("forget", worker.dropped.pop())
        if key not in worker.known:
            worker.known.add(key)
            worker.send("adapter", key, pickled)

    def _start_clock(self, worker: _Worker) -> None:
        worker.deadline = None if self._timeout is None else time.monotonic() + self._timeout

    def _hear(self, worker: _Worker, batch: _Batch) -> None:
        """Takes a worker's next message, or the news of its death."""
        assert worker.chunk is not None
        try:
            kind, *rest = worker.receive()
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):  # or it would seem to be the kill that ended it
                worker.process.wait(_LAST_MOMENT)
            self._replace(worker, batch)
            return
        if kind == "ready":
            worker.ready = True
            return
        if kind == "started":
            worker.started, worker.proven, self._false_starts = True, True, 0
            worker.built.add(batch.key)
            self._start_clock(worker)
            return
        start, stop = worker.chunk
        worker.chunk, worker.ahead, worker.deadline = worker.ahead, None, None
        if kind == "solved":
            seconds, counters, gaps = rest
            batch.counters.update(counters)
            batch.gaps.append((slice(start, stop), gaps))
            self._measure(batch.key, seconds / (stop - start))
            batch.report.chunks.append((stop - start, seconds))
            if batch.progress is not None:
                batch.progress(stop - start)
        else:
            batch.failure = first_of(batch.failure, unpack(*rest))
        if worker.chunk is None:
            batch.leave(worker)
            self._hand_out(worker, batch)
        self._hand_ahead(worker, batch)

    def _measure(self, key: int, seconds: float) -> None:
        known = self._row_seconds.get(key, seconds)
        self._row_seconds[key] = 0.7 * known + 0.3 * seconds

    def _patience(self) -> int | None:
        """Milliseconds until the first deadline, or until it is worth another look."""
        if self._timeout is None:
            return None
        deadlines = [worker.deadline for worker in self._workers if worker.deadline is not None]
        if not deadlines:
            return None
        return math.ceil(1e3 * min(_LONGEST_WAIT, max(0.0, min(deadlines) - time.monotonic())))

    def _end_overdue(self, batch: _Batch) -> None:
        for worker in self._workers:
            if worker.deadline is not None and worker.chunk is not None and time.monotonic() >= worker.deadline:
                if worker.connection.poll():  # it made it after all
                    continue
                if worker.started:
                    batch.report.timeout = f"ProcessExecutor(timeout={self._timeout:g})"
                    self._give_up(batch, worker.chunk[0], Status.TIMEOUT, _OVERDUE)
                    worker.chunk = None
                self._replace(worker, batch, _OVERDUE)

    def _give_up(self, batch: _Batch, row: int, status: Status, how: str) -> None:
        batch.casualties.row(row, status, how)
        self._memory.array(batch.layout, VALUES)[row] = 0
        self._memory.array(batch.layout, STATUSES)[row] = status
        if batch.progress is not None:
            batch.progress(1)

    def _replace(self, worker: _Worker, batch: _Batch, how: str | None = None) -> None:
        """Starts another worker in place of one that died or hung, and sees to it that its chunk is solved.

        A row on which a worker dies for the second time is CRASHED, alone. A worker that had not begun to solve was
        killed by none of them.

        Args:
            worker: the one that died, or hangs and is ended here.
            batch: what it was at.
            how: how it ended, if it was not by itself.
        """
        worker.kill()
        worker.process.wait()
        with contextlib.suppress(EOFError, OSError):
            while worker.connection.poll():  # its last words, which may not have been read
                kind = worker.receive()[0]
                worker.ready, worker.started = True, worker.started or kind == "started"
        batch.leave(worker)
        worker.release()
        batch.counters[RESTARTS] += 1
        how = how or worker.how
        batch.casualties.worker(how)
        if worker.chunk is not None and worker.started:
            thetas = self._memory.array(batch.layout, THETAS)
            thetas[slice(*worker.chunk)] = batch.thetas[slice(*worker.chunk)]  # a solver may have overwritten them
            for row in batch.backlog.lost(worker.chunk):
                self._give_up(batch, row, Status.CRASHED, how)
        elif worker.chunk is not None:
            # One that has solved before was killed while it waited, which is nobody's fault here.
            self._false_starts += not worker.proven
            if self._false_starts >= _FALSE_STARTS:
                doing = "loading the adapter or building its state" if worker.ready else "starting"
                raise WorkerDiedError(
                    f"{_FALSE_STARTS} worker processes in a row ended while {doing}, the last {worker.how}"
                )
            batch.backlog.put_back(worker.chunk)
        if worker.ahead is not None:
            batch.backlog.put_back(worker.ahead)
        worker.chunk = worker.ahead = None  # or it would seem to be at work still, and be given another one ahead
        index = self._workers.index(worker)
        self._workers[index] = self._start()
        self._hand_out(self._workers[index], batch)

    def _start(self) -> _Worker:
        return _Worker(self._memory.descriptor)

    def close(self, kill: bool = False) -> None:
        """Ends the workers and waits for them; may be called again. In a fork, only lets go of them."""
        ours = self.pid == os.getpid()
        for worker in self._workers:
            if ours and kill:
                worker.kill()
            elif ours:
                worker.ask_to_end()
            worker.connection.close()
        for worker in self._workers:
            if ours:
                worker.wait()
            worker.release()
        self._workers = []
        self._memory.close()


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _let_go_in_a_fork() -> None:
    # It shares what the parent holds of its workers, who would live until the last fork has ended.
    for pool in list(_POOLS):
        pool.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_a_fork)


def _memory() -> SharedMemory:
    try:
        return SharedMemory()
    except OSError as error:
        raise cannot_start(error) from error
