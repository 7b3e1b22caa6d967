"""Compiled linear assignments of a batch. Indices are unsigned: Numba then leaves out the wraparound of negative ones.

LLVM vectorises minima of integers, but not those of floats, for which NaN and the sign of zero would matter; so minima
are taken over `_rank`. It also turns "write where smaller" into masked stores, which are slow on some processors; so
distances are written in full, from one half of a buffer into the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_adapters.compilation import compiled
from imle_adapters.graphs import IndexArray
from imle_solvers.status import Status

Rows = NDArray[Any]

_INFEASIBLE = np.uint8(Status.INFEASIBLE)
_NONE = np.uint32(2**32 - 1)
_ALONE = np.uint32(2**32 - 2)
_ONE = np.uint64(1)
_NO_SIGN = np.int64(2**63 - 1)
_INFINITE = np.int64(0x7FF0_0000_0000_0000)  # the rank of infinity


@compiled
def assignments(sign: float, thetas: Rows, allowed: Rows, unmatched: Rows, values: Rows, statuses: Rows) -> None:
    """Marks the pairs of the cheapest assignment of each instance.

    The method is that of Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
    assignment problems", Computing 38 (1987), for rectangles as in Crouse, "On implementing 2D rectangular assignment
    algorithms", IEEE Transactions on Aerospace and Electronic Systems 52 (2016).

    It keeps a price v of each column, zero while the column is free and else at most zero, and a matching of rows in
    which each is matched at min_j (c_ij - v_j) over the columns j, the row's price of staying alone among them as a
    column of its own that is always free. Such a matching costs the least of all that match the same rows: with u_i
    that minimum, any matching costs at least sum u_i + sum v_j, and this one costs just that. Each step
    keeps this, and the matching grows until no row is left.

    Args:
        sign: 1 for costs, -1 for scores.
        thetas: (N, n_rows, n_cols), finite.
        allowed: (N or 1, n_rows, n_cols) bool, or (0, n_rows, n_cols) where all pairs are.
        unmatched: (N or 1, n_rows) the prices of staying unmatched, or (0, n_rows) where no row may.
        values: (N, n_rows, n_cols) zeros, in which the pairs become 1.
        statuses: (N,) zeros, in which instances without a matching become infeasible.
    """
    n_rows, n_cols = np.uint64(thetas.shape[1]), np.uint64(thetas.shape[2])
    turned = n_rows > n_cols and len(unmatched) == 0  # every column has a row, but not every row a column
    rows, columns = (n_cols, n_rows) if turned else (n_rows, n_cols)
    cost, alone = np.empty((rows, columns), thetas.dtype), np.full(rows, np.inf)
    price, opened = np.empty(columns), np.empty(columns)
    column_of, row_of = np.empty(rows, np.uint32), np.empty(columns, np.uint32)
    order, free = np.empty(columns, np.int64), np.empty(rows, np.uint32)
    distance, settled, offset = np.empty(2 * columns), np.empty(columns), np.empty(columns + _ONE)
    closed, scanned = np.empty(columns, np.uint32), np.empty(columns + _ONE, np.uint32)
    for instance in range(len(thetas)):
        _take_costs(instance, sign, turned, thetas, allowed, cost)
        for row in range(rows if len(unmatched) else 0):
            alone[row] = sign * unmatched[instance if len(unmatched) > 1 else 0, row]
        price[:] = 0.0
        row_of[:] = _NONE
        column_of[:] = _NONE
        for column in range(columns):
            order[column] = column
        left = _reduce_rows(cost, alone, price, column_of, row_of, order, free, distance)
        opened[:] = price
        for place in range(left):
            if not _augment(
                np.uint64(free[place]), cost, alone, price, opened, column_of, row_of, order, distance, settled,
                offset, closed, scanned,
            ):
                statuses[instance] = _INFEASIBLE
                break
        if statuses[instance] == _INFEASIBLE:
            continue
        for row in range(rows):
            column = column_of[row]
            if column != _ALONE:
                if turned:
                    values[instance, column, row] = 1
                else:
                    values[instance, row, column] = 1


@compiled
def _take_costs(instance: int, sign: float, turned: bool, thetas: Rows, allowed: Rows, cost: Rows) -> None:
    n_rows, n_cols = np.uint64(thetas.shape[1]), np.uint64(thetas.shape[2])
    scale = thetas.dtype.type(sign)
    mask = instance if len(allowed) > 1 else 0
    for row in range(n_rows):
        for column in range(n_cols):
            one = scale * thetas[instance, row, column]
            if len(allowed) and not allowed[mask, row, column]:
                one = thetas.dtype.type(np.inf)
            if turned:
                cost[column, row] = one
            else:
                cost[row, column] = one


@compiled
def _rank(value: float) -> int:
    """An integer that orders as the floats do; the same function takes it back to the float's bits."""
    bits = np.float64(value).view(np.int64)
    return bits ^ ((bits >> 63) & _NO_SIGN)


@compiled
def _value(rank: int) -> float:
    return np.int64(rank ^ ((rank >> 63) & _NO_SIGN)).view(np.float64)


