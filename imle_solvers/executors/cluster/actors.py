"""Ray actors that hold a batch together: chunks go to whoever is free, and the loss of an actor or node loses none."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError, RayTaskError

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.errors import AdapterError, WorkerDiedError
from imle_solvers.executors.backlog import RESTARTS, Backlog, Chunk
from imle_solvers.executors.base import Progress, slice_context
from imle_solvers.executors.cluster.actor import SolverActor
from imle_solvers.executors.cluster.connection import Connection
from imle_solvers.executors.cpus import ONE_THREAD
from imle_solvers.executors.remote_error import first_of, unpack
from imle_solvers.gaps import Gaps, gather_gaps
from imle_solvers.report import Report
from imle_solvers.status import Status

_CHUNK_SECONDS = 0.1
"""How long a chunk should take to solve: long beside the 2 ms that a call takes of a core, short beside a batch."""

_FALSE_STARTS = 3
"""How often in a row a worker may be lost before it solves anything, until it is given up."""

_LATE_SECONDS = 10.0
"""How long an actor may take to start until that is worth a warning."""

_LOOK_SECONDS = 0.5
"""How often to look whether there is room for the actors, while nothing is heard of any."""

_log = logging.getLogger(__name__)


class _Doing(enum.Enum):
    STARTING = "starting"  # queued by Ray until there is room, or on its way
    IDLE = "idle"
    LOADING = "loading the adapter or building its state"
    SOLVING = "solving"


@dataclass
class _Worker:
    """An actor, what it is at, and Ray's promise of the answer; and rows that it has in store, with theirs."""

    actor: Any
    answer: Any
    doing: _Doing = _Doing.STARTING
    since: float = field(default_factory=time.monotonic)
    process_id: int | None = None
    known: set[int] = field(default_factory=set)
    gone: list[int] = field(default_factory=list)
    key: int = -1
    chunk: Chunk = (0, 0)
    ahead: tuple[Chunk, Any] | None = None
    false_starts: int = 0


@dataclass
class _Batch:
    """A batch and what has become of it so far."""

    key: int
    thetas: FloatArray
    context: Context
    backlog: Backlog
    solutions: Solutions
    report: Report
    progress: Progress | None
    counters: Counter[str] = field(default_factory=Counter)
    gaps: list[tuple[slice, Gaps | None]] = field(default_factory=list)
    failure: AdapterError | None = None


