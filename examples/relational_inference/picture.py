"""The picture: true and inferred interactions over the tracks of held-out particles, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from examples.relational_inference.training import Score
from imle_solvers.viz import plot_curves
from imle_solvers.viz.canvas import COLOURS

Array = NDArray[Any]

# Blue and vermilion are told apart by the colour-blind, too; no particle has them, which are grey.
TRUE, RIGHT, WRONG, MISSED = "0.25", COLOURS[0], COLOURS[1], "0.6"
PARTICLE = "0.45"


def draw(tracks: Array, truth: Array, found: Array, scores: Sequence[Score], title: str, directed: bool) -> Figure:
    """Draws some systems twice, with the true interactions and with the inferred ones, and the curves of training.

    Args:
        tracks: (K, T, n, D), of which the first two of D are places.
        truth, found: (K, n, n), [i, j] not zero where j acts on i.
        scores: before training and after each epoch.
        title: what was inferred how.
        directed: whether interactions are drawn as arrows.
    """
    shown = len(tracks)
    figure = Figure(figsize=(3.3 * shown + 4.2, 7.2), layout="constrained")
    panels = figure.subplots(2, shown + 1, width_ratios=[1] * shown + [1.2])
    for column in range(shown):
        true, inferred = truth[column] != 0, found[column] != 0
        above, below = panels[:, column]
        _draw_tracks(above, tracks[column])
        _draw_edges(above, tracks[column], true, TRUE, directed=directed)
        above.set_title(f"system {column}: true", fontsize=10)
        _draw_tracks(below, tracks[column])
        _draw_edges(below, tracks[column], true & ~inferred, MISSED, directed=directed, style=":")
        _draw_edges(below, tracks[column], inferred & ~true, WRONG, directed=directed)
        _draw_edges(below, tracks[column], inferred & true, RIGHT, directed=directed)
        right = (inferred & true).sum() // (1 if directed else 2)
        below.set_title(f"inferred: {right} of {true.sum() // (1 if directed else 2)}", fontsize=10)
    shares = {
        "precision, sampled": [score.precision for score in scores],
        "recall, sampled": [score.recall for score in scores],
        "precision, MAP": [score.map_precision for score in scores],
    }
    plot_curves(shares, xlabel="epoch", percent=True, title="held-out systems", axes=panels[0, -1])
    bounds = [-score.elbo for score in scores]
    plot_curves({"negative ELBO": bounds}, xlabel="epoch", title="negative ELBO, a particle", axes=panels[1, -1])
    panels[1, -1].get_legend().remove()  # one curve, which the title names
    panels[1, -1].set_yscale("log")
    key = "blue: right, orange: wrong, dotted: missed; dots: last places of particles, thin lines: how they came there"
    figure.suptitle(f"{title}\n{key}", fontsize=11)
    return figure


def _draw_tracks(axes: Axes, tracks: Array) -> None:
    steps, nodes, _ = tracks.shape
    for node in range(nodes):
        points = tracks[:, node, :2]
        parts = np.stack([points[:-1], points[1:]], 1)
        fading = np.linspace(0.15, 0.8, steps - 1)
        axes.add_collection(LineCollection(list(parts), colors=PARTICLE, alpha=list(fading), linewidths=1.2))
        axes.plot(*points[-1], "o", color=PARTICLE, markeredgecolor="white", markersize=7, zorder=4)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axes.autoscale_view()
    axes.margins(0.08)


def _draw_edges(axes: Axes, tracks: Array, influence: Array, colour: str, *, directed: bool, style: str = "-") -> None:
    last = tracks[-1, :, :2]
    for receiver, sender in np.argwhere(influence):
        if directed:
            arrow = {
                "arrowstyle": "-|>",
                "color": colour,
                "linestyle": style,
                "linewidth": 1.8,
                "shrinkA": 4,
                "shrinkB": 4,
            }
            axes.annotate("", last[receiver], last[sender], arrowprops=arrow)
        elif sender < receiver or not influence[sender, receiver]:
            axes.plot(*last[[sender, receiver]].T, color=colour, linestyle=style, linewidth=1.8, zorder=2)
