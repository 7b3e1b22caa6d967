"""Compiled search for the optima of a batch of small integer programs.

All kernels are in one module, since Numba's cache on disk sees changes only of the file that a kernel is in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_solvers.compilation import compiled, inner

Array = NDArray[Any]

SOLVED, INFEASIBLE, TIED, GIVEN_UP = 0, 1, 2, 3
"""How the search for one instance ended."""

_VISITS = 2_000  # in the enumeration of one node, after which the node is branched on instead
_MAX_TIES = 8  # better points may come after that many, but rarely
_PIVOT = 1e-7  # the least entry to pivot on
_MISSED = 1e-9  # how far the simplex method lets a basic variable out of its bounds
_FRACTION = 1e-6  # how far from an integer counts as fractional
_ROUNDING = 1e-11  # rounding errors of a sum, relative to the sum of its terms' magnitudes: far more than they are
_FOUND, _SECOND, _DOUBT, _TIES, _VISITED = 0, 1, 2, 3, 4  # see Record
_DUAL_FEASIBLE, _NO_POINT = 0, 1  # how the simplex method ends
_DOWN, _UP, _DOWN_LAST, _UP_LAST, _DONE = 0, 1, 2, 3, 4  # the sides of a node that are left to search


class Instance(NamedTuple):
    """Maximise cost @ x over matrix @ x <= (or ==, where equal) side. The bounds of x are kept apart."""

    cost: Array  # (n,)
    matrix: Array  # (m, n)
    equal: Array  # (m,) of bool
    slack: Array  # (m, 3), see `search`
    side: Array  # (m,)
    margin: float


class Dictionary(NamedTuple):
    """A basis: basic_i + sum_k tableau_ik x_k is constant, and so is the objective less sum_k price_k x_k.

    Variables from n on are the slacks of the rows. Those outside the basis are at one of their bounds.
    """

    tableau: Array  # (m, n)
    price: Array  # (n,)
    basic: Array  # (m,) values
    head: Array  # (m,) the variables in the basis
    outside: Array  # (n,) the variables that are not
    upper: Array  # (n,) of bool, whether these are at their upper bounds
    lb: Array  # (n + m,)
    ub: Array  # (n + m,)


class Record(NamedTuple):
    """What a search has seen so far.

    The marks are the value of the best point, that of the best other point, that of the best point of which the rows
    do not say whether it is one, how many points in a row were tied, and how many enumeration visited.
    """

    best: Array  # (n,)
    marks: Array  # (5,)


class Room(NamedTuple):
    """What enumeration writes to."""

    order: Array
    used: Array
    taken: Array
    activity: Array
    least: Array
    most: Array


@compiled
def search(
    costs: Array,
    matrix: Array,
    equal: Array,
    slacks: Array,
    sides: Array,
    lows: Array,
    highs: Array,
    margins: Array,
    few: int,
    depth: int,
    work: int,
    values: Array,
    ends: Array,
) -> None:
    """Maximises costs @ x over matrix @ x <= (or ==) side, low <= x <= high, x integer, for each instance.

    Branch and bound, depth first. Any multipliers y of the rows (not negative for <=) bound a node: no x of it is
    better than y @ side + sum_j max over low_j..high_j of d_j x_j, where d = cost - y @ matrix are the reduced costs,
    and one that deviates from the bound that d_j prefers is worse by |d_j| for each unit. So variables are fixed by
    what the bound leaves above the best point (Crowder, Johnson and Padberg 1983), and what few are left are
    enumerated. The bound is computed afresh from the data, and rounding errors are added to it (Neumaier and
    Shcherbina 2004): what the simplex method that finds y does wrong makes the search slower, not its result wrong.

    Points are only left unseen where they are worse than the best one by more than a margin. So the optimum is known
    to be the only one within the margin, or the instance ends TIED.

    Args:
        costs: (N, n).
        matrix: (m, n).
        equal: (m,) of bool.
        slacks: (N or 1, m, 3). A point that misses a row by no more than the first satisfies it, by more than the
            second violates it; if one between them matters, the search gives up. The third bounds the magnitude of
            the row's terms and side.
        sides: (N or 1, m).
        lows, highs: (N or 1, n), integers, low <= high.
        margins: (N,) by how much the optimum must be better than all other points.
        few: variables that are not fixed, at most, of a node whose points are enumerated.
        depth: nodes above one another, after which to give up.
        work: for one instance, after which to give up; a unit takes a few nanoseconds.
        values: (N, n), of which the rows of SOLVED instances are filled.
        ends: (N,), filled.
    """
    rows, columns = matrix.shape
    stack = Dictionary(
        np.empty((depth, rows, columns)),
        np.empty((depth, columns)),
        np.empty((depth, rows)),
        np.empty((depth, rows), np.int64),
        np.empty((depth, columns), np.int64),
        np.empty((depth, columns), np.bool_),
        np.empty((depth, columns + rows)),
        np.empty((depth, columns + rows)),
    )
    bounds, objectives, splits = np.empty(depth), np.empty(depth), np.empty(depth)
    variables, turns = np.empty(depth, np.int64), np.empty(depth, np.int64)
    record = Record(np.empty(columns), np.empty(5))
    room = Room(
        np.empty(columns, np.int64),
        np.empty(few + 1),
        np.empty(few + 1),
        np.empty((few + 1, rows)),
        np.empty((few + 1, rows)),
        np.empty((few + 1, rows)),
    )
    y, reduced, point = np.empty(rows), np.empty(columns), np.empty(columns)
    ratios, entries = np.empty(columns), np.empty(columns, np.int64)
    for number in range(len(costs)):
        slack, side = slacks[number % len(slacks)], sides[number % len(sides)]
        instance = Instance(costs[number], matrix, equal, slack, side, margins[number])
        marks = record.marks
        marks[:] = 0.0
        marks[_FOUND] = marks[_SECOND] = marks[_DOUBT] = -np.inf
        node = _level(stack, 0)
        objectives[0] = _start(instance, lows[number % len(lows)], highs[number % len(highs)], node)
        level, left, end, entered = 0, work, SOLVED, True
        while level >= 0:
            node = _level(stack, level)
            if entered:
                outcome, row, objectives[level], steps = _reoptimize(
                    node, objectives[level], marks[_FOUND] - instance.margin, ratios, entries
                )
                left -= (steps + 2) * (rows + 1) * columns
                entered = False
                if outcome == _NO_POINT and _proves_no_point(instance, node, row, y, reduced):
                    level -= 1
                    continue
                _multipliers(instance, node, y)
                bounds[level] = _bound(instance, 1.0, node, y, reduced)
                if not np.isfinite(bounds[level]):
                    end = GIVEN_UP
                    break
                if bounds[level] < marks[_FOUND] - instance.margin:
                    level -= 1
                    continue
                _round(node, point)
                _take(instance, point, record)
                _fix(node, bounds[level] - marks[_FOUND] + instance.margin, reduced)
                visited = marks[_VISITED]
                done = _enumerate(instance, node, bounds[level], y, reduced, point, record, room)
                left -= int(marks[_VISITED] - visited) * (rows + 4)
                if marks[_TIES] > _MAX_TIES or left < 0:
                    end = TIED if marks[_TIES] > _MAX_TIES else GIVEN_UP
                    break
                if done:
                    level -= 1
                    continue
                variables[level], splits[level], turns[level] = _branch(node)
            # Down into the first, then into the second side of the node.
            if turns[level] == _DONE or bounds[level] < marks[_FOUND] - instance.margin:
                level -= 1
                continue
            if level + 1 == depth:
                end = GIVEN_UP
                break
            up = turns[level] == _UP or turns[level] == _UP_LAST
            turns[level] = _DONE if turns[level] >= _DOWN_LAST else (_DOWN_LAST if up else _UP_LAST)
            objectives[level + 1] = objectives[level] + _descend(
                node, _level(stack, level + 1), variables[level], splits[level], up
            )
            level, entered = level + 1, True
        ends[number] = end if end != SOLVED else _judge(record, instance.margin)
        if ends[number] == SOLVED:
            _copy(record.best, values[number])


@inner
def _level(stack: Dictionary, level: int) -> Dictionary:
    return Dictionary(
        stack.tableau[level],
        stack.price[level],
        stack.basic[level],
        stack.head[level],
        stack.outside[level],
        stack.upper[level],
        stack.lb[level],
        stack.ub[level],
    )


@inner
def _start(instance: Instance, low: Array, high: Array, node: Dictionary) -> float:
    """The basis of the slacks, dual feasible with every variable at the bound that it is best at. Its objective."""
    rows, columns = instance.matrix.shape
    for i in range(rows):
        node.basic[i] = instance.side[i]
        _copy(instance.matrix[i], node.tableau[i])
    _copy(instance.cost, node.price)
    objective = 0.0
    for j in range(columns):
        node.lb[j], node.ub[j], node.outside[j] = low[j], high[j], j
        node.upper[j] = instance.cost[j] > 0.0
        value = high[j] if node.upper[j] else low[j]
        objective += instance.cost[j] * value
        for i in range(rows):
            node.basic[i] -= instance.matrix[i, j] * value
    for i in range(rows):
        node.head[i] = columns + i
        node.lb[columns + i], node.ub[columns + i] = 0.0, (0.0 if instance.equal[i] else np.inf)
    return objective


@inner
def _reoptimize(
    node: Dictionary, objective: float, cutoff: float, ratios: Array, entries: Array
) -> tuple[int, int, float, int]:
    """The dual simplex method for variables with two bounds, which may flip from one to the other (Maros 2003).

    Returns:
        How it ended, the row that has no point or -1, the objective, steps.
    """
    tableau, price, basic, head, outside, upper, lb, ub = node
    rows, columns = tableau.shape
    steps = 0
    while objective >= cutoff and steps < 20 + 4 * (rows + columns):
        leaving, worst, sign = -1, _MISSED, 1.0
        for i in range(rows):
            above, below = basic[i] - ub[head[i]], lb[head[i]] - basic[i]
            if above > worst:
                leaving, worst, sign = i, above, 1.0
            elif below > worst:
                leaving, worst, sign = i, below, -1.0
        if leaving < 0:
            break
        steps += 1
        line = tableau[leaving]
        size = 0
        for k in range(columns):
            entry = sign * line[k]
            if abs(entry) > _PIVOT and (entry < 0.0) == upper[k] and lb[outside[k]] < ub[outside[k]]:
                ratios[size], entries[size] = abs(price[k] / entry), k
                size += 1
        # In the order of their ratios, variables flip while that leaves the row infeasible; the next one enters.
        q, excess = -1, worst
        while size > 0:
            least = 0
            for place in range(1, size):
                if ratios[place] < ratios[least]:
                    least = place
            k = entries[least]
            reach = ub[outside[k]] - lb[outside[k]]
            excess -= abs(line[k]) * reach
            if excess <= _MISSED:  # not 0.0: what rounding leaves over is no proof that the row has no point
                q = k
                break
            change = -reach if upper[k] else reach
            upper[k] = not upper[k]
            objective += price[k] * change
            for i in range(rows):
                basic[i] -= tableau[i, k] * change
            size -= 1
            ratios[least], entries[least] = ratios[size], entries[size]
        if q < 0:
            return _NO_POINT, leaving, objective, steps
        left = head[leaving]
        step = (basic[leaving] - (ub[left] if sign > 0.0 else lb[left])) / line[q]
        value = (ub[outside[q]] if upper[q] else lb[outside[q]]) + step
        objective += price[q] * step
        for i in range(rows):
            basic[i] -= tableau[i, q] * step
        basic[leaving] = value
        head[leaving], outside[q], upper[q] = outside[q], left, sign > 0.0
        inverse = 1.0 / line[q]
        for k in range(columns):
            line[k] *= inverse
        line[q] = inverse
        for i in range(rows):
            factor = tableau[i, q]
            if i != leaving and factor != 0.0:
                tableau[i, q] = 0.0
                for k in range(columns):
                    tableau[i, k] -= factor * line[k]
        factor = price[q]
        price[q] = 0.0
        for k in range(columns):
            price[k] -= factor * line[k]
    return _DUAL_FEASIBLE, -1, objective, steps


@inner
def _multipliers(instance: Instance, node: Dictionary, y: Array) -> None:
    """The multipliers of the rows at a basis, with the signs that make them valid."""
    columns = len(node.price)
    y[:] = 0.0
    for k in range(columns):
        i = node.outside[k] - columns
        if i >= 0:
            y[i] = -node.price[k] if instance.equal[i] else max(0.0, -node.price[k])


@inner
def _proves_no_point(instance: Instance, node: Dictionary, row: int, y: Array, reduced: Array) -> bool:
    """Whether a row of the tableau proves that the node has no point: with costs of 0 it has a bound below 0."""
    columns = len(node.price)
    inside = node.head[row]
    sign = -1.0 if node.basic[row] > node.ub[inside] else 1.0
    y[:] = 0.0
    for k in range(columns + 1):
        variable, entry = (node.outside[k], node.tableau[row, k]) if k < columns else (inside, 1.0)
        i = variable - columns
        if i >= 0:
            y[i] = sign * entry if instance.equal[i] else max(0.0, sign * entry)
    bound = _bound(instance, 0.0, node, y, reduced)
    return bound < 0.0


@inner
def _bound(instance: Instance, factor: float, node: Dictionary, y: Array, reduced: Array) -> float:
    """What factor * cost @ x cannot exceed in a node, by multipliers y. The reduced costs are filled in."""
    rows, columns = instance.matrix.shape
    total = size = 0.0
    for j in range(columns):
        reduced[j] = factor * instance.cost[j]
        size += abs(reduced[j]) * max(abs(node.lb[j]), abs(node.ub[j]))
    for i in range(rows):
        if y[i] != 0.0:
            total += y[i] * instance.side[i] + abs(y[i]) * instance.slack[i, 1]
            size += abs(y[i]) * instance.slack[i, 2]
            for j in range(columns):
                reduced[j] -= y[i] * instance.matrix[i, j]
    for j in range(columns):
        total += max(reduced[j] * node.lb[j], reduced[j] * node.ub[j])
    return total + _ROUNDING * size


@inner
def _round(node: Dictionary, point: Array) -> None:
    """The point that rounding makes of a basis."""
    columns = len(point)
    for k in range(columns):
        j = node.outside[k]
        if j < columns:
            point[j] = node.ub[j] if node.upper[k] else node.lb[j]
    for i in range(len(node.head)):
        j = node.head[i]
        if j < columns:
            point[j] = min(max(np.rint(node.basic[i]), node.lb[j]), node.ub[j])


@inner
def _take(instance: Instance, point: Array, record: Record) -> None:
    """Takes note of a point: the new best, a tie of it, or one of which the rows do not say whether it is one."""
    best, marks = record
    value = _dot(instance.cost, point)
    if not value >= marks[_FOUND] - instance.margin:  # nor if it is not a number
        return
    state = 0
    for i in range(len(instance.side)):
        missed = _dot(instance.matrix[i], point) - instance.side[i]
        if instance.equal[i]:
            missed = abs(missed)
        if missed > instance.slack[i, 1]:
            return
        if missed > instance.slack[i, 0]:
            state = 1
    if state == 1:
        marks[_DOUBT] = max(marks[_DOUBT], value)
    elif marks[_FOUND] == -np.inf or not _same(best, point):
        marks[_SECOND] = max(marks[_SECOND], min(marks[_FOUND], value))
        if value > marks[_FOUND]:
            marks[_FOUND] = value
            _copy(point, best)
        tied = marks[_SECOND] >= marks[_FOUND] - instance.margin
        marks[_TIES] = marks[_TIES] + 1.0 if tied else 0.0


@inner
def _dot(one: Array, other: Array) -> float:
    total = 0.0
    for j in range(len(one)):
        total += one[j] * other[j]
    return total


@inner
def _copy(source: Array, target: Array) -> None:
    # Numba takes seconds to compile target[:] = source, for the sake of its error messages.
    for j in range(len(source)):
        target[j] = source[j]


@inner
def _same(one: Array, other: Array) -> bool:
    same = True
    for j in range(len(one)):
        same = same and one[j] == other[j]
    return same


@inner
def _judge(record: Record, margin: float) -> int:
    """How a search ends that has seen all there is."""
    least = record.marks[_FOUND] - margin
    if record.marks[_DOUBT] > -np.inf and record.marks[_DOUBT] >= least:
        return GIVEN_UP
    if record.marks[_FOUND] == -np.inf:
        return INFEASIBLE
    return TIED if record.marks[_SECOND] >= least else SOLVED


@inner
def _fix(node: Dictionary, budget: float, reduced: Array) -> None:
    """Leaves variables outside the basis only the deviations from their bounds that the budget allows."""
    lb, ub, columns = node.lb, node.ub, len(reduced)
    for k in range(columns):
        j = node.outside[k]
        if j < columns and abs(reduced[j]) * (ub[j] - lb[j]) > budget and (reduced[j] > 0.0) == node.upper[k]:
            if reduced[j] > 0.0:
                lb[j] = ub[j] - np.floor(budget / reduced[j])
            else:
                ub[j] = lb[j] + np.floor(budget / -reduced[j])


@inner
def _enumerate(
    instance: Instance,
    node: Dictionary,
    bound: float,
    y: Array,
    reduced: Array,
    point: Array,
    record: Record,
    room: Room,
) -> bool:
    """Visits the points of a node that its bound and the rows do not exclude. False: there were too many.

    Depth first over the variables that are not fixed, those of large reduced costs first.
    """
    _, matrix, equal, slack, side, margin = instance
    order, used, taken, activity, least, most = room
    rows, columns = matrix.shape
    size = 0
    for j in range(columns):
        point[j] = node.lb[j]
        if node.lb[j] < node.ub[j]:
            point[j] = 0.0
            place = size
            while place > 0 and abs(reduced[order[place - 1]]) < abs(reduced[j]):
                order[place] = order[place - 1]
                place -= 1
            order[place] = j
            size += 1
            if size == len(used):
                return False
    for i in range(rows):
        activity[0, i] = _dot(matrix[i], point)
        least[size, i] = most[size, i] = 0.0
        for place in range(size - 1, -1, -1):
            j = order[place]
            one, other = matrix[i, j] * node.lb[j], matrix[i, j] * node.ub[j]
            least[place, i] = least[place + 1, i] + min(one, other)
            most[place, i] = most[place + 1, i] + max(one, other)
    place, used[0], taken[0] = 0, 0.0, -1.0
    end = record.marks[_VISITED] + _VISITS
    while place >= 0:
        if place == size:
            _take(instance, point, record)
            if record.marks[_TIES] > _MAX_TIES:
                return False
            place -= 1
            continue
        j = order[place]
        taken[place] += 1.0
        spent = used[place] + abs(reduced[j]) * taken[place]
        budget = bound - record.marks[_FOUND] + margin
        if taken[place] > node.ub[j] - node.lb[j] or spent > budget:
            place -= 1
            continue
        record.marks[_VISITED] += 1.0
        if record.marks[_VISITED] > end:
            return False
        value = node.ub[j] - taken[place] if reduced[j] > 0.0 else node.lb[j] + taken[place]
        possible, loss = True, spent
        for i in range(rows):
            now = activity[place, i] + matrix[i, j] * value
            activity[place + 1, i] = now
            spare = side[i] - now - most[place + 1, i]
            if now + least[place + 1, i] - side[i] > slack[i, 1] or (equal[i] and spare > slack[i, 1]):
                possible = False
                break
            loss += y[i] * max(0.0, spare)  # a row with a price must be left slack; 0 if it is an equality
        if possible and loss <= budget:
            point[j] = value
            place += 1
            used[place], taken[place] = spent, -1.0
    return True


@inner
def _branch(node: Dictionary) -> tuple[int, float, int]:
    """A variable to branch on, the value that splits its range, and which side comes first.

    It is the one farthest from an integer, else one that the basis holds, else any that is not fixed.
    """
    columns = len(node.price)
    variable, place, farthest = -1, 0.0, -1.0
    for i in range(len(node.head)):
        j = node.head[i]
        if j < columns and node.lb[j] < node.ub[j]:
            away = abs(node.basic[i] - np.rint(node.basic[i]))
            if away > farthest:
                variable, place, farthest = j, node.basic[i], away
    if variable < 0:
        for k in range(columns):
            j = node.outside[k]
            if j < columns and node.lb[j] < node.ub[j]:
                variable, place = j, node.ub[j] if node.upper[k] else node.lb[j]
    place = min(max(place, node.lb[variable]), node.ub[variable]) if np.isfinite(place) else node.lb[variable]
    if abs(place - np.rint(place)) < _FRACTION:  # the integer stays on the first side
        place = np.rint(place)
        return (variable, place - 1.0, _UP) if place == node.ub[variable] else (variable, place, _DOWN)
    return variable, np.floor(place), (_UP if place - np.floor(place) > 0.5 else _DOWN)


@inner
def _descend(node: Dictionary, below: Dictionary, variable: int, split: float, up: bool) -> float:
    """Makes a node of one side of another. Returns the change of the objective."""
    for i in range(len(node.basic)):
        below.basic[i], below.head[i] = node.basic[i], node.head[i]
        _copy(node.tableau[i], below.tableau[i])
    for k in range(len(node.outside)):
        below.outside[k], below.upper[k] = node.outside[k], node.upper[k]
    _copy(node.price, below.price)
    _copy(node.lb, below.lb)
    _copy(node.ub, below.ub)
    if up:
        below.lb[variable] = split + 1.0
    else:
        below.ub[variable] = split
    gain = 0.0
    for k in range(len(node.outside)):
        if node.outside[k] == variable:
            change = below.ub[variable] - node.ub[variable] if node.upper[k] else below.lb[variable] - node.lb[variable]
            for i in range(len(node.basic)):
                below.basic[i] -= node.tableau[i, k] * change
            gain = node.price[k] * change
    return gain
