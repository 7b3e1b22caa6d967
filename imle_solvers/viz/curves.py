"""Curves over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imle_solvers.viz.canvas import COLOURS, Array, array_of, as_array, axes_of, new_figure, set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = ("-", "--", ":", "-.")


def plot_curves(
    curves: Mapping[str, Any],
    *,
    steps: Any = None,
    xlabel: str = "step",
    ylabel: str | None = None,
    percent: bool = False,
    logarithmic: bool = False,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws curves in one coordinate system; told apart by their lines, too, where colours are not.

    Curves with steps of their own come by further calls on the same axes, which go on with colours and lines.

    Args:
        curves: name -> (T,) values, of which NaN are left out.
        steps: (T,) where they were taken; None: 0 to T - 1, for each curve.
        xlabel, ylabel: of the axes.
        percent: whether values are shares, to be read in percent.
        logarithmic: whether the axis of values is logarithmic.
        title: above it.
        axes: where to draw; None: in a figure of its own, `axes.figure`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: these are no numbers, or not as many as steps; there is no curve.
    """
    if not isinstance(curves, Mapping):
        raise TypeError(f"curves: expected a mapping of names to values, got {type(curves).__name__}")
    if not curves:
        raise ValueError("curves: expected at least one, got none")
    at = None if steps is None else array_of("steps", steps, 1)
    shape = 1 if at is None else at.shape
    drawn = {name: array_of(f"curves[{name!r}]", values, shape) for name, values in curves.items()}
    axes = axes_of(axes, 5.0, 3.4)
    for index, (name, values) in enumerate(drawn.items(), len(axes.lines)):
        known = ~np.isnan(values)
        axes.plot(
            (np.arange(len(values)) if at is None else at)[known],
            values[known],
            color=COLOURS[index % len(COLOURS)],
            linestyle=_STYLES[index % len(_STYLES)],  # four styles, nine colours: 36 lines
            marker="o" if known.sum() <= 30 else None,
            markersize=3.5,
            label=name,
        )
    axes.set(xlabel=xlabel, ylabel=ylabel or "")
    set_title(axes, title)
    if logarithmic:
        axes.set_yscale("log")
    if percent:
        from matplotlib.ticker import PercentFormatter

        low, high = axes.dataLim.intervaly
        low, high = min(0.0, low), max(1.0, high)
        room = 0.02 * (high - low)  # in which markers at the ends are whole
        axes.set_ylim(low - room, high + room)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if at is None:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", framealpha=0.8)
    return axes


def plot_diagnostics(
    history: Mapping[str, Any] | Sequence[Mapping[str, float]],
    *,
    steps: Any = None,
    columns: int = 3,
    title: str | None = None,
) -> Figure:
    """Draws each figure of a training in a panel of its own, so that figures of any size are read side by side.

    Args:
        history: name -> (T,) values; or T mappings of names to numbers, as a training collects them, in which names may
            be missing. Values that are positive, and a hundred times as large at one time as at another, have a
            logarithmic axis.
        steps: (T,) where they were taken; None: 0 to T - 1.
        columns: panels side by side, at most.
        title: above all.

    Returns:
        The figure.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: see `plot_curves`; `columns` below 1.
    """
    if columns < 1:
        raise ValueError(f"columns: expected at least 1, got {columns}")
    if not isinstance(history, Mapping):
        names = list(dict.fromkeys(name for point in history for name in point))
        history = {name: [point.get(name, math.nan) for point in history] for name in names}
    if not history:
        raise ValueError("history: expected values of at least one name, got none")
    columns = min(columns, len(history))
    rows = -(-len(history) // columns)
    figure = new_figure(2.9 * columns, 2.1 * rows + (0.3 if title else 0))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes, (name, values) in zip(panels.flat, history.items(), strict=False):
        wide = _spans_orders(as_array(f"history[{name!r}]", values))
        plot_curves({name: values}, steps=steps, xlabel="", title=name.replace("_", " "), logarithmic=wide, axes=axes)
        axes.title.set_fontsize("small")
        axes.tick_params(labelsize="small")
        axes.get_legend().remove()
    for axes in panels.flat[len(history) :]:
        axes.remove()
    figure.supxlabel("step", fontsize="small")
    if title:
        figure.suptitle(title)
    return figure


def _spans_orders(values: Array) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size) and bool(finite.min() > 0) and bool(finite.max() > 100 * finite.min())
