"""Graphs, and trees and routes in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.viz.canvas import (
    CHOSEN,
    HIDDEN,
    Array,
    Kind,
    array_of,
    axes_of,
    check_matplotlib,
    colour_bar,
    colours_of,
    mask_of,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_FEW_NODES = 30  # as many have room for their names
_FEW_EDGES = 60  # of as many arrows can be told apart
_ALL_PAIRS = 150  # nodes up to which a layout by all distances takes less than a second


def plot_graph(
    edges: Sequence[Any],
    values: Any = None,
    chosen: Any = None,
    *,
    nodes: Sequence[Hashable] | None = None,
    positions: Mapping[Hashable, Sequence[float]] | None = None,
    directed: bool = False,
    ends: Sequence[Hashable] = (),
    hidden: Any = None,
    kind: Kind = "values",
    norm: Normalize | None = None,
    label: str | None = None,
    bar: bool = True,
    title: str | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draws a graph, and a tree, a route or other edges in it.

    Args:
        edges: E pairs (u, v), or (u, v, key), as `adapter.edges` has them. Parallel ones are drawn side by side.
        values: (E,) costs or scores of edges, shares of samples, gradients; None: none.
        chosen: (E,), not zero for chosen edges, which are drawn thick; None: none.
        nodes: all nodes; None: those of edges.
        positions: (x, y) of each node. None: the nodes themselves where they are pairs of numbers, taken as rows and
            columns; else where a layout puts them, the same one each time.
        directed: whether edges lead from u to v only, and have an arrow.
        ends: nodes to mark, such as the source and the target of a route.
        hidden: (E,), not zero for edges that may not be used, which are grey and dotted.
        kind, norm, label, bar, title, axes: see `plot_grid`.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError, ValueError: these are no numbers, or not one for each edge; a node has no position.
    """
    if not len(edges):
        raise ValueError("edges: expected at least one, got none: there is nothing to draw")
    check_matplotlib()
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection, PolyCollection

    shape = (len(edges),)
    marked, away = mask_of("chosen", chosen, shape), mask_of("hidden", hidden, shape)
    given = None if values is None else array_of("values", values, shape)
    pairs: list[tuple[Hashable, Hashable]] = [(edge[0], edge[1]) for edge in edges]
    nodes = list(dict.fromkeys(node for pair in pairs for node in pair)) if nodes is None else list(nodes)
    places = _places(nodes, pairs, positions)
    axes = axes_of(axes, 4.8)
    lines = _lines(pairs, places, 0.022 * _size(places))
    thin = 1.0 if len(edges) <= 300 else 0.6
    widths = thin * np.where(marked, 3.2, 1.3)
    if given is not None and kind != "values":  # what is near zero is pale, and thin
        most = 1.0 if kind == "shares" else float(np.nanmax(np.abs(given), initial=0.0)) or 1.0
        widths = thin * (0.6 + 2.6 * np.minimum(np.abs(np.nan_to_num(given)) / most, 1.0))
    styles = [":" if ruled_out else "-" for ruled_out in away]
    drawn = LineCollection(lines, linewidths=widths, linestyles=styles, zorder=1)
    if given is None:
        drawn.set_color([HIDDEN if out else CHOSEN if on else "0.65" for on, out in zip(marked, away, strict=True)])
    else:
        cmap, norm = colours_of(given[~away], kind, norm)
        drawn.set(array=np.ma.masked_where(away, given), cmap=colormaps[cmap].with_extremes(bad=HIDDEN), norm=norm)
        edge = [("none" if out else "black" if on else "0.6") for on, out in zip(marked, away, strict=True)]
        below = LineCollection(lines, colors=edge, linewidths=widths + np.where(marked, 1.8, 0.6) * thin, zorder=0.5)
        axes.add_collection(below)  # pale colours are seen by their edge
    axes.add_collection(drawn)
    if directed:
        arrows = np.ones(shape, dtype=bool) if len(edges) <= _FEW_EDGES else marked
        heads = _arrow_heads([line for line, on in zip(lines, arrows, strict=True) if on], 0.022 * _size(places))
        axes.add_collection(PolyCollection(heads, facecolors="black", zorder=1.5))
    _draw_nodes(axes, places, ends)
    set_title(axes, title)
    axes.set(aspect="equal", adjustable="datalim")
    axes.margins(0.06)
    axes.autoscale_view()
    axes.set_axis_off()
    if given is not None:
        colour_bar(axes, drawn, label, shown=bar)
    return axes


