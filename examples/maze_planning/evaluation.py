"""How good costs and paths are on mazes: optimality, and how much of a maze a search explores.

Exploration is that of Neural A* (Yonetani et al., ICML 2021): by how much fewer cells a search with the learned costs
expands than A* on the true maze, with walls and a cost of 1 a cell; 1 - E / E* of a maze, or 0 where E is more than E*
or the found path leads through walls, and the mean over mazes. Both are the same search, whose heuristic is the number
of steps that would lead to the target if nothing were in the way; a step counts 1 on the true maze, and on learned
costs as much as their median.
"""

from __future__ import annotations

import numpy as np

from examples.common.results import Column
from examples.maze_planning.mazes import Array, Mazes, optimal, through_walls
from examples.maze_planning.search import Found, search

COLUMNS = {
    "optimal": Column("optimal paths", ".1%"),
    "walls": Column("paths through walls", ".1%"),
    "optimal_searched": Column("optimal by A* on the costs", ".1%"),
    "expanded": Column("cells that A* expands", ".0f"),
    "saved": Column("fewer than on the true maze", ".1%"),
}


def search_all(costs: Array, mazes: Mazes, *, walls_known: bool, steps: Array) -> list[Found]:
    """A search on each grid of costs, (N, 32, 32), between the ends of the mazes; its heuristic takes `steps`, (N,)."""
    return [
        search(
            costs[row],
            int(mazes.source[row]),
            int(mazes.target[row]),
            step=float(steps[row]),
            walls=mazes.walls[row] if walls_known else None,
        )
        for row in range(len(mazes))
    ]


def astar(mazes: Mazes, step: float = 1.0) -> list[Found]:
    """Searches that know the walls, where each cell costs 1; with a step of 0 it is Dijkstra's algorithm."""
    return search_all(np.ones(mazes.walls.shape), mazes, walls_known=True, steps=np.full(len(mazes), step))


def guided(costs: Array, mazes: Mazes, *, walls_known: bool) -> list[Found]:
    """Searches on learned costs, which take a step to cost what the median cell does: that is floor."""
    return search_all(costs, mazes, walls_known=walls_known, steps=np.median(costs, axis=(1, 2)))


def expansions(found: list[Found]) -> Array:
    """(N,) cells expanded."""
    return np.array([each.expanded.sum() for each in found])


def metrics_of(masks: Array, found: list[Found], mazes: Mazes) -> dict[str, float]:
    """How good masks, (N, 32, 32), and searches are.

    Returns:
        optimal: share of masks that are shortest paths.
        walls: share of masks that touch walls.
        optimal_searched: share of searches that found shortest paths.
        expanded: cells, the mean.
        saved: exploration, see above; 0 for a maze in which the search found no way over floor.
    """
    expanded = expansions(found)
    paths = np.stack([each.path for each in found])
    over_floor = paths.any(axis=(1, 2)) & ~through_walls(paths, mazes)
    return {
        "optimal": float(optimal(masks, mazes).mean()),
        "walls": float(through_walls(masks, mazes).mean()),
        "optimal_searched": float(optimal(paths, mazes).mean()),
        "expanded": float(expanded.mean()),
        "saved": float((over_floor * np.maximum(1 - expanded / expansions(astar(mazes)), 0)).mean()),
    }
