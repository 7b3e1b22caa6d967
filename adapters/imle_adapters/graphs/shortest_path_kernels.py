"""Compiled shortest paths of a batch. Indices are unsigned: Numba then leaves out the wraparound of negative ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_adapters.instances import IndexArray
from imle_solvers.compilation import compiled, inner
from imle_solvers.status import Status

Rows = NDArray[Any]

_INFEASIBLE = np.uint8(Status.INFEASIBLE)
_UNBOUNDED = np.uint8(Status.UNBOUNDED)
_NONE = np.uint64(2**32 - 1)
_ONE = np.uint64(1)
_SMALLEST_SCALE = 1e-290  # below it, the reciprocal of a cost overflows


@compiled
def vertex_cost_paths(
    indptr: IndexArray,
    tails: IndexArray,
    heads: IndexArray,
    thetas: Rows,
    blocked: Rows,
    sources: Rows,
    targets: Rows,
    values: Rows,
    statuses: Rows,
) -> int:
    """Marks the vertices of the cheapest path of each instance, in an undirected graph with costs of vertices.

    Args:
        indptr, tails, heads: compressed sparse rows of the graph, see `graphs.Arcs`.
        thetas: (N, vertices), finite; costs below zero count as zero.
        blocked: (N, vertices) bool, or (0, vertices) where nothing is blocked.
        sources, targets: (N,) vertices, not blocked.
        values: (N, vertices) zeros, in which the vertices of the paths become 1, both ends included.
        statuses: (N,) zeros, in which instances without a path become infeasible.

    Returns:
        How many costs were below zero, blocked ones apart.
    """
    size = np.uint64(thetas.shape[1])
    cost = np.empty(size)
    # The search from the source has the first half of these, the search from the target the second.
    parent, key, following = np.empty(2 * size, np.uint32), np.empty(2 * size), np.empty(2 * size, np.uint32)
    buckets = 64
    while buckets * buckets < 64 * size:  # about as many as vertices wait
        buckets *= 2
    first = np.empty(2 * buckets, np.uint32)
    keys, heap = np.empty(0), np.empty(0, np.uint32)
    clamped = 0
    for row in range(len(thetas)):
        source, target = np.uint64(sources[row]), np.uint64(targets[row])
        clamped += _take_costs(row, thetas, blocked, cost)
        largest = _largest_if_even(cost)
        if largest == np.inf:
            if len(keys) == 0:
                keys, heap = np.empty(len(heads) + 1), np.empty(len(heads) + 1, np.uint32)
            _dijkstra(indptr, heads, heads, cost, source, target, key, parent, keys, heap)
            _mark(row, source, target, key, parent, tails, heads, values, statuses)
            values[row, source] = statuses[row] != _INFEASIBLE
            continue
        parent[:] = _NONE
        for entry in range(size if len(blocked) else 0):
            if blocked[row, entry]:
                parent[entry] = parent[size + entry] = entry  # labelled: no search enters it
        if source == target:
            values[row, source] = 1
            continue
        scale = (buckets - 2) / largest if largest > _SMALLEST_SCALE else 0.0
        meeting = _meet(indptr, heads, cost, scale, source, target, parent, key, following, first)
        if meeting == _NONE:
            statuses[row] = _INFEASIBLE
            continue
        vertex = meeting
        while vertex != source:
            values[row, vertex] = 1
            vertex = np.uint64(parent[vertex])
        vertex = meeting
        while vertex != target:
            values[row, vertex] = 1
            vertex = np.uint64(parent[size + vertex])
        values[row, source] = values[row, target] = 1
    return clamped


@inner
def _meet(
    indptr: IndexArray,
    heads: IndexArray,
    cost: Rows,
    scale: float,
    source: np.uint64,
    target: np.uint64,
    parent: IndexArray,
    key: Rows,
    following: IndexArray,
    first: IndexArray,
) -> np.uint64:
    """Labels parents from both ends until the cheapest path is known. Returns the vertex where its halves meet.

    The two searches take turns. A vertex's key is the cost of the vertices from the search's start to itself, the
    start left out. Its own cost is the same whichever way it is entered, so the first label that it gets is final,
    and it enters the queue once. The queue is a ring of buckets of keys (Dial 1969), each a list in order; waiting
    keys differ by at most one cost, and `scale` makes the ring longer than that. Where costs are even, all
    this takes a third of the time of Dijkstra's algorithm with a heap.

    A vertex with labels of both searches gives a candidate, the path through it. The best is optimal once the keys
    last taken from the two queues add up to its cost: any other path has a vertex waiting in each queue, or one vertex
    with both labels. Only a strictly cheaper candidate replaces the best. So no path visits a vertex twice, even
    where costs are zero: that vertex had both labels before, and gave a candidate that was no dearer.
    """
    size, buckets = np.uint64(len(cost)), np.uint64(len(first) // 2)
    mask = buckets - _ONE
    parent[source], parent[size + target] = source, target
    key[source] = key[size + target] = 0.0
    following[source] = following[size + target] = _NONE
    first[:] = _NONE
    first[0], first[buckets] = source, target
    best, meeting = np.inf, _NONE
    # This search and the other: offset of its vertices, and of its ring; bucket, vertices waiting, key last taken.
    here, there = np.uint64(0), size
    ring, other_ring = np.uint64(0), buckets
    bucket, other_bucket = np.uint64(0), np.uint64(0)
    waiting, other_waiting = 1, 1
    taken, other_taken = 0.0, 0.0
    while waiting > 0:
        tail = np.uint64(first[ring + bucket])
        while tail == _NONE:
            bucket = (bucket + _ONE) & mask
            tail = np.uint64(first[ring + bucket])
        first[ring + bucket] = following[here + tail]
        waiting -= 1
        taken = key[here + tail]
        if taken + other_taken >= best:
            break
        arc, end = np.uint64(indptr[tail]), np.uint64(indptr[tail + _ONE])
        while arc < end:
            head = np.uint64(heads[arc])
            arc += _ONE
            if parent[here + head] != _NONE:
                continue
            parent[here + head] = tail
            if parent[there + head] != _NONE and taken + key[there + head] < best:
                best, meeting = taken + key[there + head], head
            reached = taken + cost[head]
            key[here + head] = reached
            slot = ring + (np.uint64(reached * scale) & mask)
            before, after = _NONE, np.uint64(first[slot])
            while after != _NONE and key[here + after] < reached:
                before, after = after, np.uint64(following[here + after])
            following[here + head] = after
            if before == _NONE:
                first[slot] = head
            else:
                following[here + before] = head
            waiting += 1
        here, there = there, here
        ring, other_ring = other_ring, ring
        bucket, other_bucket = other_bucket, bucket
        waiting, other_waiting = other_waiting, waiting
        taken, other_taken = other_taken, taken
    return meeting


@inner
def _take_costs(row: int, thetas: Rows, blocked: Rows, cost: Rows) -> int:
    """Copies an instance's costs, zero for those below it, infinite for blocked ones. Counts those below zero."""
    clamped = 0
    for entry in range(len(cost)):
        clamped += thetas[row, entry] < 0
        cost[entry] = max(np.float64(thetas[row, entry]), 0.0)
    for entry in range(len(cost) if len(blocked) else 0):
        if blocked[row, entry]:
            clamped -= thetas[row, entry] < 0
            cost[entry] = np.inf
    return clamped


