"""Compiled linear assignments of a batch. Indices are unsigned: Numba then leaves out the wraparound of negative ones.

What takes the time are passes over all columns, which LLVM vectorises in this form only: minima are over the bits of
floats that are not negative, as integers, since for floats themselves NaN and the sign of zero would matter; and new
distances are written into the other half of a buffer, since "write where smaller" becomes masked stores, which are
slow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_adapters.instances import IndexArray
from imle_solvers.compilation import compiled, inner
from imle_solvers.status import Status

Rows = NDArray[Any]

_INFEASIBLE = np.uint8(Status.INFEASIBLE)
_NONE = np.uint32(2**32 - 1)
_ALONE = np.uint32(2**32 - 2)  # matched to staying unmatched
_ZERO, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)
_GREATEST = np.int64(2**63 - 1)
_SIGN = np.int64(63)  # where the sign is
_INFINITE = np.int64(0x7FF0_0000_0000_0000)  # the bits of infinity


class _Matching(NamedTuple):
    """One instance and what is matched so far, with room to search in; used again for the next instance.

    Attributes:
        cost: (rows, columns), infinite where forbidden.
        alone: (rows,) the price of staying unmatched, infinite where a row may not.
        floor: (rows,) no reduced cost of a row is below it; its own are counted from there, so as not to be negative.
        price: (columns,) v.
        opened: (columns,) v, or minus infinity while a search has closed the column.
        column_of, row_of: (rows,) and (columns,), _NONE where free.
        order: (columns,) the column's number, plus `columns` once it is matched: the least is a free one.
        distance, pick: (2 * columns,) of a search; there is a new half for every row that it scans.
        settled, closed, scanned: (columns + 1,) the closed columns and their distances, the rows that were scanned.
    """

    cost: Rows
    alone: Rows
    floor: Rows
    price: Rows
    opened: Rows
    column_of: IndexArray
    row_of: IndexArray
    order: NDArray[np.int64]
    distance: Rows
    pick: NDArray[np.int64]
    settled: Rows
    closed: IndexArray
    scanned: IndexArray


@compiled
def assignments(sign: float, thetas: Rows, allowed: Rows, unmatched: Rows, values: Rows, statuses: Rows) -> None:
    """Marks the pairs of the cheapest assignment of each instance.

    The method is that of Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
    assignment problems", Computing 38 (1987): column reduction, augmenting row reduction, and shortest augmenting
    paths for the rows that are left; with rectangles as in Crouse, "On implementing 2D rectangular assignment
    algorithms", IEEE Transactions on Aerospace and Electronic Systems 52 (2016).

    Why it is optimal: there is a price v_j of each column such that each matched row i has the least reduced cost
    c_ij - v_j of its row, u_i; where columns may stay free, v_j <= 0, and v_j = 0 while column j is free. (Staying
    unmatched is a column of the row's own, of price zero, that need not be stored.) Every step keeps that. Any
    complete matching costs at least the sum of all u_i and v_j, since u_i + v_j <= c_ij, and this one in the end costs
    just that. In floats the reduced costs are right up to rounding; that is all that can be lost, since every
    row reduction and every search is bounded by a count, and ends with a matching.

    Args:
        sign: 1 for costs, -1 for scores.
        thetas: (N, n_rows, n_cols), of which all sums are finite.
        allowed: (N or 1, n_rows, n_cols) bool, or (0, n_rows, n_cols) where all pairs are.
        unmatched: (N or 1, n_rows) the prices of staying unmatched, or (0, n_rows) where no row may.
        values: (N, n_rows, n_cols) zeros, in which the pairs become 1.
        statuses: (N,) zeros, in which instances without a matching become infeasible.
    """
    n_rows, n_cols = np.uint64(thetas.shape[1]), np.uint64(thetas.shape[2])
    complete = len(unmatched) == 0
    turned = bool(complete and n_rows > n_cols)  # the kernel's rows are the side that is matched completely
    rows, columns = (n_cols, n_rows) if turned else (n_rows, n_cols)
    it = _Matching(
        np.empty((rows, columns), thetas.dtype),
        np.full(rows, np.inf),
        np.empty(rows),
        np.empty(columns),
        np.empty(columns),
        np.empty(rows, np.uint32),
        np.empty(columns, np.uint32),
        np.empty(columns, np.int64),
        np.empty(_TWO * columns),
        np.empty(_TWO * columns, np.int64),
        np.empty(columns + _ONE),
        np.empty(columns + _ONE, np.uint32),
        np.empty(columns + _ONE, np.uint32),
    )
    waiting = np.empty(rows, np.uint32)  # the rows that are not matched yet
    for instance in range(len(thetas)):
        _take_costs(instance, sign, turned, thetas, allowed, it)
        if not complete:
            _take_unmatched(unmatched[instance if len(unmatched) > 1 else 0], sign, it)
        _clear(it)
        left = _reduce_columns(it, waiting) if complete and rows == columns else _find_floors(it, waiting)
        left = _reduce_rows(it, waiting, left)
        for column in range(columns):  # opened[:] = price takes seconds to compile, for the sake of error messages
            it.opened[column] = it.price[column]
        for place in range(left):
            if not _augment(it, np.uint64(waiting[place])):
                statuses[instance] = _INFEASIBLE
                break
        else:
            _mark(instance, turned, it, values)


@inner
def _take_costs(instance: int, sign: float, turned: bool, thetas: Rows, allowed: Rows, it: _Matching) -> None:
    n_rows, n_cols = np.uint64(thetas.shape[1]), np.uint64(thetas.shape[2])
    cost, own_sign, infinite = it.cost, thetas.dtype.type(sign), thetas.dtype.type(np.inf)
    mask = instance if len(allowed) > 1 else 0
    for row in range(n_rows):
        for column in range(n_cols):
            if turned:
                cost[column, row] = own_sign * thetas[instance, row, column]
            else:
                cost[row, column] = own_sign * thetas[instance, row, column]
        for column in range(n_cols if len(allowed) else _ZERO):
            if not allowed[mask, row, column]:
                if turned:
                    cost[column, row] = infinite
                else:
                    cost[row, column] = infinite


@inner
def _take_unmatched(unmatched: Rows, sign: float, it: _Matching) -> None:
    for row in range(np.uint64(len(unmatched))):
        it.alone[row] = sign * unmatched[row]


@inner
def _clear(it: _Matching) -> None:
    it.price[:] = 0.0
    it.column_of[:] = _NONE
    it.row_of[:] = _NONE
    for column in range(np.uint64(len(it.order))):
        it.order[column] = column


@inner
def _mark(instance: int, turned: bool, it: _Matching, values: Rows) -> None:
    for row in range(np.uint64(len(it.column_of))):
        column = it.column_of[row]
        if turned:
            values[instance, column, row] = 1
        elif column != _ALONE:
            values[instance, row, column] = 1


@inner
def _bits(value: float) -> np.int64:
    """Integers that order as floats from zero on."""
    return np.float64(value).view(np.int64)


@inner
def _float(bits: np.int64) -> float:
    return np.int64(bits).view(np.float64)


@inner
def _match(it: _Matching, row: np.uint64, column: np.uint64) -> None:
    if it.row_of[column] == _NONE:
        it.order[column] += len(it.order)
    it.row_of[column], it.column_of[row] = row, column


@inner
def _reduce_columns(it: _Matching, waiting: IndexArray) -> np.uint64:
    """Lowers or raises every column's price to its least cost, and matches it there if that row is free.

    For squares alone, where no column stays free. Returns how many rows wait.
    """
    size = np.uint64(len(it.price))
    it.floor[:] = 0.0
    it.distance[:] = np.inf
    it.pick[:] = 0
    here, there = _ZERO, size
    for row in range(size):
        _keep_least(it, np.uint64(row), here, there)
        here, there = there, here
    for place in range(size):
        column = size - _ONE - np.uint64(place)
        if it.distance[here + column] < np.inf:
            it.price[column] = it.distance[here + column]
            best = np.uint64(it.pick[here + column])
            if it.column_of[best] == _NONE:
                _match(it, best, column)
    left = _ZERO
    for row in range(size):
        if it.column_of[row] == _NONE:
            waiting[left] = row
            left += _ONE
    return left


@inner
def _keep_least(it: _Matching, row: np.uint64, here: np.uint64, there: np.uint64) -> None:
    """Takes a row into the least cost of each column. The last row that improved it is the greatest that did."""
    cost, distance, pick, this = it.cost, it.distance, it.pick, np.int64(row)
    for column in range(np.uint64(len(it.price))):
        one, known = np.float64(cost[row, column]), distance[here + column]
        pick[there + column] = max(pick[here + column], this if one < known else 0)
        distance[there + column] = one if one < known else known


@inner
def _find_floors(it: _Matching, waiting: IndexArray) -> np.uint64:
    """Takes each row's least cost for its floor. Returns how many rows wait, all of them."""
    cost, rows = it.cost, np.uint64(len(it.floor))
    for row in range(rows):
        waiting[row] = row
        least = _INFINITE
        for column in range(np.uint64(len(it.price))):
            bits = np.float64(cost[row, column]).view(np.int64)
            least = min(least, bits ^ ((bits >> _SIGN) & _GREATEST))  # orders below zero, too
        floor = _float(least ^ ((least >> _SIGN) & _GREATEST))
        it.floor[row] = floor if floor < np.inf else 0.0
    return rows


@inner
def _reduce_rows(it: _Matching, waiting: IndexArray, rows: np.uint64) -> np.uint64:
    """Matches rows to their column of least reduced cost, and lowers its price until the second is as good.

    The row that had the column before comes next. A price that cannot fall, for ties or rounding, is left to the
    search, and so is one that would fall forever; and as such a struggle for columns may be long, so is what remains
    after as many steps as pay off. Returns how many rows wait.
    """
    columns = np.uint64(len(it.price))
    steps, place, left = _ZERO, _ZERO, _ZERO
    while place < rows and steps < _TWO * np.uint64(len(it.floor)):
        steps += _ONE
        row = np.uint64(waiting[place])
        least, alone = _reduce(it, row), it.alone[row] - it.floor[row]
        if alone <= least and alone < np.inf:
            it.column_of[row] = _ALONE
            place += _ONE
            continue
        first = _find(it, _ZERO, least)
        if first < columns and least < np.inf:
            _match(it, row, first)
            place += _ONE
            continue
        column = first % columns
        it.distance[column] = np.inf
        second = min(_least(it), alone)
        lowered = it.price[column] - (second - least) if second < np.inf else np.inf
        if lowered < it.price[column]:
            it.price[column] = lowered
            waiting[place] = it.row_of[column]
            it.column_of[it.row_of[column]] = _NONE
            _match(it, row, column)
        else:
            waiting[left] = row
            left += _ONE
            place += _ONE
    while place < rows:
        waiting[left] = waiting[place]
        left += _ONE
        place += _ONE
    return left


@inner
def _reduce(it: _Matching, row: np.uint64) -> float:
    """Writes the reduced costs of a row, less its floor, into the distances. Returns the least."""
    cost, price, distance, floor = it.cost, it.price, it.distance, it.floor[row]
    least = _INFINITE
    for column in range(np.uint64(len(price))):
        reduced = (np.float64(cost[row, column]) - price[column]) - floor
        distance[column] = reduced
        least = min(least, _bits(reduced))
    return _float(least)


@inner
def _least(it: _Matching) -> float:
    distance, least = it.distance, _INFINITE
    for column in range(np.uint64(len(it.price))):
        least = min(least, _bits(distance[column]))
    return _float(least)


@inner
def _find(it: _Matching, here: np.uint64, value: float) -> np.uint64:
    """The first in order of the columns at a distance; some are."""
    distance, order, first = it.distance, it.order, _GREATEST
    for column in range(np.uint64(len(order))):
        first = min(first, order[column] if distance[here + column] == value else _GREATEST)
    return np.uint64(first)


@inner
def _augment(it: _Matching, source: np.uint64) -> bool:
    """Matches a row along the shortest path to a free column, or to a row that stays unmatched; false if none is.

    Dijkstra's algorithm on reduced costs: the least distance of a column that is open is final. The column is closed,
    and the row that it is matched to scanned, until it is free. Of columns at the same distance a free one is first.
    """
    columns = np.uint64(len(it.price))
    here, there, closed = _ZERO, columns, _ZERO
    it.pick[:columns] = 0
    it.scanned[0] = source
    least = _reduce(it, source)
    exit, exit_place = it.alone[source] - it.floor[source], _ZERO  # the best way to leave a row unmatched
    column = columns
    while least < exit:
        column = _find(it, here, least)
        if column < columns:
            break
        column -= columns
        it.distance[here + column] = np.inf
        it.opened[column] = -np.inf
        it.settled[closed], it.closed[closed] = least, column
        closed += _ONE
        row = np.uint64(it.row_of[column])
        it.scanned[closed] = row
        offset = least - (it.cost[row, column] - it.price[column])
        leave = max(it.alone[row] + offset, least)
        if leave < exit:
            exit, exit_place = leave, closed
        least = _relax(it, closed, offset, least, here, there)
        here, there = there, here
        column = columns
    end = min(least, exit)
    if end == np.inf:
        return False
    _turn_path(it, here, column, exit_place)
    for place in range(closed):
        column = np.uint64(it.closed[place])
        it.price[column] += it.settled[place] - end
        it.opened[column] = it.price[column]
    return True


@inner
def _relax(it: _Matching, place: np.uint64, offset: float, least: float, here: np.uint64, there: np.uint64) -> float:
    """Scans a row: takes it into the distances where that is shorter. Returns the least distance of an open column.

    No distance is below those that were final before, whatever rounding says. The last row that improved a distance is
    the one of greatest place that did.
    """
    cost, opened, distance, pick = it.cost, it.opened, it.distance, it.pick
    row, this, next_least = np.uint64(it.scanned[place]), np.int64(place), _INFINITE
    for column in range(np.uint64(len(opened))):
        reached = (np.float64(cost[row, column]) - opened[column]) + offset
        reached = reached if reached > least else least
        known = distance[here + column]
        pick[there + column] = max(pick[here + column], this if reached < known else 0)
        known = reached if reached < known else known
        distance[there + column] = known
        next_least = min(next_least, _bits(known))
    return _float(next_least)


@inner
def _turn_path(it: _Matching, here: np.uint64, column: np.uint64, exit_place: np.uint64) -> None:
    """Matches each row on the path that ends at a column, or else at leaving a row unmatched, to what comes after."""
    if column < np.uint64(len(it.price)):
        place = np.uint64(it.pick[here + column])
        _match(it, np.uint64(it.scanned[place]), column)
    else:
        place = exit_place
        it.column_of[it.scanned[place]] = _ALONE
    while place > 0:
        column = np.uint64(it.closed[place - _ONE])
        place = np.uint64(it.pick[here + column])
        _match(it, np.uint64(it.scanned[place]), column)
