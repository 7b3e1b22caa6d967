"""Which rows of a batch need solving: those that are asked for, and of identical ones the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.adapter import Context, FloatArray

_ENTRIES = 8
"""Entries of a row in its short key. Few entries of theta under Sum-of-Gamma noise of large k differ in float32."""

_BLOCK = 2**16
"""Entries that are moved at a time."""


@dataclass(frozen=True)
class Selection:
    """The rows to solve, and whose solution each row of the batch gets.

    Attributes:
        chosen: (K,), the rows to solve, ascending.
        source: (N,), for each row of the batch the position in `chosen` of the one that has its solution; -1: none.
    """

    chosen: NDArray[np.intp]
    source: NDArray[np.intp]

    def gather(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The chosen ones of (N, ...) rows, moved to the front: (K, ...), in the same memory."""
        for part in _blocks(self.chosen, rows):
            rows[part] = rows[self.chosen[part]]  # chosen ascends, so no row is overwritten before its turn
        return rows[: len(self.chosen)]

    def spread(self, values: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """(K, ...) of the chosen rows -> (N, ...) of all rows, with zeros where there is none.

        Args:
            values: of the chosen rows.
            out: (N, ...), whose memory the result takes; None: new.
        """
        spread = np.empty((len(self.source), *values.shape[1:]), dtype=values.dtype) if out is None else out
        if len(values):
            for part in _blocks(self.source, values):
                spread[part] = values[self.source[part]]
        spread[self.source < 0] = 0
        return spread


def _blocks(index: NDArray[np.intp], rows: NDArray[Any]) -> Iterator[slice]:
    """Parts of an index that are small beside a batch: to look it up takes memory for what is found."""
    size = max(1, _BLOCK * max(1, len(rows)) // max(1, rows.size))
    return (slice(start, min(start + size, len(index))) for start in range(0, len(index), size))


def select(thetas: FloatArray, context: Context, needed: NDArray[np.bool_] | None) -> Selection | None:
    """The rows to solve; None for all of them, each for itself.

    Args:
        thetas: (N, *instance_shape).
        context: arrays with a leading axis of N.
        needed: (N,), which rows are asked for; None: all.
    """
    asked = None if needed is None else np.flatnonzero(needed)
    short = _short_keys(thetas, asked)
    if short is None:
        return None if asked is None or len(asked) == len(thetas) else _selection(asked, asked, len(thetas))
    if asked is None:
        asked = np.arange(len(thetas))
    times = Counter(short)
    first: dict[bytes, int] = {}
    owner = np.empty(len(asked), dtype=np.intp)
    for position, row in enumerate(asked.tolist()):
        key = short[position]
        if times[key] > 1:
            key = b"".join([thetas[row].tobytes(), *(np.asarray(array[row]).tobytes() for array in context.values())])
        owner[position] = first.setdefault(key, row)
    chosen = np.fromiter(first.values(), dtype=np.intp, count=len(first))
    return None if len(chosen) == len(thetas) else _selection(chosen, asked, len(thetas), owner)


def _short_keys(thetas: FloatArray, asked: NDArray[np.intp] | None) -> list[bytes] | None:
    """Some of each row's entries, which identical rows have in common; None where they tell all rows apart."""
    if thetas.size == 0:
        return None
    flat = thetas.reshape(len(thetas), -1)
    column = flat[:, 0] if asked is None else flat[asked, 0]
    if len(set(column.tolist())) == len(column):  # in nearly every batch
        return None
    entries = np.linspace(0, flat.shape[1] - 1, min(_ENTRIES, flat.shape[1])).astype(int)
    some = np.ascontiguousarray(flat[:, entries] if asked is None else flat[np.ix_(asked, entries)])
    keys: list[Any] = some.view(np.dtype((np.void, some.itemsize * len(entries)))).ravel().tolist()
    return None if len(set(keys)) == len(keys) else keys


def _selection(
    chosen: NDArray[np.intp], asked: NDArray[np.intp], rows: int, owner: NDArray[np.intp] | None = None
) -> Selection:
    position = np.full(rows, -1, dtype=np.intp)
    position[chosen] = np.arange(len(chosen))
    source = np.full(rows, -1, dtype=np.intp)
    source[asked] = position[asked if owner is None else owner]
    return Selection(chosen, source)