class Actors:
    """Actors on a cluster, as many of them as there is room for.

    Those for which there is none are asked for all the same: Ray starts them when there is, and they join.

    Args:
        connection: to the cluster.
        num_workers: how many actors to ask for.
        needs: what each takes of its node.
        start_timeout: seconds for which there may be no actor at all.
    """

    def __init__(
        self, connection: Connection, num_workers: int, needs: Mapping[str, float], start_timeout: float
    ) -> None:
        self._connection = connection
        self._needs = dict(needs)
        self._start_timeout = start_timeout
        self._adapters: dict[int, Any] = {}
        self._row_seconds: dict[int, float] = {}
        self._warned = False
        self._last_placed = time.monotonic()
        self._workers = [self._start() for _ in range(num_workers)]

    @property
    def process_ids(self) -> Sequence[int]:
        """The processes of the actors that have started."""
        return [worker.process_id for worker in self._workers if worker.process_id is not None]

    def forget(self, keys: Sequence[int]) -> None:
        """Has actors drop adapters that are gone, before their next chunk."""
        for key in keys:
            self._adapters.pop(key, None)
            self._row_seconds.pop(key, None)
            for worker in self._workers:
                if key in worker.known:
                    worker.known.remove(key)
                    worker.gone.append(key)

    def solve(
        self,
        key: int,
        pickled: bytes,
        adapter: SolverAdapter,
        thetas: FloatArray,
        context: Context,
        progress: Progress | None,
    ) -> Solutions:
        """Solves a batch; see `Executor.solve`.

        Args:
            key: the adapter's number.
            pickled: the adapter, for actors that do not know it yet.
            adapter: for its shapes.
            thetas, context: the batch.
            progress: told of each chunk.
        """
        if key not in self._adapters:
            self._adapters[key] = ray.put(pickled)
        report = Report("ray", len(self._workers))
        values = np.zeros((len(thetas), *adapter.solution_shape), dtype=thetas.dtype)
        solutions = Solutions(values, np.zeros(len(thetas), dtype=np.uint8), report=report)
        batch = _Batch(key, thetas, context, Backlog(len(thetas), _CHUNK_SECONDS), solutions, report, progress)
        self._last_placed = time.monotonic()
        while True:
            for worker in self._workers:
                if worker.doing is _Doing.IDLE:
                    self._hand_out(worker, batch)
            for worker in self._workers:
                if worker.doing is _Doing.SOLVING and worker.ahead is None:
                    self._hand_ahead(worker, batch)
            solving = any(worker.doing is _Doing.SOLVING for worker in self._workers)
            if not solving and (batch.failure is not None or not batch.backlog):
                break
            waited_for = [worker.answer for worker in self._workers if worker.answer is not None]
            if ray.wait(waited_for, timeout=_LOOK_SECONDS)[0]:
                # Each look takes as long for one answer as for all that are there.
                ready = set(ray.wait(waited_for, num_returns=len(waited_for), timeout=0)[0])
                for worker in [worker for worker in self._workers if worker.answer in ready]:
                    self._hear(worker, batch)
            self._look_for_room()
        if batch.failure is not None:
            raise batch.failure
        solutions.counters = dict(batch.counters)
        solutions.gaps = gather_gaps(batch.gaps, solutions.statuses)
        return solutions

    def _hand_out(self, worker: _Worker, batch: _Batch) -> None:
        """Gives an actor the adapter if it needs it, else its next chunk, if there is one."""
        if batch.failure is not None or not batch.backlog:
            return
        if worker.gone:
            worker.actor.forget.remote(worker.gone)
            worker.gone = []
        worker.key = batch.key
        if batch.key not in worker.known:
            worker.doing = _Doing.LOADING
            worker.answer = worker.actor.load.remote(batch.key, self._adapters[batch.key])
            return
        worker.doing = _Doing.SOLVING
        worker.chunk, worker.answer = self._ask(worker, batch)

    def _hand_ahead(self, worker: _Worker, batch: _Batch) -> None:
        """Gives an actor the chunk after the one that it is at, as long as there is plenty for all to end together."""
        if batch.failure is not None or worker.key != batch.key or batch.backlog.suspects(worker.chunk):
            return
        if batch.backlog.plenty(self._placed()):
            worker.ahead = self._ask(worker, batch)

    def _placed(self) -> int:
        return sum(worker.doing is not _Doing.STARTING for worker in self._workers)

    def _ask(self, worker: _Worker, batch: _Batch) -> tuple[Chunk, Any]:
        """Sends an actor the next chunk; returns it, and the promise of the answer."""
        start, stop = batch.backlog.take(self._placed(), self._row_seconds.get(batch.key))
        # Ray sends what is small with the call, and what is large by the object store. One object for the whole batch
        # would be fetched by every node, which takes 8 ms however small it is.
        part = slice_context(batch.context, start, stop)
        return (start, stop), worker.actor.solve.remote(batch.key, batch.thetas[start:stop], part, start)

    def _hear(self, worker: _Worker, batch: _Batch) -> None:
        """Takes an actor's answer, or the news of its loss."""
        try:
            answer = ray.get(worker.answer)
        except RayError as error:
            if not isinstance(error, RayTaskError) or worker.doing is _Doing.STARTING:
                self._replace(worker, batch, error)
                return
            # Something was raised in the actor, such as by arguments that do not unpickle, and did not end it.
            answer = "failed", f"an actor failed while {worker.doing.value}: {error.cause!r}", None, str(error), None
        doing, worker.doing, worker.answer = worker.doing, _Doing.IDLE, None
        if doing is _Doing.STARTING:
            worker.process_id = answer
        elif answer[0] == "loaded":
            worker.false_starts = 0
            if worker.key in self._adapters:
                worker.known.add(worker.key)
            else:  # gone in the meantime
                worker.gone.append(worker.key)
        elif answer[0] == "solved":
            _, seconds, values, statuses, counters, gaps = answer
            rows = slice(*worker.chunk)
            batch.solutions.values[rows], batch.solutions.statuses[rows] = values, statuses
            batch.counters.update(counters)
            batch.gaps.append((rows, gaps))
            batch.report.chunks.append((len(statuses), seconds))
            self._measure(batch.key, seconds / len(statuses))
            if batch.progress is not None:
                batch.progress(len(statuses))
        elif worker.key == batch.key:  # or else it failed to load the adapter of a batch that went on without it
            batch.failure = first_of(batch.failure, unpack(*answer[1:]))
        if worker.ahead is not None:
            worker.doing, (worker.chunk, worker.answer), worker.ahead = _Doing.SOLVING, worker.ahead, None

    def _measure(self, key: int, seconds: float) -> None:
        known = self._row_seconds.get(key, seconds)
        self._row_seconds[key] = 0.7 * known + 0.3 * seconds

    def _replace(self, worker: _Worker, batch: _Batch, error: RayError) -> None:
        """Asks for another actor in place of one that was lost, and sees to it that its chunk is solved.

        Nobody waits for the new one: it joins when Ray has found room for it.
        """
        _kill(worker.actor)
        batch.counters[RESTARTS] += 1
        new = self._start()
        if worker.doing is _Doing.SOLVING:
            # The answer of a chunk can be lost with an actor that died on the one ahead: it may have been at either.
            for chunk in [worker.chunk, *([] if worker.ahead is None else [worker.ahead[0]])]:
                for row in batch.backlog.lost(chunk):
                    batch.solutions.statuses[row] = Status.CRASHED
                    if batch.progress is not None:
                        batch.progress(1)
        else:
            new.false_starts = worker.false_starts + 1
        self._workers[self._workers.index(worker)] = new
        if new.false_starts >= _FALSE_STARTS:
            self._give_up(new, worker.doing, error)

    def _give_up(self, worker: _Worker, doing: _Doing, error: RayError) -> None:
        problem = f"{_FALSE_STARTS} Ray actors in a row ended while {doing.value}, the last with: {error}"
        _kill(worker.actor)
        self._workers.remove(worker)
        if not self._workers:
            raise WorkerDiedError(
                f"{problem}\nThe nodes need the versions of Python, imle-solvers and Ray that are used here"
            ) from error
        _log.warning("%d of the workers are left: %s", len(self._workers), problem)

    def _look_for_room(self) -> None:
        """Warns if some actors find no room in the cluster; raises if none does."""
        starting = [worker for worker in self._workers if worker.doing is _Doing.STARTING]
        now = time.monotonic()
        if len(starting) < len(self._workers):
            self._last_placed = now
            if not self._warned and starting and now - min(one.since for one in starting) > _LATE_SECONDS:
                self._warned = True
                _log.warning(
                    "%d of %d Ray actors found room in the cluster and solve alone until there is more: each takes %s, "
                    "the nodes have %s",
                    len(self._workers) - len(starting),
                    len(self._workers),
                    self._needs,
                    self._nodes(),
                )
        elif now - self._last_placed > self._start_timeout:
            raise WorkerDiedError(
                f"no Ray actor has started within {self._start_timeout:g} s: each takes {self._needs}, the nodes have "
                f"{self._nodes()}, some of which others may use. Ask for less with resources=, add nodes, or allow "
                "more time with start_timeout="
            )

    def _nodes(self) -> list[dict[str, float]]:
        """What each node has of what an actor takes."""
        return [{name: node.get(name, 0) for name in self._needs} for node in self._connection.nodes()]

    def _start(self) -> _Worker:
        special = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        options: dict[str, Any] = {special[name]: need for name, need in self._needs.items() if name in special}
        options["resources"] = {name: need for name, need in self._needs.items() if name not in special}
        path = [entry or os.getcwd() for entry in sys.path]  # "" is a notebook's own folder
        actor = ray.remote(SolverActor).options(**options).remote(path, ONE_THREAD)
        return _Worker(actor, actor.process_id.remote())

    def close(self) -> None:
        """Ends the actors; may be called again. Does nothing in a fork, or when Ray was shut down before."""
        if self._connection.alive():
            for worker in self._workers:
                _kill(worker.actor)
        self._workers = []


def _kill(actor: Any) -> None:
    with contextlib.suppress(RayError):
        ray.kill(actor)