@inner
def _largest_if_even(cost: Rows) -> float:
    """The largest finite cost; infinite if it dwarfs a quarter of the others, which would share a few buckets."""
    largest = 0.0
    for entry in range(len(cost)):
        largest = max(largest, cost[entry])
    if largest == np.inf:
        largest = 0.0
        for entry in range(len(cost)):
            if cost[entry] != np.inf:
                largest = max(largest, cost[entry])
    small = 0
    for entry in range(len(cost)):
        small += (cost[entry] > 0) & (cost[entry] < largest / 64)
    return np.inf if small > len(cost) // 4 else largest


@compiled
def edge_cost_paths(
    indptr: IndexArray,
    tails: IndexArray,
    heads: IndexArray,
    edges: IndexArray,
    thetas: Rows,
    blocked: Rows,
    sources: Rows,
    targets: Rows,
    values: Rows,
    statuses: Rows,
) -> int:
    """Marks the edges of the cheapest path of each instance.

    Args:
        indptr, tails, heads, edges: compressed sparse rows of the graph, see `graphs.Arcs`.
        thetas: (N, edges), finite; costs below zero count as zero.
        blocked: (N, edges) bool, or (0, edges) where nothing is blocked.
        sources, targets: (N,) nodes.
        values: (N, edges) zeros, in which the edges of the paths become 1.
        statuses: (N,) zeros, in which instances without a path become infeasible.

    Returns:
        How many costs were below zero, blocked ones apart.
    """
    cost = np.empty(thetas.shape[1])
    distance, parent = np.empty(len(indptr) - 1), np.empty(len(indptr) - 1, np.uint32)
    keys, heap = np.empty(len(heads) + 1), np.empty(len(heads) + 1, np.uint32)
    clamped = 0
    for row in range(len(thetas)):
        clamped += _take_costs(row, thetas, blocked, cost)
        source, target = np.uint64(sources[row]), np.uint64(targets[row])
        _dijkstra(indptr, heads, edges, cost, source, target, distance, parent, keys, heap)
        _mark(row, source, target, distance, parent, tails, edges, values, statuses)
    return clamped


