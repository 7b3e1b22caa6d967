"""Pictures that experiments share, and how pictures are written to the folder of results."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image  # which matplotlib needs, too

from examples.common.results import Column, Results
from examples.common.tables import mean_and_deviation
from imle_solvers.viz import plot_curves

RESOLUTIONS, BYTES = (100, 80, 64), 300_000  # the first dots to the inch with which a file is small enough


def save_picture(figure: Figure, folder: Path, name: str) -> str:
    """Writes a picture in its true colours, and says where; returns the file's name.

    One with many images has fewer pixels, so that it does not burden a repository.
    """
    path = folder / f"{name}.png"
    for dpi in RESOLUTIONS:
        drawn = BytesIO()
        figure.savefig(drawn, dpi=dpi)
        Image.open(drawn).convert("RGB").save(path, optimize=True)  # without an alpha channel: a quarter less
        if path.stat().st_size <= BYTES:
            break
    print(f"picture: {path}")
    return path.name


def draw_curves(results: Results, xlabel: str = "epoch", ylabel: str = "", title: str = "") -> Figure:
    """Draws the curves of a run: a panel for each, a line for each method, the mean over seeds.

    A curve ends where the first seed's does. Curves have the names of metrics, and the titles of their columns.
    """
    names = [name for name in results.columns if any(name in row.curves for row in results.rows)]
    figure = Figure(figsize=(4.4 * len(names) + 1, 4.2), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for name, axes in zip(names, panels, strict=True):
        curves = {}
        for method in results.methods:
            runs = [row.curves[name] for row in results.rows if row.method == method and name in row.curves]
            if runs:
                curves[method] = [statistics.mean(values) for values in zip(*runs, strict=False)]
        column = results.columns[name]
        for method, curve in curves.items():
            plot_curves(
                {method: curve},
                xlabel=xlabel,
                ylabel=ylabel or column.title,
                percent=column.format.endswith("%"),
                title=column.title if ylabel else title or None,
                axes=axes,
            )
        if axes.get_legend():
            axes.get_legend().remove()
    if len(results.methods) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def draw_comparison(results: Results, columns: Mapping[str, Column] | None = None, title: str = "") -> Figure:
    """Draws bars for each method, means over seeds and standard deviations, in a panel for each column.

    Args:
        results: of a run.
        columns: by the metrics' names; None: those of the run's table.
        title: above all.
    """
    shown = results.columns if columns is None else columns
    methods = results.methods
    figure = Figure(figsize=(max(5.0, 1.5 + 1.1 * len(methods)), 0.7 + 2.2 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for index, (axes, (name, column)) in enumerate(zip(panels, shown.items(), strict=True)):
        _draw_bars(axes, [results.values(method, name) for method in methods], column, f"C{index}")
    panels[-1].set_xticks(range(len(methods)), methods, rotation=20, ha="right", rotation_mode="anchor")
    if title:
        figure.suptitle(title)
    return figure


def _draw_bars(axes: Axes, values: Sequence[Sequence[float]], column: Column, colour: str) -> None:
    pairs = [mean_and_deviation(runs) for runs in values]
    several = any(len(runs) > 1 for runs in values)
    means = [mean for mean, _ in pairs]
    errors = [deviation for _, deviation in pairs] if several and column.deviation else None
    bars = axes.bar(range(len(pairs)), means, 0.6, yerr=errors, capsize=3, color=colour)
    axes.bar_label(bars, ["" if mean != mean else format(mean, column.format) for mean in means], fontsize=8, padding=2)
    axes.margins(y=0.2)
    axes.set(ylabel=column.title)
    if column.format.endswith("%"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
