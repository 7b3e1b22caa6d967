"""The failures that this package raises. Other bad arguments are plain `ValueError` and `TypeError`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imle_solvers.status import Status


class ImleSolversError(Exception):
    """The base of every error below, for a single `except`."""


class SolveError(ImleSolversError, RuntimeError):
    """Instances ended with a status that the layer's `on_failure` policy does not accept.

    Attributes:
        failures: one `(instance, sample, status)` for each failed solve, in order.
        timeout: the executor's limit that was reached, in words; None: none, so a TIMEOUT is the adapter's own.
        crash: how worker processes ended, in words ("with exit code 3", "by SIGSEGV"); None: none did, so CRASHED is
            the adapter's own.
        keeps: whether that policy was "keep", which keeps solutions that end FEASIBLE.
    """

    def __init__(
        self,
        adapter: str,
        failures: Sequence[tuple[int, int, Status]],
        timeout: str | None = None,
        crash: str | None = None,
        keeps: bool = False,
    ) -> None:
        super().__init__(adapter, failures, timeout, crash, keeps)
        self.adapter = adapter
        self.failures: list[tuple[int, int, Status]] = list(failures)
        self.timeout: str | None = timeout
        self.crash: str | None = crash
        self.keeps: bool = keeps

    def __str__(self) -> str:
        instance, sample, status = self.failures[0]
        more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
        help = status.help
        if status is Status.TIMEOUT and self.timeout is not None:
            help = (
                f"it took longer than {self.timeout} allows; raise that, or skip such instances with "
                'on_failure="zero_grad"'
            )
        if status is Status.CRASHED and self.crash is not None:
            help = (
                f"its worker process ended {self.crash}, twice; solve it alone to see why, or skip such instances with "
                'on_failure="zero_grad"'
            )
        kept = '; on_failure="keep" keeps solutions that end FEASIBLE, and here there is none' if self.keeps else ""
        return f"{self.adapter}: instance {instance}, sample {sample} ended {status.name}{more}: {help}{kept}."


class RowError(ImleSolversError):
    """An error that belongs to one row of a solved batch.

    Adapters know rows only. The layer, which knows how many samples an instance has, locates them.

    Attributes:
        row: index of the row in the solved batch, None where the whole batch failed.
        instance, sample: the same as index of the instance in theta and of its sample, once known.
    """

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem, row)
        self.problem = problem
        self.row = row
        self.instance: int | None = None
        self.sample: int | None = None

    def of_part(self, rows: Sequence[int] | NDArray[np.intp]) -> None:
        """Turns the row of a part that was solved on its own into that of the batch, of which it has these rows."""
        if self.row is not None:
            self.row = int(rows[self.row])

    def locate(self, samples: int) -> None:
        """Turns the row into instance and sample, for a batch with `samples` rows an instance."""
        if self.row is not None and self.instance is None:
            self.instance, self.sample = divmod(self.row, samples)

    def __str__(self) -> str:
        if self.instance is not None:
            return f"instance {self.instance}, sample {self.sample}: {self.problem}"
        if self.row is not None:
            return f"row {self.row} of the batch: {self.problem}"
        return self.problem


class InputError(RowError, ValueError):
    """Theta or the context of one instance cannot be solved: raised by `SolverAdapter.check`, before any work."""


class AdapterError(RowError, RuntimeError):
    """An adapter's code raised, or returned something of the wrong shape, type or status.

    The original exception, if there was one, is the `__cause__`; where it was raised in a worker, its
    traceback is in the notes.
    """


class WorkerDiedError(ImleSolversError, RuntimeError):
    """Worker processes ended again and again before they had solved anything: starting, or building the state."""


class ClosedError(ImleSolversError, RuntimeError):
    """A layer or an executor was used after its `close()`."""
