"""Solving wherever it is fastest, by what it took so far."""

from __future__ import annotations

import logging
import warnings
from collections import Counter

from imle_solvers.adapter import Context, FloatArray, Parallelism, Solutions, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.errors import AdapterError
from imle_solvers.executors.base import Executor, Progress, join, slice_context
from imle_solvers.executors.by_adapter import ByAdapter
from imle_solvers.executors.cpus import check_num_workers
from imle_solvers.executors.processes.executor import ProcessExecutor
from imle_solvers.executors.serial import SerialExecutor
from imle_solvers.executors.threads import ThreadExecutor

_log = logging.getLogger(__name__)

_DISPATCH_SECONDS = {"threads": 1e-4, "processes": 3e-4}
"""What sending a batch to workers is expected to take, until it was measured."""

_START_SECONDS = {"threads": 0.0, "processes": 0.3}
"""What starting workers takes. They start once doing without them has cost as much: at worst twice the best."""

_CLOSE = 1.5
"""Up to which ratio to the better estimate a way that was never measured is tried."""

_PATIENCE = 25
"""After so many batches, times its ratio to the better one, the slower way is measured again: 4 % of the time."""

_SETTLED = 10
"""For so many batches more a choice that was measured holds: to look at it each time takes as long as a tiny batch."""

_FORGETTING = 1.1
"""By how much a time grows with each later one. The least says most, but not for ever."""


@explain_arguments()
class AutoExecutor(Executor):
    """Solves each batch in-process or by workers, whichever is faster for batches of its size.

    Workers are threads for adapters that release the GIL, processes for the rest. The first row of the first batch is
    solved in-process; from its time follows what batches should take either way. Where that is close, both ways are
    tried, and the slower one is measured again now and then. Processes are not started before they pay. The report of a
    batch says where it was solved. An adapter that cannot be sent to processes is solved in-process, with a warning.

    A solver that crashes takes its process with it, and in-process that is the caller's: use a `ProcessExecutor` for
    solvers that may crash or hang.

    Args:
        num_workers: how many threads or processes; None: the CPUs that this process may use.

    Raises:
        ValueError: fewer than one worker.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        super().__init__()
        self.num_workers: int = check_num_workers(num_workers)
        self._serial = SerialExecutor()
        self._workers: dict[str, Executor] = {}
        self._records: ByAdapter[_Record] = ByAdapter()
        self._usable: ByAdapter[int] = ByAdapter()

    def check(self, adapter: SolverAdapter) -> None:
        """Finds out whether the adapter can be sent to processes, if need be. Warns if it cannot."""
        self._usable_workers(adapter)

    def _usable_workers(self, adapter: SolverAdapter) -> int:
        """How many workers can solve the adapter's batches: 1, in-process, where it cannot be sent to processes."""
        known = self._usable.get(adapter)
        if known is not None:
            return known
        self._usable.set(adapter, self.num_workers)
        if self.num_workers > 1 and adapter.parallelism is Parallelism.PROCESSES:
            try:
                self._executor("processes").check(adapter)
            except RuntimeError as error:  # an AdapterError, or there are no worker processes on this system
                self._usable.set(adapter, 1)
                # A warning, which says in which line: training will take longer than it might.
                warnings.warn(
                    f"all solves run in-process, one after another: {error}", RuntimeWarning, stacklevel=5
                )  # whoever makes the layer
                return 1
        return self.num_workers

    def _solve(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress) -> Solutions:
        if not adapter.in_process and self._usable_workers(adapter) > 1:
            return self._executor("processes").run(adapter, thetas, context, progress)
        record = self._records.get(adapter)
        if record is not None:
            return self._solve_where(record, adapter, thetas, context, progress)
        record = _Record(self._usable_workers(adapter), adapter.parallelism)
        first = self._solve_in(self._serial, record, adapter, thetas[:1], slice_context(context, 0, 1), progress)
        # Kept from here on: had that row failed, the next batch would have to be the first.
        self._records.set(adapter, record)
        if len(thetas) == 1:
            return first
        rest = slice_context(context, 1, len(thetas))
        try:
            solutions = self._solve_where(record, adapter, thetas[1:], rest, progress)
        except AdapterError as error:
            error.of_part(range(1, len(thetas)))
            raise
        assert first.report is not None
        assert solutions.report is not None
        report = solutions.report
        report.chunks += first.report.chunks
        solutions = join([first, solutions])
        solutions.report = report
        return solutions

    def _solve_where(
        self, record: _Record, adapter: SolverAdapter, thetas: FloatArray, context: Context, progress: Progress
    ) -> Solutions:
        way = record.settled(len(thetas))
        if way is not None:
            return self._executor(way).run(adapter, thetas, context, progress)
        executor = self._executor(record.choose(len(thetas)))
        return self._solve_in(executor, record, adapter, thetas, context, progress)

    def _executor(self, way: str) -> Executor:
        if way == "serial":
            return self._serial
        if way not in self._workers:
            kind = ThreadExecutor if way == "threads" else ProcessExecutor
            self._workers.setdefault(way, kind(self.num_workers))
        return self._workers[way]

    def _solve_in(
        self,
        executor: Executor,
        record: _Record,
        adapter: SolverAdapter,
        thetas: FloatArray,
        context: Context,
        progress: Progress,
    ) -> Solutions:
        solutions = executor.run(adapter, thetas, context, progress)
        assert solutions.report is not None
        record.learn(solutions.report.executor, len(thetas), solutions.report.solving, solutions.report.total)
        return solutions

    def close(self) -> None:
        """Ends whatever workers there are."""
        super().close()
        self._serial.close()
        for executor in self._workers.values():
            executor.close()

    def __reduce__(self) -> tuple[type[AutoExecutor], tuple[int]]:
        return AutoExecutor, (self.num_workers,)


