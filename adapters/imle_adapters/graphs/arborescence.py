"""Spanning arborescences, that is rooted trees, of greatest score."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_adapters.graphs.graph_adapter import GraphAdapter
from imle_adapters.graphs.instance_context import blocked_rows, node_indices, refuse_blocked
from imle_adapters.graphs.network import Network
from imle_adapters.instances import take
from imle_solvers.adapter import (
    Context,
    ContextShapes,
    FloatArray,
    IsBinary,
    Parallelism,
    Sense,
    Shape,
    Solutions,
)
from imle_solvers.layouts import Layout
from imle_solvers.status import Status

if TYPE_CHECKING:
    import networkx as nx

Backend = Literal["compiled", "networkx"]

_BACKENDS = ("compiled", "networkx")
_ANY = -1  # in place of a root


class _Batch(NamedTuple):
    """The instances as the kernel takes them."""

    thetas: FloatArray  # (N, E)
    blocked: NDArray[np.bool_]  # (N, E), or (0, E) where no edge is
    absent: NDArray[np.bool_]  # (N, nodes), or (0, nodes) where all nodes are there
    roots: NDArray[np.int64]  # (N,)


class MaxArborescenceAdapter(GraphAdapter):
    """The spanning arborescence of greatest total score, a tree that leads from its root to all nodes.

    Theta are scores, sense "max": (E,), the score of each edge in the order of `edges`, and so is z, 1 for the n - 1
    edges of the tree, else 0. Each node but the root has one edge that enters it, from its parent, or in a sentence
    from its head. Scores may have any sign; an edge is taken for want of a better one even if its score is negative.
    Of parallel edges at most one is taken; self-loops never are.

    Without a root any node may be it: whichever gives the tree of greatest score. It is the one that no edge of z
    enters. What a node scores as the root is theta's to say: add a node with an edge to each other one, and root trees
    there. As many children as a tree likes then hang on it.

    Solved by Edmonds' algorithm in O(E log n), in float64. Solutions are deterministic: one of several trees of equal
    score depends on theta and the graph, never on the batch or the worker. Backends may choose differently among them.

    Context, for each instance:
        root: (), the index in `nodes` of another root than the adapter's own.
        blocked_nodes: (nodes,), bool or 0/1, the nodes that are not there: the tree spans the others. For instances of
            different size in one batch.
        blocked_edges: (E,), bool or 0/1, the edges that may not be used.
    An instance that masks or its own root leave without a tree is infeasible; the rest of the batch is solved.

    Attributes:
        nodes: the graph's nodes.
        edges: the graph's edges in the order of `edge_order`, else of NetworkX, (u, v), or (u, v, key) for multigraphs.
        root: the index in `nodes` of the root, None: any.
    """

    sense: Sense = "max"
    is_binary: IsBinary = True
    exclusion: str | None = "blocked_edges=..., true where an edge may not be used"

    def __init__(
        self,
        graph: nx.DiGraph[Any] | Mapping[str, Any],
        root: Hashable | None = None,
        *,
        edge_order: Iterable[Any] | None = None,
        backend: Backend = "compiled",
    ) -> None:
        """Describes the trees on a NetworkX graph, of which nodes and edges are copied, no attributes.

        Args:
            graph: a DiGraph or a MultiDiGraph; or
                {"edges": [...], "directed": ..., "nodes": [...]}, see `from_edges`.
            root: the node that all trees lead from; None: any.
            edge_order: the graph's edges, each once, in the order of theta's entries; None: NetworkX's order.
            backend: "compiled", or as a reference "networkx".

        Raises:
            TypeError: the graph is not NetworkX's, or the order no list of edges.
            ValueError: the graph is empty, undirected, or without a tree, the root is not among its nodes, the order is
                not one of its edges, or the backend unknown.
        """
        self._describe(Network.from_networkx(graph, edge_order), root, backend)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[Any],
        root: Hashable | None = None,
        *,
        nodes: Iterable[Hashable] | None = None,
        backend: Backend = "compiled",
    ) -> MaxArborescenceAdapter:
        """Describes the trees on a graph that is given by its edges, in the order of theta's entries.

        Args:
            edges: (u, v), from parent to child, or (u, v, key) where edges are parallel; a list, or an array (E, 2).
            nodes: all nodes, in the order of `nodes`; None: in that in which they come up in the edges.
            root, backend: see the class.

        Raises:
            TypeError: no list of edges, or a node that is not hashable.
            ValueError: no edges, one that is there twice, or has an end that is not among the nodes; else as the class.
        """
        adapter = cls.__new__(cls)
        adapter._describe(Network.from_edges(edges, directed=True, nodes=nodes), root, backend)
        return adapter

    def _describe(self, network: Network, root: Hashable | None, backend: Backend) -> None:
        if backend not in _BACKENDS:
            raise ValueError(f"expected backend to be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
        if not network.directed:
            raise ValueError(
                "expected a directed graph, got an undirected one; arborescences lead away from their root, so pass "
                "graph.to_directed(), which has each edge both ways, or use MaxSpanningTreeAdapter"
            )
        self.root: int | None = None if root is None else network.index(root, "root")
        _check_reach(network, self.root)
        self.network = network
        self.backend = backend
        self.instance_shape: Shape = (len(network.tails),)
        self.context: ContextShapes = {
            "root": (),
            "blocked_nodes": (len(network.nodes),),
            "blocked_edges": self.instance_shape,
        }
        self.num_ones: float | None = len(network.nodes) - 1
        self.parallelism = Parallelism.THREADS if backend == "compiled" else Parallelism.PROCESSES

    def description(self) -> dict[str, Any]:
        root = None if self.root is None else self.nodes[self.root]
        graph = self.network.description()
        return {"name": "max_arborescence", "kwargs": {"graph": graph, "root": root, "backend": self.backend}}

    def layout(self, context: Context) -> Layout:
        """The graph, with the root, if it is given, and what is blocked."""
        root = context.get("root", self.root)
        return self.network.layout([] if root is None else [self.nodes[int(root)]], self._hidden(context))

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for scores of which a sum might not be finite, and for bad context values."""
        self._batch(thetas, context)

    def build(self) -> Callable[..., None]:
        """Makes what the backend searches: a function that marks the trees of a batch, and instances without one."""
        if self.backend == "networkx":
            return self._networkx()
        from imle_adapters.graphs.arborescence_kernels import edmonds

        return partial(edmonds, len(self.nodes), self.network.tails, self.network.heads)

    def _networkx(self) -> Callable[..., None]:
        import networkx as nx

        ends = list(zip(self.network.tails.tolist(), self.network.heads.tolist(), strict=True))

        def search(
            thetas: FloatArray,
            blocked: NDArray[np.bool_],
            absent: NDArray[np.bool_],
            roots: NDArray[np.int64],
            values: FloatArray,
            statuses: NDArray[np.uint8],
        ) -> None:
            for row, theta in enumerate(thetas.astype(np.float64)):
                shift = (len(self.nodes) + 1) * (np.ptp(theta) or 1.0) - theta.min()
                graph: nx.DiGraph[int] = nx.DiGraph()
                graph.add_nodes_from(range(len(self.nodes)))
                if len(absent):
                    graph.remove_nodes_from(np.flatnonzero(absent[row]).tolist())
                for edge in np.argsort(thetas[row], kind="stable").tolist():  # of parallel ones the last is the best
                    tail, head = ends[edge]
                    if tail != head != roots[row] and not (len(blocked) and blocked[row, edge]):
                        graph.add_edge(tail, head, weight=float(theta[edge] + shift), edge=edge)
                if graph.number_of_edges() == 0 and len(graph) == 1:
                    continue
                # Not nx.maximum_spanning_arborescence, which finds no tree where it is deep and scores differ much: its
                # shift of scores is too small for every branching of one edge more to be better.
                tree = nx.maximum_branching(graph, preserve_attrs=True)
                if tree.number_of_edges() < len(graph) - 1:
                    statuses[row] = Status.INFEASIBLE
                    continue
                values[row, [edge for _, _, edge in tree.edges(data="edge")]] = 1

        return search

    def solve_batch(self, state: Callable[..., None], thetas: FloatArray, context: Context) -> Solutions:
        """Solves a batch."""
        batch = self._batch(thetas, context)
        values = np.zeros_like(batch.thetas)
        statuses = np.zeros(len(thetas), dtype=np.uint8)
        state(*batch, values, statuses)
        return Solutions(values, statuses, fresh=True)

    def _batch(self, thetas: FloatArray, context: Context) -> _Batch:
        unknown = [name for name in context if name not in self.context]
        if unknown:
            raise ValueError(f"{self!r}: expected context among {sorted(self.context)}, got {unknown}")
        flat = take(thetas, self)
        rows, nodes = len(flat), len(self.nodes)
        roots = np.full(rows, _ANY if self.root is None else self.root)
        if "root" in context:
            roots = node_indices(context["root"], "root", rows, nodes, self)
        blocked, absent = blocked_rows(context, rows, self.network, self)
        if len(absent) and (roots != _ANY).all():
            refuse_blocked(absent, "root", roots, self.nodes, self)
        return _Batch(flat, blocked, absent, roots)

    def __repr__(self) -> str:
        root = "" if self.root is None else f"root={self.nodes[self.root]!r}, "
        size = f"{len(self.nodes)} nodes, {len(self.network.tails)} edges"
        return f"{type(self).__name__}({size}, {root}backend={self.backend!r})"


def _check_reach(network: Network, root: int | None) -> None:
    """Raises `ValueError` unless some node, or this one, leads to all others."""
    start = network.origin() if root is None else root
    missed = np.flatnonzero(network.hops(start) < 0)
    if not len(missed):
        return
    first, lost = network.nodes[start], network.nodes[int(missed[0])]
    if root is None:
        raise ValueError(
            f"expected a graph in which some node leads to all {len(network.nodes)}, got one without: from {first!r} "
            f"no way leads to {lost!r}; add edges, or a node with an edge to each other one"
        )
    raise ValueError(
        f"expected a graph in which the root {first!r} leads to all {len(network.nodes)} nodes, got one without a way "
        f"to {lost!r}; add edges, or choose another root"
    )
