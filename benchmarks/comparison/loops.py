"""Solvers as users write them: one instance after another, with NetworkX, SciPy, OR-Tools or a heap. No torch."""

from __future__ import annotations

import functools
import heapq
import time
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

Array = NDArray[Any]
Solver = Callable[[Array], Array]

_STEPS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]


def each(solve: Solver) -> Solver:
    """(*shape) -> (*shape) becomes (N, *shape) -> (N, *shape), by a loop."""
    return lambda thetas: np.stack([solve(theta) for theta in thetas])


def heap_path(costs: Array, lists: bool = False) -> Array:
    """The cheapest path from corner to corner over 8 neighbours, by Dijkstra's algorithm with a heap.

    Negative costs count as zero, as `ShortestPathAdapter` has them.

    Args:
        costs: (H, W), of the cells.
        lists: whether to work on lists, which Python indexes several times faster than arrays.
    """
    height, width = costs.shape
    cost: Any = np.maximum(costs, 0)
    distance: Any = np.full(costs.shape, np.inf)
    if lists:
        cost, distance = cost.tolist(), distance.tolist()
    distance[0][0] = cost[0][0]
    came_from = {}
    done = set()
    queue = [(cost[0][0], (0, 0))]
    while queue:
        so_far, cell = heapq.heappop(queue)
        if cell in done:
            continue
        if cell == (height - 1, width - 1):
            break
        done.add(cell)
        for down, right in _STEPS:
            row, column = cell[0] + down, cell[1] + right
            if 0 <= row < height and 0 <= column < width and (row, column) not in done:
                length = so_far + cost[row][column]
                if length < distance[row][column]:
                    distance[row][column] = length
                    came_from[row, column] = cell
                    heapq.heappush(queue, (length, (row, column)))
    path = np.zeros_like(costs)
    cell = (height - 1, width - 1)
    path[cell] = 1
    while cell in came_from:
        cell = came_from[cell]
        path[cell] = 1
    return path


def scipy_paths(side: int) -> Solver:
    """The same by SciPy, on a sparse matrix whose pattern is made once."""
    pairs = np.array([(tail, head) for tail in range(side * side) for head in _neighbours(tail, side)])
    size = side * side
    matrix = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    heads = matrix.indices

    def solve(costs: Array) -> Array:
        # SciPy takes zeros for missing arcs.
        matrix.data = np.maximum(costs.ravel(), 1e-9)[heads].astype(np.float64)
        parents = dijkstra(matrix, indices=0, return_predecessors=True)[1]
        path = np.zeros(size, costs.dtype)
        cell = size - 1
        while cell >= 0:
            path[cell] = 1
            cell = parents[cell]
        return path.reshape(costs.shape)

    return each(solve)


def networkx_paths(side: int) -> Solver:
    """The same by NetworkX."""
    graph = nx.DiGraph((tail, head) for tail in range(side * side) for head in _neighbours(tail, side))

    def solve(costs: Array) -> Array:
        cost = np.maximum(costs, 0).ravel().tolist()
        path = np.zeros(side * side, costs.dtype)
        path[nx.dijkstra_path(graph, 0, side * side - 1, weight=lambda tail, head, _: cost[head])] = 1
        return path.reshape(costs.shape)

    return each(solve)


def networkx_trees(nodes: int) -> Solver:
    """Spanning trees of greatest score of a complete graph, (N, E) -> (N, E)."""
    graph = nx.complete_graph(nodes)
    entry = {edge: index for index, edge in enumerate(graph.edges)}

    def solve(scores: Array) -> Array:
        for (_, _, attributes), score in zip(graph.edges(data=True), scores.tolist(), strict=True):
            attributes["weight"] = score
        tree = np.zeros_like(scores)
        tree[[entry[min(edge), max(edge)] for edge in nx.maximum_spanning_edges(graph, data=False)]] = 1
        return tree

    return each(solve)


def scipy_assignments(costs: Array) -> Array:
    """Assignments of least cost, (N, n, n) -> (N, n, n)."""
    chosen = np.zeros_like(costs)
    for cost, one in zip(costs, chosen, strict=True):
        one[linear_sum_assignment(cost)] = 1
    return chosen


def knapsack(items: int, limits: int) -> tuple[Array, Array]:
    """Weights (limits, items) of 3 to 8, and capacities (limits,) of 20, as PyEPO's examples have them."""
    return np.random.default_rng(0).integers(300, 800, (limits, items)) / 100, np.full(limits, 20.0)


@functools.cache
def _knapsack_model(items: int, limits: int) -> tuple[Any, list[Any]]:
    from ortools.linear_solver import pywraplp

    model = pywraplp.Solver.CreateSolver("SCIP")
    taken = [model.BoolVar(f"x{item}") for item in range(items)]
    weights, capacities = knapsack(items, limits)
    for row, capacity in zip(weights.tolist(), capacities.tolist(), strict=True):
        model.Add(sum(weight * x for weight, x in zip(row, taken, strict=True)) <= capacity)
    model.Objective().SetMaximization()
    return model, taken


def ortools_knapsack(values: Array, limits: int) -> Array:
    """The best items, (n,) -> (n,), by OR-Tools; each process makes the model once."""
    model, taken = _knapsack_model(len(values), limits)
    objective = model.Objective()
    for x, value in zip(taken, values.tolist(), strict=True):
        objective.SetCoefficient(x, value)
    if model.Solve() != model.OPTIMAL:
        raise RuntimeError("OR-Tools: the knapsack was not solved to optimality")
    return np.array([round(x.solution_value()) for x in taken], values.dtype)


def busy(theta: Array, seconds: float) -> Array:
    """Holds the GIL for a time by the clock, and returns where theta is positive."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return (theta > 0).astype(theta.dtype)


def _neighbours(cell: int, side: int) -> list[int]:
    row, column = divmod(cell, side)
    around = [(row + down, column + right) for down, right in _STEPS]
    return [r * side + c for r, c in around if 0 <= r < side and 0 <= c < side]
