"""Which rows of a batch need solving: those that are asked for, and of identical ones the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.adapter import Context, FloatArray


@dataclass(frozen=True)
class Selection:
    """The rows to solve, and whose solution each row of the batch gets.

    Attributes:
        chosen: (K,), the rows to solve.
        source: (N,), for each row of the batch the position in `chosen` of the one that has its solution; -1: none.
    """

    chosen: NDArray[np.intp]
    source: NDArray[np.intp]

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """(K, ...) of the chosen rows -> (N, ...) of all rows, with zeros where there is none."""
        spread = np.zeros((len(self.source), *values.shape[1:]), dtype=values.dtype)
        has = self.source >= 0
        spread[has] = values[self.source[has]]
        return spread


def select(thetas: FloatArray, context: Context, needed: NDArray[np.bool_] | None) -> Selection | None:
    """The rows to solve; None for all of them, each for itself.

    Args:
        thetas: (N, *instance_shape).
        context: arrays with a leading axis of N.
        needed: (N,), which rows are asked for; None: all.
    """
    asked = None if needed is None else np.flatnonzero(needed)
    if not _may_repeat(thetas, asked):
        return None if asked is None or len(asked) == len(thetas) else _selection(asked, asked, len(thetas))
    if asked is None:
        asked = np.arange(len(thetas))
    first: dict[bytes, int] = {}
    owner = np.empty(len(asked), dtype=np.intp)
    for position, row in enumerate(asked.tolist()):
        key = b"".join([thetas[row].tobytes(), *(np.asarray(array[row]).tobytes() for array in context.values())])
        owner[position] = first.setdefault(key, row)
    chosen = np.fromiter(first.values(), dtype=np.intp, count=len(first))
    return None if len(chosen) == len(thetas) else _selection(chosen, asked, len(thetas), owner)


def _may_repeat(thetas: FloatArray, asked: NDArray[np.intp] | None) -> bool:
    """Whether there can be identical rows: in nearly every batch their first entries alone tell them apart."""
    if thetas.size == 0:
        return False
    flat = thetas.reshape(len(thetas), -1)
    for entry in (0, -1, flat.shape[1] // 2):
        column = flat[:, entry] if asked is None else flat[asked, entry]
        if len(set(column.tolist())) == len(column):
            return False
    return True


def _selection(
    chosen: NDArray[np.intp], asked: NDArray[np.intp], rows: int, owner: NDArray[np.intp] | None = None
) -> Selection:
    position = np.full(rows, -1, dtype=np.intp)
    position[chosen] = np.arange(len(chosen))
    source = np.full(rows, -1, dtype=np.intp)
    source[asked] = position[asked if owner is None else owner]
    return Selection(chosen, source)
