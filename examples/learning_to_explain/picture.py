"""The picture of a run: how errors and agreement with people change, and what all come to."""

from __future__ import annotations

import statistics

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.common.results import Results
from examples.common.tables import mean_and_deviation
from examples.learning_to_explain.choosing import SUPERVISED
from imle_solvers.viz import plot_curves
from imle_solvers.viz.canvas import COLOURS

CHOICE, BOUND, RANDOM = "#7b1fa2", COLOURS[4], "0.45"


def draw(results: Results, title: str, highlights: str) -> Figure:
    """Draws the curves of both metrics over epochs, means over seeds, and bars of F1.

    Those of baselines are grey, that of a method which was taught the highlights, a bound, orange.
    """
    figure = Figure(figsize=(14, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    learned = list(dict.fromkeys(row.method for row in results.rows if row.curves))
    for axes, name, label in (
        (left, "test_error", "error on validation texts"),
        (middle, "subset_f1", f"F1 against {highlights}"),
    ):
        for method in learned:
            runs = [row.curves[name] for row in results.rows if row.method == method and row.curves]
            means = [statistics.mean(values) for values in zip(*runs, strict=False)]  # as long as the shortest
            plot_curves({method: means}, xlabel="epoch", ylabel=label, axes=axes)
    handles, names = left.get_legend_handles_labels()
    for axes in (left, middle):
        if axes.get_legend():
            axes.get_legend().remove()
    if len(names) > 1:
        figure.legend(handles, names, loc="outside lower left", ncols=len(names))
    _draw_bars(right, results, learned, highlights)
    figure.suptitle(title)
    return figure


def _draw_bars(axes: Axes, results: Results, learned: list[str], highlights: str) -> None:
    methods = results.methods[::-1]
    pairs = [mean_and_deviation(results.values(method, "subset_f1")) for method in methods]
    errors = [deviation for _, deviation in pairs] if len({row.seed for row in results.rows}) > 1 else None
    colours = [BOUND if method == SUPERVISED else CHOICE if method in learned else RANDOM for method in methods]
    bars = axes.barh(methods, [mean for mean, _ in pairs], 0.65, xerr=errors, capsize=3, color=colours)
    axes.bar_label(bars, [f"{mean:.3f}" for mean, _ in pairs], padding=4, fontsize=9)
    axes.margins(x=0.15)
    axes.set(xlabel=f"F1 against {highlights}")
    bound = f"; orange: taught by {highlights}, a bound" * (SUPERVISED in methods)
    axes.set_title(f"grey: without learning{bound}", fontsize="small")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
