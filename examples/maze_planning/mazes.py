"""Mazes, their shortest paths, and whether what was found is one of them.

A maze has 32 x 32 cells, floor or wall. A path goes from cell to cell, to all 8 neighbours, over floor only; its length
is the number of its cells. A demonstration is a shortest path, one of many at random, so that it says nothing of floor
but that it is floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer

SIDE = 32
FAR = 0.55  # starts are farther from the target than this share of the cells from which there is a path to it

Array = NDArray[Any]


@dataclass(frozen=True)
class Mazes:
    """N problems.

    Attributes:
        images: (N, 32, 32, 3) uint8.
        walls: (N, 32, 32) bool.
        source, target: (N,) int64, cells, row by row: the context of the layer.
        paths: (N, 32, 32) uint8, 1 on the demonstrated path, both ends included.
    """

    images: Array
    walls: Array
    source: Array
    target: Array
    paths: Array

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | Array) -> Mazes:
        return Mazes(self.images[rows], self.walls[rows], self.source[rows], self.target[rows], self.paths[rows])

    @property
    def lengths(self) -> Array:
        """(N,) cells on the demonstrated paths."""
        lengths: Array = self.paths.sum(axis=(1, 2), dtype=np.int64)
        return lengths


def demonstrate(images: Array, walls: Array, source: Array, target: Array, rng: np.random.Generator) -> Mazes:
    """Problems and a path for each; there has to be one."""
    costs = 1 + rng.random(walls.shape) / (SIDE * SIDE)  # of a whole path less than a cell more than its length
    context = {"source": source, "target": target, "blocked": walls}
    with SolverLayer(ShortestPathAdapter.grid(SIDE, SIDE)) as layer:
        paths = layer.map(torch.from_numpy(costs), **{name: torch.from_numpy(a) for name, a in context.items()})
    return Mazes(images, walls, source, target, np.asarray(paths, dtype=np.uint8))


def distances(walls: Array, target: int) -> Array:
    """Steps from each cell of a maze, (32, 32) bool, to the target, a cell: (1024,) int64, -1 where there is no way."""
    floor = ~walls
    reached: Array = np.zeros_like(floor)
    reached.flat[target] = True
    steps = np.where(reached, 0, -1)
    for step in range(1, SIDE * SIDE):
        grown: Array = ndimage.binary_dilation(reached, np.ones((3, 3), dtype=bool), mask=floor)
        if (grown == reached).all():
            break
        steps[grown & ~reached] = step
        reached = grown
    return steps.ravel()


def draw_source(steps: Array, rng: np.random.Generator) -> int:
    """A cell among the farthest from the target, of those from which there is a way, at `distances` from it.

    Much as in Neural A* (Yonetani et al., ICML 2021), whose starts are beyond the 55th percentile of distances, too.
    """
    far = np.quantile(steps[steps > 0], FAR)
    return int(rng.choice(np.flatnonzero(steps >= far)))


def optimal(masks: Array, mazes: Mazes) -> Array:
    """Whether the marked cells, (N, 32, 32), are a shortest path from source to target over floor: (N,) bool.

    What joins the ends with no more cells than the shortest path is a path, and nothing but that; so this is a test of
    any mask, also of a network's that need not be a path.
    """
    short: Array = masks.sum(axis=(1, 2), dtype=np.int64) <= mazes.lengths
    shortest: Array = connects(masks, mazes) & short & ~through_walls(masks, mazes)
    return shortest


def through_walls(masks: Array, mazes: Mazes) -> Array:
    """Whether any marked cell is a wall: (N,) bool."""
    touching: Array = np.any(masks.astype(bool) & mazes.walls, axis=(1, 2))
    return touching


def connects(masks: Array, mazes: Mazes) -> Array:
    """Whether the marked cells join the ends, through walls or not: (N,) bool."""
    within_each_maze = np.zeros((3, 3, 3))
    within_each_maze[1] = 1  # all 8 neighbours, none of them in another maze
    regions, _ = ndimage.label(masks, within_each_maze)
    flat, rows = np.asarray(regions).reshape(len(masks), -1), np.arange(len(masks))
    first, last = flat[rows, mazes.source], flat[rows, mazes.target]
    joined: Array = (first == last) & (first > 0)
    return joined