@inner
def _dijkstra(
    indptr: IndexArray,
    heads: IndexArray,
    entries: IndexArray,
    cost: Rows,
    source: np.uint64,
    target: np.uint64,
    distance: Rows,
    parent: IndexArray,
    keys: Rows,
    heap: IndexArray,
) -> None:
    """Dijkstra's algorithm with a binary heap, until the target is settled. Parents are arcs.

    A node whose distance falls is pushed again, and its older entry is skipped when it comes up. What following an
    arc costs is `cost[entries[arc]]`; an infinite cost is never an improvement.
    """
    distance[:] = np.inf
    distance[source] = 0.0
    keys[0], heap[0] = 0.0, source
    waiting = _ONE
    while waiting > 0:
        tail, taken = np.uint64(heap[0]), keys[0]
        waiting -= _ONE
        _sift_down(keys, heap, waiting)
        if taken > distance[tail]:
            continue
        if tail == target:
            break
        for arc in range(indptr[tail], indptr[tail + _ONE]):
            head = np.uint64(heads[arc])
            reached = taken + cost[entries[arc]]
            if reached < distance[head]:
                distance[head] = reached
                parent[head] = arc
                _sift_up(keys, heap, waiting, reached, head)
                waiting += _ONE


@compiled
def acyclic_paths(
    position: IndexArray,
    starts: IndexArray,
    tails: IndexArray,
    entries: IndexArray,
    thetas: Rows,
    blocked: Rows,
    sources: Rows,
    targets: Rows,
    values: Rows,
    statuses: Rows,
) -> int:
    """Marks the entries of theta on the cheapest path of each instance, in a directed graph without cycles.

    Places are nodes in a topological order. Each takes the best of the arcs that lead there, once, so that costs of any
    sign are exact. The choice is a selection, no jump: those cost more than the rest where costs are random.

    Args:
        position: (nodes,) each node's place.
        starts, tails, entries: the arcs that lead to place p are `starts[p]:starts[p + 1]`, in the order of the places
            where they start, and what following each of them costs is theta's entry.
        thetas: (N, E), finite, of any sign.
        blocked: (N, E) bool, or (0, E) where nothing is blocked.
        sources, targets: (N,) nodes.
        values: (N, E) zeros, in which the entries on the paths become 1.
        statuses: (N,) zeros, in which instances without a path become infeasible.

    Returns:
        0: nothing is clamped.
    """
    cost, distance = np.empty(thetas.shape[1]), np.empty(len(position))
    parent = np.empty(len(position), np.uint32)
    for row in range(len(thetas)):
        source, target = np.uint64(position[sources[row]]), np.uint64(position[targets[row]])
        _copy_costs(row, thetas, blocked, cost)
        for place in range(target):
            distance[place] = np.inf
        distance[target] = np.inf
        distance[source] = 0.0
        for place in range(source + _ONE, target + _ONE):
            best, best_arc = np.inf, np.uint32(0)
            for arc in range(starts[place], starts[place + _ONE]):
                reached = distance[tails[arc]] + cost[entries[arc]]
                better = reached < best
                best = reached if better else best
                best_arc = np.uint32(arc) if better else best_arc
            distance[place] = best
            parent[place] = best_arc
        _mark(row, source, target, distance, parent, tails, entries, values, statuses)
    return 0


@inner
def _copy_costs(row: int, thetas: Rows, blocked: Rows, cost: Rows) -> None:
    """Copies an instance's costs, infinite for blocked ones."""
    for entry in range(len(cost)):
        cost[entry] = thetas[row, entry]
    for entry in range(len(cost) if len(blocked) else 0):
        if blocked[row, entry]:
            cost[entry] = np.inf