@compiled
def _reduced(row: np.uint64, cost: Rows, price: Rows, distance: Rows) -> float:
    least = _INFINITE
    for column in range(np.uint64(len(price))):
        reduced = np.float64(cost[row, column]) - price[column]
        distance[column] = reduced
        least = min(least, _rank(reduced))
    return _value(least)


@compiled
def _least(distance: Rows, columns: np.uint64) -> float:
    least = _INFINITE
    for column in range(columns):
        least = min(least, _rank(distance[column]))
    return _value(least)


@compiled
def _find(distance: Rows, start: np.uint64, value: float, order: Rows) -> np.uint64:
    """The first in order of the columns at a distance."""
    first = _NO_SIGN
    for column in range(np.uint64(len(order))):
        first = min(first, order[column] if distance[start + column] == value else _NO_SIGN)
    return np.uint64(first)


@compiled
def _reduce_rows(
    cost: Rows, alone: Rows, price: Rows, column_of: IndexArray, row_of: IndexArray, order: Rows, free: IndexArray,
    reduced: Rows,
) -> np.uint64:
    rows, columns = np.uint64(len(alone)), np.uint64(len(price))
    for row in range(rows):
        free[row] = row
    waiting = rows
    for _ in range(2):
        place, left = np.uint64(0), np.uint64(0)
        budget = 4 * rows
        while place < waiting:
            row = np.uint64(free[place])
            place += _ONE
            if budget == 0:
                free[left] = row
                left += _ONE
                continue
            budget -= _ONE
            least = _reduced(row, cost, price, reduced)
            if alone[row] <= least:
                if least == np.inf and alone[row] == np.inf:
                    free[left] = row
                    left += _ONE
                    continue
                column_of[row] = _ALONE
                continue
            column = _find(reduced, np.uint64(0), least, order)
            if column < columns:
                order[column] += columns
                row_of[column], column_of[row] = row, column
                continue
            column -= columns
            reduced[column] = np.inf
            second = min(_least(reduced, columns), alone[row])
            lowered = price[column] - (second - least)
            if second == np.inf or not lowered < price[column]:
                free[left] = row
                left += _ONE
                continue
            price[column] = lowered
            place -= _ONE
            free[place] = row_of[column]
            column_of[row_of[column]] = _NONE
            row_of[column], column_of[row] = row, column
        waiting = left
    return waiting


@compiled
def _augment(
    source: np.uint64, cost: Rows, alone: Rows, price: Rows, opened: Rows, column_of: IndexArray, row_of: IndexArray,
    order: Rows, distance: Rows, settled: Rows, offset: Rows, closed: IndexArray, scanned: IndexArray,
) -> bool:
    columns = np.uint64(len(price))
    here, there = np.uint64(0), columns
    least = _reduced(source, cost, opened, distance)
    scanned[0], offset[0] = source, 0.0
    exit, last = alone[source], np.uint64(0)
    count = np.uint64(0)
    while True:
        if exit <= least:
            column = columns
            break
        column = _find(distance, here, least, order)
        if column < columns:
            break
        column -= columns
        distance[here + column] = np.inf
        opened[column] = -np.inf
        settled[count], closed[count] = least, column
        count += _ONE
        row = np.uint64(row_of[column])
        base = least - (cost[row, column] - price[column])
        scanned[count], offset[count] = row, base
        if max(alone[row] + base, least) < exit:
            exit, last = max(alone[row] + base, least), count
        least = _relax(row, base, least, cost, opened, distance, here, there)
        here, there = there, here
    end = min(exit, least)
    if end == np.inf:
        return False
    # back
    if column == columns:
        place = last
    else:
        order[column] += columns
        place = _before(column, end, count, cost, price, settled, offset, scanned)
    while True:
        row = np.uint64(scanned[place])
        if column == columns:
            column_of[row] = _ALONE
        else:
            column_of[row], row_of[column] = column, row
        if place == 0:
            break
        place -= _ONE
        column = np.uint64(closed[place])
        place = _before(column, settled[place], place, cost, price, settled, offset, scanned)
    for place in range(count):
        column = np.uint64(closed[place])
        price[column] += settled[place] - end
        opened[column] = price[column]
    return True


@compiled
def _before(column, value, count, cost, price, settled, offset, scanned):
    if np.float64(cost[scanned[0], column]) - price[column] == value:
        return np.uint64(0)
    place = _ONE
    while place < count:
        if max((np.float64(cost[scanned[place], column]) - price[column]) + offset[place], settled[place - _ONE]) == value:
            break
        place += _ONE
    return place


@compiled
def _relax(
    row: np.uint64, base: float, low: float, cost: Rows, opened: Rows, distance: Rows, here: np.uint64, there: np.uint64
) -> float:
    least = _INFINITE
    for column in range(np.uint64(len(opened))):
        reached = (np.float64(cost[row, column]) - opened[column]) + base
        reached = reached if reached > low else low
        known = distance[here + column]
        known = reached if reached < known else known
        distance[there + column] = known
        least = min(least, _rank(known))
    return _value(least)
