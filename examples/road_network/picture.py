"""The picture of the road example: the network in true and learned costs, one against the other, learning curves."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from examples.road_network.roads import Roads
from examples.road_network.training import Score
from imle_solvers.viz import plot_curves, plot_graph

Array = NDArray[Any]


def draw(
    roads: Roads,
    edges: Sequence[tuple[Hashable, Hashable]],
    true_costs: Array,
    learned_costs: Array,
    used: Array,
    scores: Sequence[Score],
) -> Figure:
    """Draws the network twice, and how learned costs compare.

    Args:
        roads: the network.
        edges: its E roads, in the order of the costs.
        true_costs, learned_costs: (E,).
        used: (E,) bool, the roads on observed routes, of which alone something could be learned.
        scores: before training and after each epoch.
    """
    figure = Figure(figsize=(13, 10), layout="constrained")
    panels = figure.subplots(2, 2)
    # Routes tell costs up to a factor.
    learned = learned_costs * np.median(true_costs[used]) / np.median(learned_costs[used])
    norm = LogNorm(*np.quantile(true_costs, (0.02, 0.98)))
    for axes, costs, title in zip(panels[0], (true_costs, learned), ("true costs", "learned costs"), strict=True):
        plot_graph(
            edges,
            costs,
            used,
            positions=roads.positions or None,
            directed=roads.graph.is_directed(),
            norm=norm,
            label="cost" if axes is panels[0, 0] else "cost, scaled to the same median",
            title=f"{roads.name}: {title}; thick: on observed routes",
            axes=axes,
        )
    _draw_comparison(panels[1, 0], true_costs, learned, used)
    curves = {
        "cost-optimal, share of routes": [score.optimal for score in scores],
        "exact match, share of routes": [score.exact for score in scores],
        "rank correlation of costs": [score.rank for score in scores],
    }
    plot_curves(curves, xlabel="epoch", ylabel="share, or rank correlation", title="held-out routes", axes=panels[1, 1])
    return figure


def _draw_comparison(axes: Axes, true_costs: Array, learned: Array, used: Array) -> None:
    for mask, marker, label in ((used, "o", "on observed routes"), (~used, "x", "on none")):
        axes.plot(true_costs[mask], learned[mask], marker, alpha=0.6, markersize=4, label=label)
    ends = np.quantile(true_costs, (0, 1))
    axes.plot(ends, ends, color="0.6", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="true cost", ylabel="learned cost", title="each road")
    axes.grid(alpha=0.3)
    axes.legend()