class _Record:
    """What solving one adapter's batches took, in seconds a row, and what follows from it.

    Batches are told apart by the bits in their number of rows, so by size up to a factor of two.
    """

    def __init__(self, num_workers: int, parallelism: Parallelism) -> None:
        self._num_workers = num_workers
        self._together = "threads" if parallelism is Parallelism.THREADS else "processes"
        self._row: float | None = None
        self._batches: dict[tuple[str, int], float] = {}
        self._settled: dict[int, tuple[str | None, int]] = {}
        self._waited: Counter[int] = Counter()
        self._forgone = 0.0
        self._used: set[str] = set()

    def learn(self, way: str, rows: int, solving: float, total: float) -> None:
        """Takes note of a batch: the time in the solver, and the whole time."""
        self._row = _least(self._row, solving / rows)
        if way in self._used:  # the first time is that of starting workers and building states
            size = rows.bit_length()
            self._batches[way, size] = _least(self._batches.get((way, size)), total / rows)
        self._used.add(way)

    def settled(self, rows: int) -> str | None:
        """Where to solve a batch of so many rows while that holds; None when it is time to choose and learn."""
        size = rows.bit_length()
        way, left = self._settled.get(size, (None, 0))
        if left == 0:
            return None
        self._settled[size] = way, left - 1
        return way

    def choose(self, rows: int) -> str:
        """Where to solve a batch of so many rows, now that it is time to think about it."""
        if rows == 1 or self._num_workers == 1:
            return "serial"
        size, together = rows.bit_length(), self._together
        seconds = {way: self._expect(way, rows) for way in ("serial", together)}
        best, other = sorted(seconds, key=seconds.__getitem__)
        ratio = seconds[other] / max(seconds[best], 1e-9)
        untried = (other, size) not in self._batches and ratio < _CLOSE
        if untried or self._waited[size] > _PATIENCE * ratio:
            self._waited[size] = 0
            best = other
        elif (best, size) in self._batches:
            self._settled[size] = best, _SETTLED
            self._waited[size] += _SETTLED
        self._waited[size] += 1
        if best == together and together not in self._used:
            self._forgone += max(0.0, seconds["serial"] - seconds[together])
            if self._forgone < _START_SECONDS[together]:
                return "serial"
            _log.info(
                "starts %s for batches of %d rows, which take %.2g s in-process", together, rows, seconds["serial"]
            )
        return best

    def _expect(self, way: str, rows: int) -> float:
        """The time that a batch should take, in seconds."""
        measured = self._batches.get((way, rows.bit_length()))
        if measured is not None:
            return rows * measured
        assert self._row is not None
        if way == "serial":
            return rows * self._row
        return _DISPATCH_SECONDS[way] + rows * self._row / min(rows, self._num_workers)


def _least(known: float | None, seconds: float) -> float:
    return seconds if known is None else min(_FORGETTING * known, seconds)
