"""The rows of a batch that still need a worker, of whom some may die."""

from __future__ import annotations

import math
from collections import Counter, deque

Chunk = tuple[int, int]
"""Consecutive rows, from the first to before the second."""

_AHEAD = 2
"""Rows for each worker that are kept for those who are free, so that all end together."""

RESTARTS = "worker restarts"
"""Counts, among an adapter's own, the workers that died or hung and were replaced."""


class Backlog:
    """The rows that no worker has.

    Args:
        rows: how many the batch has.
        chunk_seconds: how long a chunk should take to solve; 0: one row each.
    """

    def __init__(self, rows: int, chunk_seconds: float) -> None:
        self._rows = rows
        self._chunk_seconds = chunk_seconds
        self._next_row = 0
        self._returned: deque[Chunk] = deque()
        self._deaths: Counter[int] = Counter()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._returned) or self._next_row < self._rows

    def plenty(self, workers: int) -> bool:
        """Whether there are rows to give out ahead of time, which nobody else could then take over.

        Not while there are rows on which a worker died: of these it must be known which one a worker is at.
        """
        return not self._returned and self._rows - self._next_row >= _AHEAD * workers

    def suspects(self, chunk: Chunk) -> bool:
        """Whether a worker died on any of these rows."""
        return any(self._deaths[row] for row in range(*chunk)) if self._deaths else False

    def take(self, workers: int, row_seconds: float | None) -> Chunk:
        """The next rows for a worker.

        Args:
            workers: how many there are to share the batch.
            row_seconds: what a row took so far, None where that is unknown.
        """
        if self._returned:
            return self._returned.popleft()
        start = self._next_row
        self._next_row = min(self._rows, start + self._size(workers, row_seconds))
        return start, self._next_row

    def _size(self, workers: int, row_seconds: float | None) -> int:
        share, left = math.ceil(self._rows / workers), self._rows - self._next_row
        if self._chunk_seconds == 0:
            return 1
        if row_seconds is None:
            return 1  # they may take long, and whoever waits wants to hear of each
        timely = max(1, int(self._chunk_seconds / max(row_seconds, 1e-9)))
        # Less towards the end, so that the workers end together.
        return share if timely >= share else min(timely, math.ceil(left / (2 * workers)))

    def put_back(self, chunk: Chunk) -> None:
        """Takes back a chunk that no worker has begun to solve."""
        self._returned.append(chunk)

    def lost(self, chunk: Chunk) -> list[int]:
        """Takes back a chunk whose worker died on it.

        Who killed it is unknown, so one death is charged to each row, and the rows are to be solved again one by one.

        Returns:
            The rows on which a worker died for the second time, which are not to be solved again.
        """
        given_up = []
        for row in range(*chunk):
            self._deaths[row] += 1
            if self._deaths[row] > 1:
                given_up.append(row)
            else:
                self._returned.append((row, row + 1))
        return given_up
