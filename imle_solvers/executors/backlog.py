"""What is left to do of a batch whose workers may die."""

from __future__ import annotations

import math
from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from imle_solvers.adapter import FloatArray, Solutions
from imle_solvers.status import Status

Chunk = tuple[int, int]


class Backlog:
    """The rows of a batch that wait for a worker, and the solutions of those that do not.

    Args:
        thetas: (N, *instance_shape), the batch.
        solution_shape: of one solution.
        chunk_seconds: how long a chunk should take to solve.
    """

    def __init__(self, thetas: FloatArray, solution_shape: tuple[int, ...], chunk_seconds: float) -> None:
        self.counters: Counter[str] = Counter()
        self._values = np.zeros((len(thetas), *solution_shape), dtype=thetas.dtype)
        self._statuses = np.zeros(len(thetas), dtype=np.uint8)
        self._chunk_seconds = chunk_seconds
        self._next_row = 0
        self._retries: deque[Chunk] = deque()
        self._deaths: Counter[int] = Counter()

    @property
    def waiting(self) -> bool:
        """Whether there are rows that no worker has."""
        return bool(self._retries) or self._next_row < len(self._statuses)

    def take(self, workers: int, row_seconds: float | None) -> Chunk:
        """The next rows for a worker, from the first to before the second.

        Args:
            workers: how many there are to share the batch.
            row_seconds: what a row took so far, None where that is unknown.
        """
        if self._retries:
            return self._retries.popleft()
        start, rows = self._next_row, len(self._statuses)
        self._next_row = min(rows, start + self._size(workers, row_seconds))
        return start, self._next_row

    def _size(self, workers: int, row_seconds: float | None) -> int:
        rows, left = len(self._statuses), len(self._statuses) - self._next_row
        share = math.ceil(rows / workers)
        if row_seconds is None:
            return math.ceil(share / 4)
        timely = max(1, int(self._chunk_seconds / max(row_seconds, 1e-9)))
        # Less towards the end, so that the workers end together.
        return share if timely >= share else min(timely, math.ceil(left / (2 * workers)))

    def solved(self, chunk: Chunk, values: NDArray[np.generic], statuses: NDArray[np.uint8]) -> None:
        """Takes the solutions of a chunk."""
        self._values[slice(*chunk)] = values
        self._statuses[slice(*chunk)] = statuses

    def lost(self, chunk: Chunk) -> None:
        """Takes back a chunk whose worker died on it.

        Why it died is unknown: the rows are solved again one by one, and one on which a worker dies for the second time
        is CRASHED, alone.
        """
        for row in range(*chunk):
            self._deaths[row] += 1
            if self._deaths[row] > 1:
                self._statuses[row] = Status.CRASHED
            else:
                self._retries.append((row, row + 1))

    def solutions(self) -> Solutions:
        """The batch, once every chunk was solved."""
        return Solutions(self._values, self._statuses, dict(self.counters))
