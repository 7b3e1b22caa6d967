"""Edges as users name them: in lists whose order theta follows, and as keys of their costs."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Edge = tuple[Any, ...]
"""(u, v), or (u, v, key) where edges are parallel."""


def as_edges(edges: Iterable[Any], name: str) -> list[Edge]:
    """Edges from a list, an array or a tensor, each a pair of nodes, or all of them with a key behind.

    Raises:
        TypeError: this is no list of such; `name` is what it was passed as.
        ValueError: there are none.
    """
    given = edges.tolist() if hasattr(edges, "tolist") else edges
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: expected a list of edges (u, v), got {reprlib.repr(edges)}")
    listed = list(given)
    if not listed:
        raise ValueError(f"{name}: expected at least one edge, got none; theta has one entry for each")
    for place, edge in enumerate(listed):
        if not isinstance(edge, tuple | list) or len(edge) not in (2, 3):
            shape = tuple(getattr(edges, "shape", ()))
            advice = "; pass its transpose, edge_index.T" if shape[:1] == (2,) else ""
            raise TypeError(
                f"{name}: expected edges (u, v), or (u, v, key), got {reprlib.repr(edge)} at {place}{advice}"
            )
        if len(edge) != len(listed[0]):
            raise TypeError(
                f"{name}: expected either (u, v) for all edges or (u, v, key) for all, got {listed[0]!r} and {edge!r}"
            )
    return [tuple(edge) for edge in listed]


def positions(edges: list[Edge], directed: bool) -> dict[Edge, int]:
    """Where each edge is, under all of its names: an undirected one goes by two.

    Raises:
        TypeError: a node that cannot be a key of a dict.
        ValueError: an edge is there twice.
    """
    found: dict[Edge, int] = {}
    for place, edge in enumerate(edges):
        try:
            known = found.setdefault(edge, place)
        except TypeError:
            raise TypeError(f"expected nodes that are hashable, got the edge {edge!r}; make its nodes tuples") from None
        if known != place:
            advice = "" if directed else ", or make the graph a directed one if the two ways differ in cost"
            raise ValueError(
                f"expected each edge once, got {edges[known]!r} at {known} and {edge!r} at {place}; give parallel "
                f"edges keys, (u, v, key){advice}"
            )
        if not directed:
            found[edge[1], edge[0], *edge[2:]] = place
    return found


def check_order(order: list[Edge], known: dict[Edge, int], edges: int, directed: bool) -> None:
    """Raises `ValueError` unless an order names each of the edges once."""
    for edge in order:
        if edge not in known:
            raise ValueError(f"edge_order: expected edges of the graph, got {edge!r}{_hint(edge, known, directed)}")
    times = np.bincount([known[edge] for edge in order], minlength=edges)
    if (times != 1).any():
        place = int(np.argmax(times != 1))
        name = next(edge for edge, at in known.items() if at == place)
        raise ValueError(
            f"edge_order: expected each of the graph's {edges} edges once, got {len(order)} edges, "
            f"with {name!r} {'missing' if times[place] == 0 else 'there twice'}"
        )


def in_order(values: Mapping[Any, Any], known: dict[Edge, int], edges: int, directed: bool) -> NDArray[np.float64]:
    """(edges,) numbers that are named by their edge, in the order of theta.

    Raises:
        TypeError: this is no mapping.
        ValueError: an edge that the graph lacks, or that has two numbers, or none.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"expected a mapping from edges to numbers, got {type(values).__name__}")
    theta = np.full(edges, np.nan)
    given = np.zeros(edges, dtype=bool)
    for edge, value in values.items():
        if edge not in known:
            raise ValueError(f"expected edges of the graph, got {edge!r}{_hint(edge, known, directed)}")
        if given[known[edge]]:
            raise ValueError(f"expected one number for each edge, got two for {edge!r}, which also goes the other way")
        theta[known[edge]], given[known[edge]] = value, True
    if not given.all():
        place = int(np.argmin(given))
        name = next(edge for edge, at in known.items() if at == place)
        raise ValueError(f"expected a number for each of {edges} edges, got {len(values)}, and none for {name!r}")
    return theta


def _hint(edge: Any, known: dict[Edge, int], directed: bool) -> str:
    sample = next(iter(known))
    if not isinstance(edge, tuple) or len(edge) != len(sample):
        return f"; its edges are written like {sample!r}"
    if directed and (edge[1], edge[0], *edge[2:]) in known:
        return "; the graph is directed, and has that edge the other way round only"
    return f"; its first edge is {sample!r}"
