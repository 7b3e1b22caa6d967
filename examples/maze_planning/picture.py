"""The picture of the maze example: mazes with demonstrated and found paths, costs, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from examples.maze_planning import evaluation
from examples.maze_planning.mazes import SIDE, Array, Mazes, optimal
from examples.maze_planning.model import PLAIN
from imle_solvers.viz import plot_curves, plot_grid
from imle_solvers.viz.canvas import plain_numbers

COUNT = 4
# Floor and walls, each as it is and expanded.
KINDS = np.array([[(235, 235, 235), (120, 170, 220)], [(70, 70, 70), (30, 80, 140)]], dtype=np.uint8)
PLAIN_TITLE = "plain U-Net"
LABELLED, RIGHT, WRONG = "white", "#F0E442", "#FF7AD1"


class Shown(NamedTuple):
    """What a training came to.

    Attributes:
        method: its name.
        masks: (N, 32, 32) predicted for the test mazes.
        costs: (N, 32, 32) for a search.
        curve: the share of optimal paths before training and after each epoch, on validation mazes.
    """

    method: str
    masks: Array
    costs: Array
    curve: Sequence[float]


def draw(shown: Sequence[Shown], mazes: Mazes, *, walls_known: bool) -> Figure:
    """Draws the first mazes, what each method found, costs of the first one and a search on them, and curves."""
    mazes, first = mazes[:COUNT], shown[0]
    lines = 3 + len(shown)
    figure = Figure(figsize=(14.5, 2.2 * lines + 0.3), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.9, 1))[0]
    grid = left.subplots(lines, len(mazes), squeeze=False)
    _draw_masks(grid[0], mazes, mazes.paths, "demonstrated", judge=False)
    for line, each in zip(grid[1:], shown, strict=False):
        label = (
            f"predicted by\na {PLAIN_TITLE}" if each.method == PLAIN else f"found by the\nsolver layer ({each.method})"
        )
        _draw_masks(line, mazes, each.masks[:COUNT], label)
    costs = first.costs[:COUNT]
    for axes, values in zip(grid[-2], costs, strict=True):
        plot_grid(values, norm=LogNorm(costs.min(), costs.max()), bar=False, axes=axes)
    grid[-2, 0].set_ylabel(f"learned costs\n({first.method})")
    plain_numbers(left.colorbar(grid[-2, 0].images[0], ax=list(grid[-2]), shrink=0.9, aspect=12, pad=0.01))
    _draw_expanded(grid[-1], mazes, costs, walls_known=walls_known)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    _draw_curves(right.subplots(), shown)
    return figure


def _draw_masks(line: Sequence[Axes], mazes: Mazes, masks: Array, label: str, *, judge: bool = True) -> None:
    right = optimal(masks, mazes)
    in_walls = (masks.astype(bool) & mazes.walls).sum(axis=(1, 2))
    for index, axes in enumerate(line):
        colour, text = LABELLED, f"{masks[index].sum()} {'cell' if masks[index].sum() == 1 else 'cells'}"
        if judge:
            colour = RIGHT if right[index] else WRONG
            text += ", optimal" if right[index] else f", {in_walls[index]} in walls" if in_walls[index] else ""
        ends = [divmod(int(cells[index]), SIDE) for cells in (mazes.source, mazes.target)]
        plot_grid(path=masks[index], image=mazes.images[index], ends=ends, colour=colour, title=text, axes=axes)
    line[0].set_ylabel(label)


def _draw_expanded(line: Sequence[Axes], mazes: Mazes, costs: Array, *, walls_known: bool) -> None:
    found = evaluation.guided(costs, mazes, walls_known=walls_known)
    for axes, each, other, walls in zip(line, found, evaluation.astar(mazes), mazes.walls, strict=True):
        text = f"{each.expanded.sum()}; on the true maze {other.expanded.sum()}"
        image = KINDS[walls.astype(int), each.expanded.astype(int)]
        plot_grid(path=np.zeros(walls.shape), image=image, title=text, axes=axes)
    line[0].set_ylabel("cells that A* on\nthem expands")


def _draw_curves(axes: Axes, shown: Sequence[Shown]) -> None:
    for each in shown:
        plot_curves(
            {PLAIN_TITLE if each.method == PLAIN else f"U-Net + solver layer ({each.method})": each.curve},
            xlabel="epoch",
            ylabel="optimal paths, of validation mazes",
            percent=True,
            axes=axes,
        )
    axes.legend(loc="best")
    axes.set_box_aspect(1)
