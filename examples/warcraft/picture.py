"""The picture of the Warcraft example: maps, paths, predicted costs, learning curves."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from examples.warcraft.learning import Learning
from examples.warcraft.maps import Maps, connects, cost_optimal, path_costs
from imle_solvers.viz import plot_curves, plot_grid

COLUMNS = 4
LABELLED, RIGHT, WRONG = "white", "#F0E442", "#FF7AD1"


def draw(trainings: dict[str, Learning], maps: Maps) -> Figure:
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
        norm = Normalize(0, costs.max())
        for axes, predicted in zip(grid[-1], costs, strict=True):
            plot_grid(predicted, norm=norm, bar=False, axes=axes)
        grid[-1, 0].set_ylabel("predicted costs")
        left.colorbar(grid[-1, 0].images[0], ax=list(grid[-1]), shrink=0.9, aspect=12, pad=0.01)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    _draw_curves(right, trainings)
    return figure


def _draw_paths(
    axes_row: NDArray[np.object_], maps: Maps, masks: NDArray[np.uint8], label: str, *, judge: bool = False
) -> None:
    optimal, joined, costs = cost_optimal(masks, maps), connects(masks), path_costs(maps.costs, masks)
    for index, axes in enumerate(axes_row):
        text, colour = f"cost {costs[index]:.1f}", LABELLED
        if judge:
            colour = RIGHT if optimal[index] else WRONG
            text = f"{text}, {'optimal' if optimal[index] else 'not optimal'}" if joined[index] else "no path"
        plot_grid(path=masks[index], image=maps.images[index], colour=colour, title=text, axes=axes)
    axes_row[0].set_ylabel(label)


def _draw_curves(figure: SubFigure, trainings: dict[str, Learning]) -> None:
    axes = figure.subplots()
    for title, training in trainings.items():
        plot_curves(
            {
                f"{title}: cost-optimal": [point.optimal for point in training.history],
                f"{title}: exact match": [point.exact for point in training.history],
            },
            steps=[point.seconds for point in training.history],
            xlabel="seconds of training",
            ylabel="share of validation maps",
            percent=True,
            axes=axes,
        )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15))
    axes.set_box_aspect(1)
