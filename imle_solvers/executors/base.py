"""What every executor is, and the cutting of batches that they share."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.errors import ClosedError
from imle_solvers.executors.by_adapter import ByAdapter
from imle_solvers.gaps import gather_gaps
from imle_solvers.report import Report
from imle_solvers.waiting import Waiting

Progress = Callable[[int], None]
"""Told of each part of a batch, when it is solved, how many rows it has."""

CHUNKS_PER_WORKER = 4
"""Enough that a slow chunk does not leave the other workers idle for long, few enough that dispatch stays cheap."""


class Executor(ABC):
    """Solves batches for any number of layers and adapters.

    Solutions come back in input order and are the same, bit for bit, for every executor and number of workers.
    Executors start their workers at the first batch, or when told to prepare for it, and end them at `close()`, at the
    end of a `with` block, when garbage-collected, or at interpreter exit. They may be used from several threads. A
    pickled or copied executor is a new one of the same settings.

    Attributes:
        num_workers: how many solves run side by side; 0 for in-process.
    """

    num_workers: int

    def __init__(self) -> None:
        self._closed = False

    def solve(
        self,
        adapter: SolverAdapter,
        thetas: FloatArray,
        context: Context | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Solutions:
        """Solves a batch.

        Args:
            adapter: whose instances these are.
            thetas: (N, *instance_shape) float32 or float64, finite and checked by the adapter; may be overwritten.
            context: arrays with a leading axis of N.
            on_progress: called as `on_progress(solved, N)` in this thread, each time that a part of the batch is done.

        Returns:
            Solutions and statuses in order, with a report of how they were solved.

        Raises:
            ClosedError: after `close()`.
            AdapterError: the adapter raised or returned nonsense, naming the row.
            WorkerDiedError: worker processes cannot start, or die while building the adapter's state.
        """
        self._check_open()
        if len(thetas) == 0:
            return Solutions(np.zeros((0, *adapter.solution_shape), dtype=thetas.dtype), np.zeros(0, dtype=np.uint8))
        with _long_solves(adapter, self) as waiting:
            return self.run(adapter, thetas, context or {}, _counted(waiting.news, on_progress, len(thetas)))

    def run(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        """Solves a batch of at least one row and times it, for executors that are made of others."""
        self._check_open()
        begin = time.perf_counter()
        solutions = self._solve(adapter, thetas, context, progress)
        if solutions.report is None:
            solutions.report = Report(type(self).__name__, self.num_workers)
        solutions.report.total = time.perf_counter() - begin
        return solutions

    @abstractmethod
    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        """Solves a batch of at least one row, and tells `progress` of each part."""

    def check(self, adapter: SolverAdapter) -> None:  # noqa: B027 - most executors can solve any
        """Raises `AdapterError` if batches of this adapter cannot be solved here; layers ask when they are made."""

    def prepare(self, adapter: SolverAdapter) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Begins, without waiting, what the first batch of this adapter would have to wait for."""

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self!r} is closed; make a new one")

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    def close(self) -> None:
        """Ends the workers. May be called again."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_workers={self.num_workers})"


def _counted(news: Callable[[], None], on_progress: Callable[[int, int], None] | None, rows: int) -> Progress:
    solved = 0

    def progress(more: int) -> None:
        nonlocal solved
        news()
        solved += more
        if on_progress is not None:
            on_progress(solved, rows)

    return progress


_MENTIONED: ByAdapter[bool] = ByAdapter()
"""The adapters whose long solves were mentioned: once is enough."""


def _long_solves(adapter: SolverAdapter, executor: Executor) -> Waiting:
    def describe() -> str:
        _MENTIONED.set(adapter, True)
        return (
            f"{executor!r} has not heard of a solve of {adapter!r} being done for ten seconds; {adapter.limit_advice}. "
            "This is said once; the layer's on_progress is told of each part of a batch that is done"
        )

    waiting = Waiting(describe)
    waiting.told = _MENTIONED.get(adapter) is not None
    return waiting


def chunk_bounds(rows: int, chunks: int) -> list[tuple[int, int]]:
    """Cuts `rows` into so many consecutive ranges of nearly the same length, none of them empty."""
    edges = np.linspace(0, rows, min(rows, chunks) + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))


def join(parts: Sequence[Solutions], values: FloatArray | None = None) -> Solutions:
    """One batch from its chunks.

    Args:
        parts: the chunks in order.
        values: the solutions of them all; None: those of the parts.
    """
    if len(parts) == 1:
        return parts[0]
    counters: Counter[str] = Counter()
    for part in parts:
        counters.update(part.counters)
    statuses = np.concatenate([part.statuses for part in parts])
    stops = itertools.accumulate(len(part.statuses) for part in parts)
    told = [(slice(stop - len(part.statuses), stop), part.gaps) for part, stop in zip(parts, stops, strict=True)]
    return Solutions(
        np.concatenate([part.values for part in parts]) if values is None else values,
        statuses,
        dict(counters),
        gaps=gather_gaps(told, statuses),
    )


def slice_context(context: Context, start: int, stop: int) -> Context:
    """The rows from `start` to `stop` of every context array."""
    return {name: array[start:stop] for name, array in context.items()}
