"""Instances of an adapter: its layout says which picture it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from imle_solvers.adapter import Shape, SolverAdapter
from imle_solvers.layouts import BarLayout, GraphLayout, GridLayout, Layout, MatrixLayout
from imle_solvers.viz.canvas import Array, Kind, as_array, check_matplotlib
from imle_solvers.viz.graphs import plot_graph
from imle_solvers.viz.grids import plot_grid
from imle_solvers.viz.matrices import plot_bars, plot_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize


def plot_solution(
    adapter: SolverAdapter,
    theta: Any,
    solution: Any,
    *,
    instance: int = 0,
    context: Mapping[str, Any] | None = None,
    norm: Normalize | None = None,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws theta, and a solution over it, as the adapter lays it out.

    Solutions that are not of zeros and ones, as of linear programs, or do not have theta's shape, are drawn alone.

    Args:
        adapter: whose solution it is: `layer.adapter`.
        theta: (*instance_shape), or (B, *instance_shape): an array or a tensor on any device.
        solution: (*solution_shape), or (B, *solution_shape).
        instance: which one of a batch is drawn; the title says so.
        context: the instance's own, as solves get it: name -> array, without an axis of B.
        norm: how theta becomes colours; None: from its least to its greatest value.
        title: above it; None: what is drawn, and which instance.
        axes: where to draw; None: in a figure of its own, `axes.figure`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: theta or the solution are no numbers, or do not have these shapes; there is no such
            instance.
    """
    check_matplotlib()
    values, batch = one_of("theta", theta, adapter.instance_shape, instance)
    chosen, of_solution = one_of("solution", solution, adapter.solution_shape, instance)
    batch = batch or of_solution
    if title is None:
        title = titled("solution", instance, batch)
    layout = layout_of(adapter, context)
    if values.shape != chosen.shape or not np.isin(chosen, (0, 1)).all():
        return _draw(layout, chosen, None, kind="values", norm=norm, label="solution", title=title, axes=axes)
    what = "costs" if adapter.sense == "min" else "scores"
    return _draw(layout, values, chosen, kind="values", norm=norm, label=f"theta ({what})", title=title, axes=axes)


def plot_values(
    adapter: SolverAdapter,
    values: Any,
    *,
    kind: Kind = "values",
    instance: int = 0,
    context: Mapping[str, Any] | None = None,
    norm: Normalize | None = None,
    label: str | None = None,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws theta, marginals, a gradient, or other numbers for the entries, as the adapter lays them out.

    Args:
        adapter: whose they are: `layer.adapter`.
        values: (*instance_shape) or (*solution_shape), or either with an axis of B before it.
        kind: "values", "shares" (marginals, from 0 to 1) or "gradient" (around zero).
        label: of the colour bar; None: what `kind` is.
        instance, context, norm, title, axes: see `plot_solution`.

    Returns:
        The axes.

    Raises:
        ImportError, TypeError, ValueError: see `plot_solution`.
    """
    check_matplotlib()
    array = as_array("values", values)
    shapes = (adapter.solution_shape, adapter.instance_shape)
    fits = [shape for shape in shapes if array.shape[array.ndim - len(shape) :] == shape and array.ndim >= len(shape)]
    drawn, batch = one_of("values", array, max(fits or shapes, key=len), instance)
    layout = layout_of(adapter, context) if drawn.shape == adapter.solution_shape else by_shape(drawn.shape)
    words: dict[Kind, str] = {"values": "value", "shares": "share of samples", "gradient": "gradient"}
    label = words.get(kind, "") if label is None else label
    title = titled(label, instance, batch) if title is None else title
    return _draw(layout, drawn, None, kind=kind, norm=norm, label=label, title=title, axes=axes)


def layout_of(adapter: SolverAdapter, context: Mapping[str, Any] | None) -> Layout:
    """How an adapter's solutions are drawn: as it says, or as their shape suggests."""
    layout = adapter.layout({} if context is None else context)
    if layout is None:
        return by_shape(adapter.solution_shape)
    if not isinstance(layout, GridLayout | GraphLayout | MatrixLayout | BarLayout):
        raise TypeError(
            f"{adapter!r}: expected its layout to be one of those of imle_solvers.layouts, or None, got {layout!r}"
        )
    return layout


def by_shape(shape: Shape) -> Layout:
    """A matrix, where there are two axes or more; else bars."""
    return MatrixLayout() if len(shape) >= 2 else BarLayout()


def check_shape(name: str, values: Any, shape: Shape, *, leading: bool = False) -> Array:
    """An array of this shape, or with one more axis before it.

    Raises:
        TypeError: these are no numbers.
        ValueError: the shape is another.
    """
    array = as_array(name, values)
    if array.shape[int(leading) :] != shape or array.ndim != len(shape) + int(leading):
        expected = f"(any, {', '.join(map(str, shape))})" if leading else f"{shape}"
        raise ValueError(f"{name}: expected shape {expected}, got {array.shape}")
    return array


def one_of(name: str, values: Any, shape: Shape, instance: int) -> tuple[Array, int | None]:
    """The instance of a batch, and the size of the batch; None where this is an instance alone.

    Raises:
        TypeError: these are no numbers.
        ValueError: the shape is another.
        IndexError: there is no such instance.
    """
    array = as_array(name, values)
    if array.shape == shape:
        return array, None
    if array.ndim == 0 or array.shape[1:] != shape:
        samples = ""
        if array.ndim == len(shape) + 2:
            samples = f"; of samples, one or the mean is drawn: {name}[:, 0] or {name}.mean(1)"
        batched = f"(B, {', '.join(map(str, shape))})" if shape else "(B,)"
        raise ValueError(f"{name}: expected shape {shape} or {batched}, got {array.shape}{samples}")
    if not -len(array) <= instance < len(array):
        raise IndexError(f"instance: expected one of the {len(array)} of the batch, got {instance}")
    return array[instance], len(array)


def titled(what: str, instance: int, batch: int | None) -> str:
    """What is drawn, and of which instance."""
    return what if batch is None else f"{what}, instance {instance % batch} of {batch}"


def _draw(
    layout: Layout, values: Array, chosen: Array | None, *, kind: Kind, norm: Any, label: str, title: str, axes: Any
) -> Axes:
    style: dict[str, Any] = {"kind": kind, "norm": norm, "label": label, "title": title, "axes": axes}
    if isinstance(layout, GridLayout):
        return plot_grid(
            values,
            chosen,
            neighbourhood=layout.neighbourhood,
            ends=layout.ends,
            hidden=layout.hidden,
            **style,
        )
    if isinstance(layout, GraphLayout):
        return plot_graph(
            layout.edges,
            values,
            chosen,
            nodes=layout.nodes,
            positions=layout.positions,
            directed=layout.directed,
            ends=layout.ends,
            hidden=layout.hidden,
            **style,
        )
    if isinstance(layout, MatrixLayout):
        shape = (-1, values.shape[-1]) if values.ndim > 1 else (1, -1)
        values, chosen = values.reshape(shape), None if chosen is None else chosen.reshape(shape)
        return plot_matrix(values, chosen, rows=layout.rows, columns=layout.columns, hidden=layout.hidden, **style)
    flat = None if chosen is None else chosen.ravel()
    return plot_bars(values.ravel(), flat, names=layout.names, hidden=layout.hidden, **style)
