"""The picture of the Warcraft example: maps, paths, predicted costs, learning curves."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from examples.warcraft.maps import TILE, Maps, connects, cost_optimal, path_costs
from examples.warcraft.training import Training

COLUMNS = 4
LABELLED, RIGHT, WRONG = "white", "gold", "tomato"
COLOURS = ("tab:blue", "tab:gray")


def draw(trainings: dict[str, Training], maps: Maps) -> Figure:
    """Draws what each training predicts for the first maps, and the learning curves.

    Args:
        trainings: by their titles.
        maps: held out from training.
    """
    shown = maps[:COLUMNS]
    costs = next(iter(trainings.values())).predict_costs(shown)
    rows = 1 + len(trainings) + (costs is not None)
    figure = Figure(figsize=(14.5, 2.15 * rows + 0.5), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.6, 1))[0]
    grid = left.subplots(rows, len(shown), squeeze=False)
    _draw_paths(grid[0], shown, shown.paths, "cheapest path")
    for axes_row, (title, training) in zip(grid[1:], trainings.items(), strict=False):
        _draw_paths(
            axes_row, shown, training.predict(shown), f"predicted by\n{title}".replace(" + ", "\n+ "), judge=True
        )
    if costs is not None:
        for axes, predicted in zip(grid[-1], costs, strict=True):
            heat = axes.imshow(predicted, cmap="magma", vmin=0, vmax=costs.max())
        grid[-1, 0].set_ylabel("predicted costs")
        left.colorbar(heat, ax=list(grid[-1]), shrink=0.9, aspect=12, pad=0.01)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    _draw_curves(right, trainings)
    return figure


def _draw_paths(
    axes_row: NDArray[np.object_], maps: Maps, masks: NDArray[np.uint8], label: str, *, judge: bool = False
) -> None:
    optimal, joined, costs = cost_optimal(masks, maps), connects(masks), path_costs(maps.costs, masks)
    for index, axes in enumerate(axes_row):
        axes.imshow(maps.images[index], interpolation="nearest")  # pixels as they are, and small files
        text, colour = f"cost {costs[index]:.1f}", LABELLED
        if judge:
            colour = RIGHT if optimal[index] else WRONG
            text = f"{text}, {'optimal' if optimal[index] else 'not optimal'}" if joined[index] else "no path"
        axes.set_title(text, fontsize=9)
        _draw_mask(axes, masks[index], colour)
    axes_row[0].set_ylabel(label)


def _draw_mask(axes: Axes, mask: NDArray[np.uint8], colour: str) -> None:
    """Draws marked tiles and joins neighbouring ones. On a cheapest path only successive tiles are neighbours."""
    tiles = np.argwhere(mask)
    centres = (tiles[:, ::-1] + 0.5) * TILE - 0.5
    pairs = np.argwhere(abs(tiles[:, None] - tiles[None]).max(-1) == 1)
    axes.add_collection(LineCollection(list(centres[pairs]), colors=colour, linewidths=1.5))
    axes.plot(*centres.T, "o", color=colour, markersize=3.5)


def _draw_curves(figure: SubFigure, trainings: dict[str, Training]) -> None:
    axes = figure.subplots()
    for colour, (title, training) in zip(COLOURS, trainings.items(), strict=False):
        seconds = [point.seconds for point in training.history]
        axes.plot(
            seconds, [point.optimal for point in training.history], "o-", color=colour, label=f"{title}: cost-optimal"
        )
        axes.plot(
            seconds, [point.exact for point in training.history], "s--", color=colour, label=f"{title}: exact match"
        )
    axes.set(xlabel="seconds of training", ylabel="share of validation maps", ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    axes.set_box_aspect(1)
