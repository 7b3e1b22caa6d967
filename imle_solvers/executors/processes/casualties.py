"""The workers and rows that a batch has lost, told once for all of them."""

from __future__ import annotations

import logging
from collections import Counter

from imle_solvers.status import Status

_log = logging.getLogger(__name__)

_NAMED = 5
"""Rows that are named; of more it is said how many."""


class Casualties:
    """Counts what a batch loses.

    Attributes:
        crash: how workers ended on rows that are CRASHED, in words, "with exit code 3"; None: there are none.
    """

    def __init__(self) -> None:
        self._workers: Counter[str] = Counter()
        self._rows: dict[Status, list[int]] = {}
        self._crashes: dict[str, None] = {}

    def worker(self, how: str) -> None:
        """A worker ended, in words such as "by SIGKILL", and is replaced."""
        self._workers[how] += 1

    def row(self, row: int, status: Status, how: str) -> None:
        """A row of the batch ends with this status, as its worker ended."""
        self._rows.setdefault(status, []).append(row)
        if status is Status.CRASHED:
            self._crashes[how] = None

    @property
    def crash(self) -> str | None:
        """See the class."""
        return " or ".join(self._crashes) or None

    def tell(self) -> None:
        """Logs all that was lost, if anything was, in one line."""
        if not self._workers:
            return
        ends = ", ".join(f"{count} {how}" for how, count in self._workers.items())
        rows = "".join(
            f"; of those sent to worker processes {_listed(sorted(lost))} {status.name}"
            for status, lost in self._rows.items()
        )
        count = self._workers.total()
        processes = "worker process ended and was" if count == 1 else "worker processes ended and were"
        _log.warning("%d %s replaced: %s%s", count, processes, ends, rows)


def _listed(rows: list[int]) -> str:
    names = ", ".join(map(str, rows[:_NAMED]))
    if len(rows) == 1:
        return f"row {names} ends"
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"rows {names}{more} end"