def _places(
    nodes: list[Hashable],
    pairs: list[tuple[Hashable, Hashable]],
    positions: Mapping[Hashable, Sequence[float]] | None,
) -> dict[Hashable, Array]:
    """(x, y) of each node."""
    if positions is None and all(_is_pair_of_numbers(node) for node in nodes):
        positions = {node: (node[1], -node[0]) for node in nodes}  # type: ignore[index]
    if positions is None:
        positions = _layout(nodes, pairs)
    missing = [node for node in nodes if node not in positions]
    if missing:
        raise ValueError(f"positions: expected one for each node, got none for {missing[0]!r} ({len(missing)} in all)")
    return {node: np.asarray(positions[node], dtype=np.float64) for node in nodes}


def _is_pair_of_numbers(node: Hashable) -> bool:
    return isinstance(node, tuple) and len(node) == 2 and all(isinstance(x, int | float | np.number) for x in node)


def _layout(nodes: list[Hashable], pairs: list[tuple[Hashable, Hashable]]) -> Mapping[Hashable, Sequence[float]]:
    import networkx as nx

    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(pairs)
    places: dict[Hashable, Sequence[float]] = {}
    right = 0.0
    for part in nx.connected_components(graph):  # side by side
        piece = graph.subgraph([node for node in nodes if node in part])
        small = len(piece) <= _ALL_PAIRS
        found = nx.kamada_kawai_layout(piece, weight=None) if small else nx.spring_layout(piece, seed=0)
        radius = len(piece) ** 0.5
        for node, (x, y) in found.items():
            places[node] = (right + radius * (1 + x), radius * y)
        right += 2 * radius + 1
    return places


def _size(places: Mapping[Hashable, Array]) -> float:
    """The longer side of the picture, in units of positions."""
    return float(np.ptp(np.stack(list(places.values())), axis=0).max()) or 1.0


def _lines(pairs: list[tuple[Hashable, Hashable]], places: Mapping[Hashable, Array], gap: float) -> list[Array]:
    """A line for each edge, of points (x, y); edges between the same nodes side by side, self-loops as circles."""
    beside: dict[frozenset[Hashable], list[int]] = defaultdict(list)
    for entry, pair in enumerate(pairs):
        beside[frozenset(pair)].append(entry)
    lines: list[Array] = [np.zeros((0, 2))] * len(pairs)
    for entries in beside.values():
        first, second = pairs[entries[0]]
        if first == second:
            angles = np.linspace(-np.pi / 2, 1.5 * np.pi, 25)
            circle = np.stack([np.cos(angles), 1 + np.sin(angles)], 1)
            for turn, entry in enumerate(entries):
                lines[entry] = places[first] + (1.5 + turn) * gap * circle
            continue
        along = places[second] - places[first]
        aside = gap * np.array([along[1], -along[0]]) / (float(np.hypot(*along)) or 1.0)
        for turn, entry in enumerate(entries):
            line = np.stack([places[node] for node in pairs[entry]])
            lines[entry] = line + (turn - (len(entries) - 1) / 2) * aside
    return lines


def _arrow_heads(lines: list[Array], size: float) -> list[Array]:
    """A triangle on each line, somewhat behind its middle; of self-loops, opposite to the node."""
    heads = []
    for line in lines:
        start, end = line[(len(line) - 1) // 2], line[(len(line) - 1) // 2 + 1]
        along = end - start
        length = float(np.hypot(*along)) or 1.0
        along = along / length
        across = np.array([-along[1], along[0]])
        tip = start + (0.6 * length + 0.5 * size) * along
        back = tip - size * along
        heads.append(np.stack([tip, back + 0.45 * size * across, back - 0.45 * size * across]))
    return heads


def _draw_nodes(axes: Axes, places: Mapping[Hashable, Array], ends: Sequence[Hashable]) -> None:
    at: NDArray[np.float64] = np.stack(list(places.values()))
    longest = max(len(_name(node)) for node in places)
    named = len(places) <= _FEW_NODES
    inside = named and longest <= 3
    size = (150 if longest < 3 else 200) if inside else float(np.clip(2500 / len(places), 2, 30))
    axes.scatter(at[:, 0], at[:, 1], size, c="white" if inside else "0.3", edgecolors="0.3", linewidths=0.8, zorder=2)
    if len(ends):
        marks = np.stack([places[node] for node in ends])
        axes.scatter(marks[:, 0], marks[:, 1], size + 40, c="white", edgecolors=CHOSEN, linewidths=2.2, zorder=2.5)
    if named:
        from matplotlib.patheffects import Normal, Stroke

        offset = (0, 0) if inside else (0, 8)
        for node, point in places.items():
            axes.annotate(
                _name(node),
                (point[0], point[1]),
                offset,
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=7,
                path_effects=[Stroke(linewidth=2, foreground="white"), Normal()],
                zorder=3,
            )


def _name(node: Hashable) -> str:
    return ",".join(map(str, node)) if isinstance(node, tuple) else str(node)
