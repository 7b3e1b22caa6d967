"""Where the entries of a solution lie in a picture: what an adapter tells `imle_solvers.viz`, which draws it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class GridLayout:
    """Cells, (H, W). Chosen cells that are neighbours are joined, as on a path.

    Attributes:
        neighbourhood: 8 with diagonal neighbours, 4 without.
        ends: (row, column) of the cells where a path starts and ends.
        hidden: (H, W), true for cells that may not be visited; None: all may.
    """

    neighbourhood: int = 8
    ends: Sequence[tuple[int, int]] = ()
    hidden: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphLayout:
    """Edges, (E,).

    Attributes:
        edges: (tail, head), or (tail, head, key), in the order of entries.
        nodes: all nodes; None: those that edges have.
        directed: whether edges lead from tail to head only.
        positions: (x, y) of each node; None: where it looks well.
        ends: the nodes where a route starts and ends.
        hidden: (E,), true for edges that may not be used; None: all may.
    """

    edges: Sequence[Any]
    nodes: Sequence[Any] | None = None
    directed: bool = False
    positions: Mapping[Hashable, Point] | None = None
    ends: Sequence[Hashable] = ()
    hidden: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixLayout:
    """Pairs, (rows, columns). Arrays of more axes are drawn with all but the last one as rows.

    Attributes:
        rows, columns: what these are called.
        hidden: (rows, columns), true for pairs that may not be chosen; None: all may.
    """

    rows: str = "row"
    columns: str = "column"
    hidden: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class BarLayout:
    """A bar for each entry, (n,).

    Attributes:
        names: of the entries; None: their index.
        hidden: (n,), true for entries that may not be chosen; None: all may.
    """

    names: Sequence[str] | None = None
    hidden: Any = None


Layout = GridLayout | GraphLayout | MatrixLayout | BarLayout
