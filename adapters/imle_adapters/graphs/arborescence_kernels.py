"""Compiled arborescences of a batch.

Tarjan's form of Edmonds' algorithm (Finding optimum branchings, Networks 7, 1977) with the expansion of Camerini,
Fratta and Maffioli (A note on finding optimum branchings, Networks 9, 1979), in O(edges log nodes) amortised: each node
has a heap of the edges that enter it; a path is grown backwards along the best of them; a cycle becomes one node, whose
heap is the union of its nodes', with scores relative to those of the cycle. Whatever is equal ranks by its number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_adapters.instances import IndexArray
from imle_solvers.compilation import compiled, inner
from imle_solvers.status import Status

Rows = NDArray[Any]

_INFEASIBLE = np.uint8(Status.INFEASIBLE)
_NONE = np.uint64(2**32 - 1)
_ONE = np.uint64(1)
_NEW, _ON_PATH, _DONE = np.uint8(0), np.uint8(1), np.uint8(2)
_SCALE = 0.25  # sums of at most twice as many scores as a tree has do not overflow where those of all edges do not


@compiled
def edmonds(
    nodes: int,
    tails: IndexArray,
    heads: IndexArray,
    thetas: Rows,
    blocked: Rows,
    absent: Rows,
    roots: Rows,
    values: Rows,
    statuses: Rows,
) -> None:
    """Marks the edges of the spanning arborescence of greatest score of each instance.

    Args:
        nodes: how many the graph has.
        tails, heads: (E,) the ends of each edge.
        thetas: (N, E), finite.
        blocked: (N, E) bool, or (0, E) where no edge is ruled out. Edges of absent nodes are blocked.
        absent: (N, nodes) bool, or (0, nodes) where every node is to be spanned.
        roots: (N,) nodes that are not absent, or -1: any.
        values: (N, E) zeros, in which the edges of the trees become 1.
        statuses: (N,) zeros, in which instances without a tree become infeasible.
    """
    size, every = np.uint64(thetas.shape[1]), np.uint64(nodes)
    # Of edges, as nodes of heaps: what is late is still to be added to the keys of all below.
    key, late = np.empty(size), np.empty(size)
    left, right = np.empty(size, np.uint32), np.empty(size, np.uint32)
    # Of nodes, and behind them of cycles, which are numbered in the order in which they are found.
    heap, within, above = np.empty(2 * every, np.uint32), np.empty(2 * every, np.uint32), np.empty(2 * every, np.uint32)
    pick, gain = np.empty(2 * every, np.uint32), np.empty(2 * every)
    state, path = np.empty(2 * every, np.uint8), np.empty(2 * every, np.uint32)
    for row in range(len(thetas)):
        for place in range(2 * every):
            heap[place], within[place], above[place], pick[place], state[place] = _NONE, place, _NONE, _NONE, _NEW
        for place in range(size):
            edge = np.uint64(place)
            if tails[edge] == heads[edge] or heads[edge] == roots[row] or (len(blocked) and blocked[row, edge]):
                continue
            key[edge], late[edge], left[edge], right[edge] = _SCALE * thetas[row, edge], 0.0, _NONE, _NONE
            heap[heads[edge]] = _merged(np.uint64(heap[heads[edge]]), edge, key, late, left, right)
        count, top, tops = every, _NONE, 0
        for start in range(every):
            if len(absent) and absent[row, start]:
                continue
            node, depth = _outermost(np.uint64(start), within), np.uint64(0)
            while state[node] == _NEW:
                state[node], path[depth] = _ON_PATH, node
                depth += _ONE
                edge = _pop(node, tails, heap, within, key, late, left, right)
                if edge == _NONE:  # a root is in it
                    top = node
                    tops += 1
                    break
                pick[node], gain[node] = edge, key[edge]
                before = _outermost(np.uint64(tails[edge]), within)
                if state[before] != _ON_PATH:
                    node = before
                    continue
                node = count
                count += _ONE
                depth = _contract(node, before, depth, path, heap, within, above, gain, key, late, left, right)
            for place in range(depth):
                state[path[place]] = _DONE
        if tops != 1:
            statuses[row] = _INFEASIBLE
            continue
        _enter(top, _NONE, _root(top, count, every, above, gain), above, pick, state)
        _expand(every, count, heads, above, pick, state)
        for place in range(every):
            if pick[place] != _NONE:
                values[row, pick[place]] = 1


@inner
def _contract(
    cycle: np.uint64,
    before: np.uint64,
    depth: np.uint64,
    path: IndexArray,
    heap: IndexArray,
    within: IndexArray,
    above: IndexArray,
    gain: Rows,
    key: Rows,
    late: Rows,
    left: IndexArray,
    right: IndexArray,
) -> np.uint64:
    """Makes one node of the end of the path, back to the node `before`; returns how long the path is then."""
    union = _NONE
    while True:
        depth -= _ONE
        part = np.uint64(path[depth])
        above[part] = within[part] = cycle
        first = np.uint64(heap[part])
        if first != _NONE:
            key[first] -= gain[part]
            late[first] -= gain[part]
            union = _merged(union, first, key, late, left, right)
        if part == before:
            break
    heap[cycle] = union
    return depth


@inner
def _outermost(node: np.uint64, within: IndexArray) -> np.uint64:
    """The cycle that a node has come into, or the node itself."""
    while within[node] != node:
        within[node] = within[within[node]]
        node = np.uint64(within[node])
    return node


@inner
def _pop(
    node: np.uint64,
    tails: IndexArray,
    heap: IndexArray,
    within: IndexArray,
    key: Rows,
    late: Rows,
    left: IndexArray,
    right: IndexArray,
) -> np.uint64:
    """Takes the best edge that enters a node from outside from its heap, with those that have come to lie inside."""
    edge = np.uint64(heap[node])
    while edge != _NONE:
        if late[edge] != 0.0:  # as in _merged: as a function of its own it takes the kernel seven times as long
            if left[edge] != _NONE:
                key[left[edge]] += late[edge]
                late[left[edge]] += late[edge]
            if right[edge] != _NONE:
                key[right[edge]] += late[edge]
                late[right[edge]] += late[edge]
            late[edge] = 0.0
        heap[node] = _merged(np.uint64(left[edge]), np.uint64(right[edge]), key, late, left, right)
        if _outermost(np.uint64(tails[edge]), within) != node:
            break
        edge = np.uint64(heap[node])
    return edge


@inner
def _merged(one: np.uint64, other: np.uint64, key: Rows, late: Rows, left: IndexArray, right: IndexArray) -> np.uint64:
    """The top of the union of two skew heaps, given by their tops."""
    top, last = _NONE, _NONE
    while one != _NONE and other != _NONE:
        if key[other] > key[one] or (key[other] == key[one] and other < one):
            one, other = other, one
        if late[one] != 0.0:
            if left[one] != _NONE:
                key[left[one]] += late[one]
                late[left[one]] += late[one]
            if right[one] != _NONE:
                key[right[one]] += late[one]
                late[right[one]] += late[one]
            late[one] = 0.0
        if last == _NONE:
            top = one
        else:
            left[last] = one
        last = one
        rest = np.uint64(right[one])
        right[one] = left[one]
        one = rest
    rest = other if one == _NONE else one
    if last == _NONE:
        return rest
    left[last] = rest
    return top


@inner
def _root(top: np.uint64, count: np.uint64, every: np.uint64, above: IndexArray, gain: Rows) -> np.uint64:
    """The node of a cycle that loses least by being entered by no edge."""
    if top < every:
        return top
    worth, inside = np.zeros(count), np.zeros(count, np.bool_)
    inside[top] = True
    root = _NONE
    for this in range(top):
        node = top - _ONE - np.uint64(this)
        around = np.uint64(above[node])
        if around != _NONE and inside[around]:
            inside[node], worth[node] = True, worth[around] - gain[node]
            if node < every and (root == _NONE or worth[node] >= worth[root]):  # of equal ones the first
                root = node
    return root


@inner
def _expand(
    every: np.uint64, count: np.uint64, heads: IndexArray, above: IndexArray, pick: IndexArray, state: Rows
) -> None:
    """Has each cycle, from the last one on, entered by the edge that it picked, unless it is already."""
    for this in range(count - every):
        cycle = count - _ONE - np.uint64(this)
        if state[cycle] != _NEW:
            _enter(cycle, pick[cycle], np.uint64(heads[pick[cycle]]), above, pick, state)


@inner
def _enter(
    cycle: np.uint64, edge: np.uint64, node: np.uint64, above: IndexArray, pick: IndexArray, state: Rows
) -> None:
    """Has a cycle, and all cycles in it down to a node, entered by this edge in place of the one that they picked."""
    while node != cycle:
        pick[node] = edge
        state[node] = _NEW
        node = np.uint64(above[node])
    pick[cycle] = edge
    state[cycle] = _NEW
