"""Matrices of pairs, as of an assignment, and vectors of entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imle_solvers.viz.canvas import (
    CHOSEN,
    COLOURS,
    HIDDEN,
    Kind,
    array_of,
    axes_of,
    colours_of,
    draw_cells,
    mark_hidden,
    mask_of,
    points_per,
    set_title,
    shape_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_MOST_BARS = 200
_MOST_NAMES = 20


def plot_matrix(
    values: Any = None,
    chosen: Any = None,
    *,
    rows: str = "row",
    columns: str = "column",
    hidden: Any = None,
    kind: Kind = "values",
    norm: Normalize | None = None,
    label: str | None = None,
    bar: bool = True,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws a matrix, as of an assignment, and marks the chosen pairs.

    Args:
        values: (rows, columns) costs or scores of pairs, shares of samples, gradients; None: none.
        chosen: (rows, columns), not zero for chosen pairs; None: none are marked.
        rows, columns: what these are called.
        hidden: (rows, columns), not zero for pairs that may not be chosen, which have a cross.
        kind, norm, label, bar, title, axes: see `plot_grid`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: these are no numbers, or not of one shape; nothing to draw.
    """
    shape = shape_of({"values": values, "chosen": chosen, "hidden": hidden}, 2, "what is chosen")
    marked, away = mask_of("chosen", chosen, shape), mask_of("hidden", hidden, shape)
    axes = axes_of(axes)
    cell = points_per(axes, max(shape))
    if values is None:
        axes.imshow(np.where(marked, 0.8, 0.0), cmap="Greys", vmin=0, vmax=1)
    else:
        draw_cells(axes, values, away, kind, norm, label, bar=bar)
        down, across = np.nonzero(marked)
        size = float(np.clip(0.45 * cell, 2, 12)) ** 2
        axes.scatter(across, down, size, color="white", edgecolors="black", linewidths=1.0)
    mark_hidden(axes, away)
    axes.set(xlabel=columns, ylabel=rows)
    set_title(axes, title)
    for axis in (axes.xaxis, axes.yaxis):
        _whole_numbers(axis)
    return axes


def plot_bars(
    values: Any = None,
    chosen: Any = None,
    *,
    names: Sequence[str] | None = None,
    hidden: Any = None,
    kind: Kind = "values",
    norm: Normalize | None = None,
    label: str | None = None,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws a bar for each entry of a vector, the chosen ones in another colour.

    Args:
        values: (n,) scores or costs, shares of samples, gradients; None: none.
        chosen: (n,), not zero for chosen entries; None: all are drawn alike.
        names: (n,) of the entries; None: their index.
        hidden: (n,), not zero for entries that may not be chosen, which are grey.
        kind: "shares" has an axis from 0 to 1.
        norm: gives the axis its ends, as it gives grids their colours; None: those of the values.
        label: of the axis.
        title, axes: see `plot_grid`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: these are no numbers, or not of one shape; nothing to draw.
    """
    shape = shape_of({"values": values, "chosen": chosen, "hidden": hidden}, 1, "what is chosen")
    marked, away = mask_of("chosen", chosen, shape), mask_of("hidden", hidden, shape)
    heights = marked.astype(float) if values is None else array_of("values", values, shape)
    if names is not None and len(names) != len(heights):
        raise ValueError(f"names: expected one for each of the {len(heights)} entries, got {len(names)}")
    axes = axes_of(axes)
    colours_of(heights, kind)
    plain = "0.7" if chosen is not None else COLOURS[0]
    places = np.arange(len(heights))
    groups = ((~marked & ~away, plain, "others"), (marked, CHOSEN, "chosen"), (away, HIDDEN, "ruled out"))
    for mask, colour, name in groups:
        if not mask.any():
            continue
        shown = "" if chosen is None and name == "others" else name
        if len(heights) > _MOST_BARS:  # a line each is drawn much faster than a bar
            axes.vlines(places[mask], 0, heights[mask], colors=colour, linewidths=1.0, label=shown)
        else:
            hatch = "//" if name == "ruled out" else None
            axes.bar(places[mask], heights[mask], 0.8, color=colour, label=shown, hatch=hatch, edgecolor="white")
    axes.axhline(0, color="0.3", linewidth=0.8)
    set_title(axes, title)
    axes.set(xlabel="entry", ylabel=label or "", xlim=(-0.6, max(len(heights), 1) - 0.4))
    if norm is not None and norm.vmin is not None and norm.vmax is not None:
        axes.set_ylim(min(0.0, norm.vmin), max(0.0, norm.vmax))
    elif kind == "shares":
        axes.set_ylim(0, 1.03)
    if names is not None and len(names) <= _MOST_NAMES:
        axes.set_xticks(places, list(names), rotation=45, ha="right")
    else:
        _whole_numbers(axes.xaxis)
    if chosen is not None or away.any():
        axes.legend(fontsize="small", framealpha=0.8)
    return axes


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
