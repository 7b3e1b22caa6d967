"""Shortest paths on graphs and grids."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_adapters.graphs.graph_adapter import GraphAdapter
from imle_adapters.graphs.instance_context import mask_rows, node_indices, refuse_blocked
from imle_adapters.graphs.network import Network
from imle_adapters.instances import IndexArray, take
from imle_solvers.adapter import (
    CLAMPED,
    Context,
    ContextShapes,
    FloatArray,
    IsBinary,
    Parallelism,
    Sense,
    Shape,
    Solutions,
)
from imle_solvers.errors import InputError
from imle_solvers.layouts import GridLayout, Layout
from imle_solvers.status import Status

if TYPE_CHECKING:
    import networkx as nx

Negative = Literal["clamp", "raise", "allow"]
Backend = Literal["compiled", "networkx", "scipy"]
Cell = tuple[int, int]

_NEGATIVE = ("clamp", "raise", "allow")
_BACKENDS = ("compiled", "networkx", "scipy")
_COSTS = ("vertex", "edge")


class _Batch(NamedTuple):
    """The instances as the kernels take them."""

    thetas: FloatArray  # (N, entries)
    blocked: NDArray[np.bool_]  # (N, entries), or (0, entries) where nothing is
    sources: NDArray[np.int64]  # (N,)
    targets: NDArray[np.int64]  # (N,)


class ShortestPathAdapter(GraphAdapter):
    """The cheapest path from a source to a target. Theta are costs, sense "min".

    On a NetworkX graph theta is (E,), the cost of each edge in the order of `edges`, and so is z: 1 for the edges of
    the path, else 0. An undirected edge can be followed both ways. Parallel edges of a multigraph are entries of
    their own; self-loops are never used. For grids, also with costs of cells, see `grid`.

    Shortest paths are only tractable without negative cycles, and noise or a target step can make any cost negative.
    On a directed graph without cycles every theta is solved exactly. Anywhere else `negative` says what is done:

    - "clamp" takes costs below zero as zero, and counts them as "clamped costs" in the statistics. A layer in training
      warns once where predicted costs are among them: below zero they no longer change the solution.
    - "raise" is an error that names the first one.
    - "allow", for directed graphs, solves them exactly (Bellman-Ford). An instance in which a cycle of negative cost
      lies on a way from source to target ends UNBOUNDED; one whose cost is zero but for rounding may count as such.

    Blocked entries are left out of all three.

    Solutions are deterministic: one of several cheapest paths depends on theta and the graph, never on the batch or
    the worker. The compiled kernel adds up in float64. Backends may choose differently among paths of equal cost.

    Context, for each instance:
        source, target: (), the index in `nodes` of other ends than the adapter's own.
        blocked_nodes: (nodes,), bool or 0/1, the nodes that may not be visited.
        blocked_edges: (E,), bool or 0/1, the edges that may not be used.
        blocked: (H, W), bool or 0/1, the blocked cells, in place of these two for a grid with costs of vertices.
    An instance that masks or its own ends leave without a path is infeasible; the rest of the batch is solved.

    Attributes:
        nodes: the graph's nodes; (row, column), row by row, for grids.
        edges: the graph's edges in the order of `edge_order`, else of NetworkX, (u, v), or (u, v, key) for multigraphs.
    """

    sense: Sense = "min"
    is_binary: IsBinary = True
    clamping_advice: str = (
        "make costs positive by the last operation of the network, theta = torch.nn.functional.softplus(theta); or let "
        "the graph be a directed one, where costs of any sign are solved exactly: without cycles always "
        "(ShortestPathAdapter.grid(..., directed=True) has steps to the right and down only), else with "
        'negative="allow" as long as no cycle costs less than zero'
    )

    def __init__(
        self,
        graph: nx.Graph[Any] | Mapping[str, Any],
        source: Hashable,
        target: Hashable,
        *,
        edge_order: Iterable[Any] | None = None,
        negative: Negative = "clamp",
        backend: Backend = "compiled",
    ) -> None:
        """Describes the paths on a NetworkX graph, of which nodes and edges are copied, no attributes.

        Args:
            graph: a Graph, DiGraph, MultiGraph or MultiDiGraph; or
                {"edges": [...], "directed": ..., "nodes": [...]}, see `from_edges`.
            source, target: nodes of the graph.
            edge_order: the graph's edges, each once, in the order of theta's entries; None: NetworkX's order.
            negative: "clamp", "raise" or "allow", see above.
            backend: "compiled", or as a reference "networkx" or "scipy".

        Raises:
            TypeError: the graph is not NetworkX's, or the order no list of edges.
            ValueError: the graph is empty, it lacks the source or the target or a path between them, the order is not
                one of its edges, or an option is unknown or does not suit the graph.
        """
        self._describe(Network.from_networkx(graph, edge_order), source, target, negative, backend)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[Any],
        source: Hashable,
        target: Hashable,
        *,
        directed: bool,
        nodes: Iterable[Hashable] | None = None,
        negative: Negative = "clamp",
        backend: Backend = "compiled",
    ) -> ShortestPathAdapter:
        """Paths on a graph that is given by its edges, in the order of theta's entries.

        Args:
            edges: (u, v), or (u, v, key) where edges are parallel; a list, or an array (E, 2).
            source, target: nodes.
            directed: whether edges lead only from u to v.
            nodes: all nodes, in the order of `nodes`; None: in that in which they come up in the edges.
            negative, backend: as for graphs.

        Raises:
            TypeError: no list of edges, or a node that is not hashable.
            ValueError: no edges, one that is there twice, or has an end that is not among the nodes; else as for
                graphs.
        """
        adapter = cls.__new__(cls)
        adapter._describe(Network.from_edges(edges, directed=directed, nodes=nodes), source, target, negative, backend)
        return adapter

    @classmethod
    def grid(
        cls,
        height: int,
        width: int,
        neighbourhood: Literal[4, 8] = 8,
        costs: Literal["vertex", "edge"] = "vertex",
        *,
        directed: bool = False,
        edge_order: Iterable[Any] | None = None,
        source: Cell = (0, 0),
        target: Cell | None = None,
        negative: Negative = "clamp",
        backend: Backend = "compiled",
    ) -> ShortestPathAdapter:
        """Paths over neighbouring cells of a grid, as on the Warcraft maps of Vlastelica et al. (ICLR 2020).

        With costs of vertices theta and z are (H, W): a path costs what its cells cost, both ends included. With
        costs of edges theta and z are (E,), in the order of `edges`.

        Args:
            height, width: cells.
            neighbourhood: 8 with diagonal steps, 4 without.
            costs: "vertex" or "edge".
            directed: steps lead to the right and down (diagonal ones both) only. Such a grid has no cycles: costs of
                any sign are solved exactly, none is clamped, and `negative` has no say.
            edge_order: for costs of edges: the edges, pairs of cells, each once, in the order of theta's entries; None:
                cell by cell, row by row, of each those to the right and then those down, from left to right.
            source, target: (row, column); the upper left and the lower right cell, unless given.
            negative, backend: as for graphs.

        Raises:
            ValueError: a size, cell or option that is not among these.
        """
        if costs not in _COSTS:
            raise ValueError(f'expected costs="vertex" or costs="edge", got {costs!r}')
        network = Network.grid(height, width, neighbourhood, directed)
        if costs == "edge" and len(network.tails) == 0:
            raise ValueError(
                f'expected a grid with at least one edge for costs="edge", got {height}x{width}; enlarge it, or '
                'use costs="vertex"'
            )
        if edge_order is not None:
            if costs != "edge":
                raise ValueError(
                    'edge_order: expected costs="edge", got costs of cells, whose order is that of the grid'
                )
            network = network.reordered(edge_order)
        target = (height - 1, width - 1) if target is None else target
        cells = (int(height), int(width)) if costs == "vertex" else None
        adapter = cls.__new__(cls)
        adapter._describe(network, source, target, negative, backend, cells)
        return adapter

    def _describe(
        self,
        network: Network,
        first: Hashable,
        last: Hashable,
        negative: Negative,
        backend: Backend,
        cells: tuple[int, int] | None = None,
    ) -> None:
        if negative not in _NEGATIVE:
            raise ValueError(f'expected negative="clamp", negative="allow" or negative="raise", got {negative!r}')
        if backend not in _BACKENDS:
            raise ValueError(f"expected backend to be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
        if negative == "allow" and not network.directed:
            raise ValueError(
                'expected a directed graph for negative="allow", got an undirected one, where every negative cost is a '
                'cycle of negative cost, to and fro; pass a DiGraph (a grid: directed=True), or use negative="clamp"'
            )
        source, target = network.index(first, "source"), network.index(last, "target")
        hops = network.hops(source)[target]
        if hops < 0:
            raise ValueError(
                f"expected a path from source {network.nodes[source]!r} to target {network.nodes[target]!r}, the graph "
                f"has none; connect them, or choose two ends in one component"
            )
        self.network = network
        self.source = source
        self.target = target
        self.negative, self.backend = negative, backend
        self.cells = cells
        self.order: IndexArray | None = network.topological_order()
        ends: dict[str, tuple[int, ...] | None] = {"source": (), "target": ()}
        if cells:
            self.instance_shape: Shape = cells
            self.context: ContextShapes = {**ends, "blocked": cells}
            self.num_ones: float | None = 1.3 * max(cells)
            self.exclusion: str | None = "blocked=..., true where a cell may not be visited"
        else:
            self.instance_shape = (len(network.tails),)
            self.context = {**ends, "blocked_nodes": (len(network.nodes),), "blocked_edges": (len(network.tails),)}
            self.num_ones = max(1.0, 1.3 * int(hops))
            self.exclusion = "blocked_edges=..., true where an edge may not be used"
        self.parallelism = Parallelism.THREADS if backend == "compiled" else Parallelism.PROCESSES

    def description(self) -> dict[str, Any]:
        ends = {"source": self.nodes[self.source], "target": self.nodes[self.target]}
        options = {**ends, "negative": self.negative, "backend": self.backend}
        if self.cells is None:
            return {"name": "shortest_path", "kwargs": {"graph": self.network.description(), **options}}
        height, width = self.cells
        grid = {
            "height": height,
            "width": width,
            "neighbourhood": 8 if self._diagonal() else 4,
            "directed": self.network.directed,
        }
        return {"name": "shortest_path_grid", "kwargs": {**grid, **options}}

    def _diagonal(self) -> bool:
        """Whether steps over a grid of cells may be diagonal."""
        assert self.cells is not None
        steps = abs(self.network.heads.astype(np.int64) - self.network.tails)
        return bool((~np.isin(steps, (1, self.cells[1]))).any())

    def layout(self, context: Context) -> Layout:
        """The grid of cells, or the graph, with the ends of the path and what is blocked."""
        source, target = (
            int(context.get(name, own)) for name, own in (("source", self.source), ("target", self.target))
        )
        ends = [self.nodes[source], self.nodes[target]]
        if self.cells:
            return GridLayout(neighbourhood=8 if self._diagonal() else 4, ends=ends, hidden=context.get("blocked"))
        return self.network.layout(ends, self._hidden(context))

    def theta_of(self, values: Mapping[Any, Any]) -> NDArray[np.float64]:
        """See `GraphAdapter`; a `ValueError`, too, where costs are those of cells."""
        if self.cells:
            raise ValueError(f"{self!r}: expected a graph with costs of edges; here theta is a cost for each cell")
        return super().theta_of(values)

    def clamped(self, thetas: FloatArray, context: Context) -> NDArray[np.bool_] | None:
        """Which costs are solved as zero: those below it with `negative="clamp"`, unless blocked or without cycles."""
        if self.negative != "clamp" or self.order is not None:
            return None
        batch = self._batch(thetas, context)
        below: NDArray[np.bool_] = batch.thetas < 0
        return (below & ~batch.blocked if len(batch.blocked) else below).reshape(thetas.shape)

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for bad context values, and for negative costs where `negative="raise"`."""
        may_be_negative = self.negative != "raise" or self.order is not None
        if may_be_negative and not context:
            take(thetas, self)
            return
        batch = self._batch(thetas, context)
        if may_be_negative:
            return
        refused = batch.thetas < 0
        if len(batch.blocked):
            refused &= ~batch.blocked
        if refused.any():
            row, entry = map(int, np.argwhere(refused)[0])
            what = f"cell {self.nodes[entry]}" if self.cells else f"edge {self.edges[entry]!r}"
            raise InputError(
                f'{self!r}: expected costs of zero or more with negative="raise", got '
                f"{batch.thetas[row, entry]} for {what}; make costs positive (softplus), lower the temperature or "
                'the target step, or use negative="clamp", which takes them as zero, or for directed graphs "allow"',
                row,
            )

    def build(self) -> Callable[..., int]:
        """Makes the arrays, or the graph, that the backend searches."""
        if self.backend == "compiled":
            return self._compiled()
        from imle_adapters.graphs import shortest_path_references as references

        paths = references.NetworkXPaths if self.backend == "networkx" else references.SciPyPaths
        exact = self.order is not None or self.negative == "allow"
        path = paths(self.network, self.cells is not None, exact)

        def search(
            thetas: FloatArray,
            blocked: NDArray[np.bool_],
            sources: NDArray[np.int64],
            targets: NDArray[np.int64],
            values: FloatArray,
            statuses: NDArray[np.uint8],
        ) -> int:
            costs = thetas.astype(np.float64)
            if len(blocked):
                costs[blocked] = np.inf
            clamped = 0 if exact else int((costs < 0).sum())
            costs = costs if exact else np.maximum(costs, 0.0)
            for row in range(len(costs)):
                found = path(costs[row], int(sources[row]), int(targets[row]))
                if isinstance(found, Status):
                    statuses[row] = found
                else:
                    values[row, found] = 1
            return clamped

        return search

    def _compiled(self) -> Callable[..., int]:
        from functools import partial

        from imle_adapters.graphs import shortest_path_kernels as kernels

        arcs = self.network.arcs()
        if self.order is not None:
            position, starts, tails, arcs_of = arcs.by_place(self.order)
            if not self.cells:
                return partial(kernels.acyclic_paths, position, starts, tails, arcs.edges[arcs_of])
            # Whoever follows an arc pays for the cell that it leads to.
            return partial(
                _with_first_cell, partial(kernels.acyclic_paths, position, starts, tails, arcs.heads[arcs_of])
            )
        if self.cells:
            return partial(kernels.vertex_cost_paths, arcs.indptr, arcs.tails, arcs.heads)
        if self.negative == "allow":
            return partial(kernels.signed_paths, *arcs, *arcs.incoming())
        return partial(kernels.edge_cost_paths, *arcs)

    def solve_batch(self, state: Callable[..., int], thetas: FloatArray, context: Context) -> Solutions:
        """Solves a batch; "clamped costs" are counted where costs may be clamped."""
        if self.negative == "raise":
            self.check(thetas, context)
        batch = self._batch(thetas, context)
        values = np.zeros(batch.thetas.shape, dtype=thetas.dtype)
        statuses = np.zeros(len(thetas), dtype=np.uint8)
        clamped = int(state(*batch, values, statuses))
        counters = {CLAMPED: clamped} if clamped else {}
        return Solutions(values.reshape(thetas.shape), statuses, counters, fresh=True)

    def _batch(self, thetas: FloatArray, context: Context) -> _Batch:
        unknown = [name for name in context if name not in self.context]
        if unknown:
            raise ValueError(f"{self!r}: expected context among {sorted(self.context)}, got {unknown}")
        flat = take(thetas, self)
        sources = self._ends("source", self.source, len(flat), context)
        targets = self._ends("target", self.target, len(flat), context)
        blocked = np.zeros((0, flat.shape[1]), dtype=bool)
        if "blocked" in context:
            blocked = self._mask("blocked", len(flat), context)
            self._refuse_blocked_ends(blocked, sources, targets)
        if "blocked_edges" in context:
            blocked = self._mask("blocked_edges", len(flat), context)
        if "blocked_nodes" in context:
            nodes = self._mask("blocked_nodes", len(flat), context)
            self._refuse_blocked_ends(nodes, sources, targets)
            # Not nodes[:, tails], whose order of memory the kernel would be compiled for once more.
            touched = nodes.take(self.network.tails, axis=1) | nodes.take(self.network.heads, axis=1)
            blocked = touched | blocked if len(blocked) else touched
        return _Batch(flat, blocked, sources, targets)

    def _ends(self, name: str, default: int, rows: int, context: Context) -> NDArray[np.int64]:
        if name not in context:
            return np.full(rows, default)
        return node_indices(context[name], name, rows, len(self.nodes), self)

    def _mask(self, name: str, rows: int, context: Context) -> NDArray[np.bool_]:
        shape = self.context[name]
        assert shape is not None
        return mask_rows(context[name], name, rows, shape, self)

    def _refuse_blocked_ends(
        self, blocked: NDArray[np.bool_], sources: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> None:
        for name, ends in (("source", sources), ("target", targets)):
            refuse_blocked(blocked, name, ends, self.nodes, self)

    def __repr__(self) -> str:
        if self.cells:
            what = f"{self.cells[0]}x{self.cells[1]} grid, {'directed, ' * self.network.directed}costs of vertices"
        else:
            what = f"{len(self.nodes)} nodes, {len(self.network.tails)} edges"
        return f"{type(self).__name__}({what}, negative={self.negative!r}, backend={self.backend!r})"


def _with_first_cell(
    search: Callable[..., int],
    thetas: FloatArray,
    blocked: NDArray[np.bool_],
    sources: NDArray[np.int64],
    targets: NDArray[np.int64],
    values: FloatArray,
    statuses: NDArray[np.uint8],
) -> int:
    """Searches by arcs, none of which leads to the first cell of a path, and marks that, too."""
    clamped = search(thetas, blocked, sources, targets, values, statuses)
    values[np.arange(len(values)), sources] = statuses != Status.INFEASIBLE
    return clamped
