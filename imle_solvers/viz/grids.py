"""Grids of cells, and paths over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imle_solvers.viz.canvas import Kind, axes_of, draw_cells, mark_hidden, mask_of, points_per, set_title, shape_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_STEPS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}


def plot_grid(
    values: Any = None,
    path: Any = None,
    *,
    image: Any = None,
    neighbourhood: int = 8,
    ends: Sequence[tuple[int, int]] = (),
    hidden: Any = None,
    kind: Kind = "values",
    norm: Normalize | None = None,
    label: str | None = None,
    bar: bool = True,
    colour: str = "white",
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws a grid of cells, and a path over it.

    Args:
        values: (H, W) costs of cells, shares of samples, gradients: an array or a tensor, on any device. None: none.
        path: (H, W), not zero for cells on the path, of which neighbours are joined. None: none.
        image: (h, w), (h, w, 3) or (h, w, 4), in place of values: a picture of the terrain, stretched over the cells.
        neighbourhood: 8 where diagonal cells are neighbours, 4 where they are not.
        ends: (row, column) of cells to mark.
        hidden: (H, W), not zero for cells that may not be visited, which have a cross.
        kind: of values: "values", "shares" (colours from 0 to 1) or "gradient" (around zero).
        norm: how values become colours, in place of what `kind` says.
        label: of the colour bar.
        bar: whether there is one.
        colour: of the path.
        title: above it.
        axes: where to draw; None: in a figure of its own, `axes.figure`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: these are no numbers, or not of one shape; nothing to draw; no such neighbourhood.
    """
    shape = shape_of({"values": values, "path": path, "hidden": hidden}, 2, "a path")
    if neighbourhood not in _STEPS:
        raise ValueError(f"neighbourhood: expected 4 or 8, got {neighbourhood!r}")
    if values is not None and image is not None:
        raise ValueError("expected values or an image below the path, got both; leave one out")
    marked, away = mask_of("path", path, shape), mask_of("hidden", hidden, shape)
    axes = axes_of(axes)
    extent = (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5)
    if image is not None:
        picture = image.detach().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
        axes.imshow(picture, extent=extent, interpolation="nearest", cmap="gray")
    elif values is not None:
        draw_cells(axes, values, away, kind, norm, label, bar=bar)
    mark_hidden(axes, away)
    if path is not None:
        _draw_path(axes, marked, neighbourhood, colour)
    if len(ends):
        rows, columns = np.array(ends).T
        size = min(90.0, (0.55 * points_per(axes, max(shape))) ** 2)
        for edge, width in (("black", 2.6), (colour, 1.2)):
            axes.scatter(
                columns, rows, size, marker="s", facecolors="none", edgecolors=edge, linewidths=width, zorder=4
            )
    axes.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
    set_title(axes, title)
    return axes


def _draw_path(axes: Axes, marked: Any, neighbourhood: int, colour: str) -> None:
    """On a cheapest path only successive cells are neighbours."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import Normal, Stroke

    height, width = marked.shape
    segments = []
    for down, right in _STEPS[neighbourhood]:
        first = marked[: height - down, max(0, -right) : width - max(0, right)]
        second = marked[down:, max(0, right) : width + min(0, right)]
        rows, columns = np.nonzero(first & second)
        columns = columns + max(0, -right)
        starts = np.stack([columns, rows], 1)
        segments.append(np.stack([starts, starts + (right, down)], 1))
    cell = points_per(axes, max(height, width))
    line = float(np.clip(0.16 * cell, 1.7, 2.6))
    halo = [Stroke(linewidth=line + 1.2, foreground="black"), Normal()]  # seen on light cells, too
    lines = LineCollection(
        list(np.concatenate(segments)), colors=colour, linewidths=line, capstyle="round", path_effects=halo, zorder=2
    )
    axes.add_collection(lines)
    rows, columns = np.nonzero(marked)
    size = float(np.clip(0.32 * cell, 2.5, 6)) ** 2
    axes.scatter(columns, rows, size, color=colour, edgecolors="black", linewidths=0.6, zorder=3)