@compiled
def signed_paths(
    indptr: IndexArray,
    tails: IndexArray,
    heads: IndexArray,
    edges: IndexArray,
    starts: IndexArray,
    incoming: IndexArray,
    thetas: Rows,
    blocked: Rows,
    sources: Rows,
    targets: Rows,
    values: Rows,
    statuses: Rows,
) -> int:
    """Marks the edges of the cheapest path of each instance, in a directed graph with costs of any sign.

    Bellman-Ford's algorithm, of which a round looks at nodes whose distance has fallen. Without cycles of negative cost
    no round but the first as many as there are nodes, less one, changes anything. Nodes from which the target cannot be
    reached are left out, so that a cycle among them does no harm.

    Args:
        indptr, tails, heads, edges: compressed sparse rows of the graph, see `graphs.Arcs`.
        starts, incoming: the same arcs by head, see `graphs.Arcs.incoming`.
        thetas: (N, edges), finite, of any sign.
        blocked: (N, edges) bool, or (0, edges) where nothing is blocked.
        sources, targets: (N,) nodes.
        values: (N, edges) zeros, in which the edges of the paths become 1.
        statuses: (N,) zeros, in which instances become infeasible, without a path, or unbounded, with a cycle of
            negative cost on a way to the target.

    Returns:
        0: nothing is clamped.
    """
    nodes = np.uint64(len(indptr) - 1)
    cost, distance = np.empty(thetas.shape[1]), np.empty(nodes)
    parent, waiting = np.empty(nodes, np.uint32), np.empty(nodes, np.uint32)
    useful, fallen = np.empty(nodes, np.bool_), np.empty(nodes, np.bool_)
    for row in range(len(thetas)):
        source, target = np.uint64(sources[row]), np.uint64(targets[row])
        _copy_costs(row, thetas, blocked, cost)
        _reach_back(tails, edges, starts, incoming, cost, target, useful, waiting)
        for node in range(nodes):
            distance[node], fallen[node] = np.inf, False
        distance[source] = 0.0
        fallen[source] = changing = useful[source]
        rounds = np.uint64(0)
        while changing and rounds < nodes:
            changing = False
            rounds += _ONE
            for tail in range(nodes):
                if not fallen[tail]:
                    continue
                fallen[tail] = False
                for arc in range(indptr[tail], indptr[tail + _ONE]):
                    head = np.uint64(heads[arc])
                    reached = distance[tail] + cost[edges[arc]]
                    if reached < distance[head] and useful[head]:
                        distance[head] = reached
                        parent[head] = arc
                        fallen[head] = changing = True
        # Rounding may leave a circle of parents whose cost it took for zero.
        walked, steps = target, np.uint64(0)
        while not changing and walked != source and distance[target] < np.inf:
            walked = np.uint64(tails[parent[walked]])
            steps += _ONE
            changing = steps > nodes
        if changing:
            statuses[row] = _UNBOUNDED
        else:
            _mark(row, source, target, distance, parent, tails, edges, values, statuses)
    return 0


@inner
def _reach_back(
    tails: IndexArray,
    edges: IndexArray,
    starts: IndexArray,
    incoming: IndexArray,
    cost: Rows,
    target: np.uint64,
    useful: Rows,
    waiting: IndexArray,
) -> None:
    """Finds out from which nodes the target can be reached by arcs of finite cost."""
    for node in range(len(useful)):
        useful[node] = False
    useful[target] = True
    waiting[0] = target
    taken, known = np.uint64(0), _ONE
    while taken < known:
        head = np.uint64(waiting[taken])
        taken += _ONE
        for place in range(starts[head], starts[head + _ONE]):
            arc = np.uint64(incoming[place])
            tail = np.uint64(tails[arc])
            if not useful[tail] and cost[edges[arc]] < np.inf:
                useful[tail] = True
                waiting[known] = tail
                known += _ONE


@inner
def _sift_up(keys: Rows, heap: Rows, hole: np.uint64, key: float, node: np.uint64) -> None:
    """Puts a node into a binary heap whose last place is the hole."""
    while hole > 0:
        above = (hole - _ONE) >> _ONE
        if keys[above] <= key:
            break
        keys[hole], heap[hole] = keys[above], heap[above]
        hole = above
    keys[hole], heap[hole] = key, node


@inner
def _sift_down(keys: Rows, heap: Rows, size: np.uint64) -> None:
    """Moves the node behind a heap's end into its root, which was taken."""
    key, node = keys[size], heap[size]
    hole, below = np.uint64(0), _ONE
    while below < size:
        if below + _ONE < size and keys[below + _ONE] < keys[below]:
            below += _ONE
        if keys[below] >= key:
            break
        keys[hole], heap[hole] = keys[below], heap[below]
        hole, below = below, (below << _ONE) + _ONE
    keys[hole], heap[hole] = key, node


@inner
def _mark(
    row: int,
    source: np.uint64,
    target: np.uint64,
    distance: Rows,
    parent: IndexArray,
    tails: IndexArray,
    entries: IndexArray,
    values: Rows,
    statuses: Rows,
) -> None:
    """Marks the entries of the arcs from target back to source, or notes that there is no path."""
    if distance[target] == np.inf:
        statuses[row] = _INFEASIBLE
        return
    node = target
    while node != source:
        arc = np.uint64(parent[node])
        values[row, entries[arc]] = 1
        node = np.uint64(tails[arc])
