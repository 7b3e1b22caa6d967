"""A* on a grid of costs, which says what cells it expands."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

from examples.maze_planning.mazes import Array

_STEPS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]


class Found(NamedTuple):
    """What a search came to.

    Attributes:
        path: (H, W) uint8, 1 on a cheapest path; all 0 where there is none.
        expanded: (H, W) bool, cells whose neighbours were looked at, and the target.
    """

    path: Array
    expanded: Array


def search(costs: Array, source: int, target: int, *, step: float = 0.0, walls: Array | None = None) -> Found:
    """A path to all 8 neighbours, by A* (Hart, Nilsson and Raphael, 1968). Each cell is expanded once.

    The heuristic is the number of steps to the target, if nothing were in the way, at a cost of `step` each. Of equally
    good cells the one nearest to the target comes first.

    Args:
        costs: (H, W), of cells, 0 or more; a path pays for both ends.
        source, target: cells, row by row.
        step: no more than the least cost: the path is a cheapest one; w times that: it costs at most w times as much
            (weighted A*; Pohl, 1970). 0: Dijkstra's algorithm.
        walls: (H, W) bool, cells that may not be entered; None: none.
    """
    height, width = costs.shape
    open_cells = np.ones(costs.shape, dtype=bool) if walls is None else ~walls
    rows, columns = np.mgrid[:height, :width]
    end_row, end_column = divmod(target, width)
    far = np.maximum(abs(rows - end_row), abs(columns - end_column))
    bound, steps, price = (step * far).ravel().tolist(), far.ravel().tolist(), costs.ravel().tolist()
    enterable = open_cells.ravel().tolist()
    best, parent = {source: price[source]}, {source: source}
    queue = [(best[source] + bound[source], steps[source], source)]
    closed: set[int] = set()
    path = np.zeros(costs.shape, dtype=np.uint8)
    while queue:
        _, _, cell = heapq.heappop(queue)
        if cell in closed:
            continue
        closed.add(cell)
        if cell == target:
            path.flat[source] = 1
            while cell != source:
                path.flat[cell] = 1
                cell = parent[cell]
            break
        row, column = divmod(cell, width)
        for down, right in _STEPS:
            if not (0 <= row + down < height and 0 <= column + right < width):
                continue
            neighbour = cell + down * width + right
            if not enterable[neighbour] or neighbour in closed:
                continue
            reached = best[cell] + price[neighbour]
            if reached < best.get(neighbour, np.inf):
                best[neighbour], parent[neighbour] = reached, cell
                heapq.heappush(queue, (reached + bound[neighbour], steps[neighbour], neighbour))
    expanded = np.zeros(costs.shape, dtype=bool)
    expanded.flat[list(closed)] = True
    return Found(path, expanded)
