"""Warcraft maps, their cheapest paths, and how good predicted paths are.

The maps (Vlastelica et al., ICLR 2020; Edmond, doi 10.17617/3.YJCQ5S) are grids of k x k tiles of 8 x 8 pixels. A tile
is of one of five kinds of terrain, each with its cost; the label is a cheapest path from the upper left to the lower
right corner, to all 8 neighbours, which pays for every tile that it touches, both ends included.
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

SIZES = (12, 18, 24, 30)
SPLITS = ("train", "val", "test")
TILE = 8  # pixels along the side of a tile
TOLERANCE = 1e-6  # of the cost of a path; costs are whole tenths, so that paths of different cost are far apart

Array = NDArray[Any]


@dataclass(frozen=True)
class Maps:
    """N maps of k x k tiles.

    Attributes:
        images: (N, 8k, 8k, 3) uint8.
        costs: (N, k, k) float64, whole tenths.
        paths: (N, k, k) uint8, 1 on a cheapest path.
    """

    images: Array
    costs: Array
    paths: Array

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Maps:
        return Maps(self.images[rows], self.costs[rows], self.paths[rows])


def cheapest_paths(costs: Array) -> Array:
    """A cheapest path of each grid of costs, (N, k, k) -> (N, k, k) uint8."""
    with SolverLayer(ShortestPathAdapter.grid(*costs.shape[1:])) as layer:
        paths = layer.map(torch.from_numpy(costs))
    return np.asarray(paths, dtype=np.uint8)


def path_costs(costs: Array, masks: Array) -> Array:
    """The sum of the costs of the marked tiles, (N, k, k), (N, k, k) -> (N,)."""
    sums: Array = (costs * masks).sum(axis=(1, 2))
    return sums


def connects(masks: Array) -> Array:
    """Whether the marked tiles join the upper left corner to the lower right one, (N, k, k) -> (N,) bool."""
    within_each_map = np.zeros((3, 3, 3))
    within_each_map[1] = 1  # all 8 neighbours, none of them in another map
    regions, _ = ndimage.label(masks, within_each_map)
    joined: Array = (regions[:, 0, 0] == regions[:, -1, -1]) & (regions[:, 0, 0] > 0)
    return joined


def exact_match(masks: Array, maps: Maps) -> Array:
    """Whether a predicted mask is the labelled path, tile by tile: (N,) bool. Ties make this stricter than need be."""
    matches: Array = (masks == maps.paths).all(axis=(1, 2))
    return matches


def cost_optimal(masks: Array, maps: Maps) -> Array:
    """Whether a predicted mask is a path, by the true costs as cheap as the label: (N,) bool.

    What joins the corners at no more than the best cost is a cheapest path, and nothing but that; so this is a test of
    any mask, also of a network's that need not be a path.
    """
    best = path_costs(maps.costs, maps.paths)
    optimal: Array = connects(masks) & (path_costs(maps.costs, masks) <= best + TOLERANCE)
    return optimal


def check_labels(maps: Maps) -> None:
    """Raises `ValueError` unless every label is a cheapest path. Any of several equally cheap ones will do."""
    best = path_costs(maps.costs, cheapest_paths(maps.costs))
    labelled = path_costs(maps.costs, maps.paths)
    wrong = ~connects(maps.paths) | (abs(labelled - best) > TOLERANCE)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{wrong.sum()} of {len(maps)} labels are not cheapest paths; the first is that of map {first}, which "
            f"costs {labelled[first]:.1f} where {best[first]:.1f} is best"
        )
