"""The picture of the road example: the network in true and learned costs, one against the other, learning curves."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from examples.road_network.roads import Position, Roads
from examples.road_network.training import Score

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
    positions = roads.positions or nx.kamada_kawai_layout(nx.Graph(roads.graph), weight=None)
    for axes, costs, title in zip(panels[0], (true_costs, learned), ("true costs", "learned costs"), strict=True):
        lines = _draw_network(axes, roads, positions, edges, costs, used, norm)
        axes.set_title(f"{roads.name}: {title}")
    figure.colorbar(lines, ax=list(panels[0]), label="cost of a road (learned: scaled to the same median)", shrink=0.9)
    _draw_comparison(panels[1, 0], true_costs, learned, used)
    curves = panels[1, 1]
    curves.plot([score.optimal for score in scores], label="cost-optimal routes")
    curves.plot([score.exact for score in scores], "--", label="exact match")
    curves.plot([score.rank for score in scores], ":", label="rank correlation of costs")
    curves.set(xlabel="epoch", title="held-out routes", ylim=(-0.02, 1.02))
    curves.yaxis.set_major_formatter(PercentFormatter(1.0))
    curves.grid(alpha=0.3)
    curves.legend(loc="lower right")
    return figure


def _draw_network(
    axes: Axes,
    roads: Roads,
    positions: Mapping[Hashable, Position],
    edges: Sequence[tuple[Hashable, Hashable]],
    costs: Array,
    used: Array,
    norm: LogNorm,
) -> LineCollection:
    segments = np.array([[positions[node] for node in edge[:2]] for edge in edges])
    if roads.graph.is_directed():  # both ways of a road side by side
        along = segments[:, 1] - segments[:, 0]
        aside = np.stack([along[:, 1], -along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-12)
        segments += 0.004 * np.ptp(segments.reshape(-1, 2), axis=0) * aside[:, None]
    lines = LineCollection(list(segments), cmap="plasma_r", norm=norm, linewidths=np.where(used, 2.5, 0.8))
    lines.set_array(costs)
    lines.set_linestyle([("-" if on_route else ":") for on_route in used])
    axes.add_collection(lines)
    ends = np.array([positions[node] for node in roads.origins])
    axes.plot(*ends.T, "o", color="0.3", markersize=3)
    axes.autoscale()
    axes.set_axis_off()
    return lines


def _draw_comparison(axes: Axes, true_costs: Array, learned: Array, used: Array) -> None:
    for mask, marker, label in ((used, "o", "on observed routes"), (~used, "x", "on none")):
        axes.plot(true_costs[mask], learned[mask], marker, alpha=0.6, markersize=4, label=label)
    ends = np.quantile(true_costs, (0, 1))
    axes.plot(ends, ends, color="0.6", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="true cost", ylabel="learned cost", title="each road")
    axes.grid(alpha=0.3)
    axes.legend()
