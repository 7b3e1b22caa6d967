"""Spanning trees of greatest score."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from imle_adapters.graphs.graph_adapter import GraphAdapter
from imle_adapters.graphs.instance_context import blocked_rows
from imle_adapters.graphs.network import Network
from imle_adapters.instances import IndexArray, take
from imle_solvers.adapter import Context, ContextShapes, FloatArray, IsBinary, Parallelism, Sense, Shape, Solutions
from imle_solvers.status import Status

if TYPE_CHECKING:
    import networkx as nx

Backend = Literal["compiled", "networkx"]

_BACKENDS = ("compiled", "networkx")

_SPARSEST = 8
"""Pairs of nodes for each edge up to which Prim's algorithm, which looks at all pairs, is the fastest."""


class MaxSpanningTreeAdapter(GraphAdapter):
    """The spanning tree of greatest total score. Theta are scores, sense "max".

    Theta is (E,), the score of each edge in the order of `edges`, and so is z: 1 for the n - 1 edges of the tree, else
    0. Scores may have any sign; an edge is taken for want of a better one even if its score is negative. Of parallel
    edges at most one is taken; self-loops never are.

    With `forest=True` the graph may be disconnected: z has one tree for each component, nodes - components ones.

    Context, for each instance:
        blocked_nodes: (nodes,), bool or 0/1, the nodes that are not there: the tree spans the others. For instances of
            different size in one batch.
        blocked_edges: (E,), bool or 0/1, the edges that may not be used.
    An instance whose masks leave nodes apart is infeasible, the rest of the batch is solved; with `forest=True` each
    part has a tree.

    Edges of equal score rank by their order in `edges`, so the compiled kernel's solution is unique. Backends may
    choose differently among trees of equal score.

    Attributes:
        nodes: the graph's nodes.
        edges: the graph's edges in the order of `edge_order`, else of NetworkX, (u, v), or (u, v, key) for multigraphs.
    """

    sense: Sense = "max"
    is_binary: IsBinary = True
    exclusion: str | None = "blocked_edges=..., true where an edge may not be used"

    def __init__(
        self,
        graph: nx.Graph[Any] | Mapping[str, Any],
        *,
        forest: bool = False,
        edge_order: Iterable[Any] | None = None,
        backend: Backend = "compiled",
    ) -> None:
        """Describes the trees on a NetworkX graph, of which nodes and edges are copied, no attributes.

        Args:
            graph: a Graph or a MultiGraph; or
                {"edges": [...], "directed": ..., "nodes": [...]}, see `from_edges`.
            forest: accept a graph of several components, and span each.
            edge_order: the graph's edges, each once, in the order of theta's entries; None: NetworkX's order.
            backend: "compiled", or as a reference "networkx".

        Raises:
            TypeError: the graph is not NetworkX's, or the order no list of edges.
            ValueError: the graph is empty, directed, or disconnected without `forest=True`, the order is not one of its
                edges, or the backend unknown.
        """
        self._describe(Network.from_networkx(graph, edge_order), forest, backend)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[Any],
        *,
        nodes: Iterable[Hashable] | None = None,
        forest: bool = False,
        backend: Backend = "compiled",
    ) -> MaxSpanningTreeAdapter:
        """Describes the trees on a graph that is given by its edges, in the order of theta's entries.

        Args:
            edges: (u, v), or (u, v, key) where edges are parallel; a list, or an array (E, 2).
            nodes: all nodes, in the order of `nodes`; None: in that in which they come up in the edges.
            forest, backend: see the class.

        Raises:
            TypeError: no list of edges, or a node that is not hashable.
            ValueError: no edges, one that is there twice, or has an end that is not among the nodes; else as the class.
        """
        adapter = cls.__new__(cls)
        adapter._describe(Network.from_edges(edges, directed=False, nodes=nodes), forest, backend)
        return adapter

    def _describe(self, network: Network, forest: bool, backend: Backend) -> None:
        if backend not in _BACKENDS:
            raise ValueError(f"expected backend to be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
        self.network = network
        self.forest = forest
        if self.network.directed:
            raise ValueError(
                "expected an undirected graph, got a directed one; spanning trees follow edges both ways, so pass "
                "graph.to_undirected() if that is meant"
            )
        components = self.network.components()
        if components > 1 and not forest:
            raise ValueError(
                f"expected a connected graph, got one of {components} components, which no tree spans; connect them, "
                "or pass forest=True for a tree in each"
            )
        self.backend = backend
        self.instance_shape: Shape = (len(self.network.tails),)
        self.context: ContextShapes = {"blocked_nodes": (len(self.nodes),), "blocked_edges": self.instance_shape}
        self.num_ones: float | None = len(self.network.nodes) - components
        self.parallelism = Parallelism.THREADS if backend == "compiled" else Parallelism.PROCESSES

    def description(self) -> dict[str, Any]:
        graph = self.network.description()
        return {
            "name": "max_spanning_tree",
            "kwargs": {"graph": graph, "forest": self.forest, "backend": self.backend},
        }

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for scores of which a sum might not be finite, and for bad masks."""
        take(thetas, self)
        blocked_rows(context, len(thetas), self.network, self)

    def build(self) -> Callable[[FloatArray, FloatArray], None]:
        """Makes what the backend searches: a function that marks the forests of (N, E) scores in (N, E) zeros.

        An edge of score -inf is not there.
        """
        if self.backend == "networkx":
            return self._networkx()
        from imle_adapters.graphs.spanning_tree_kernels import boruvka, prim

        network, nodes = self.network, len(self.nodes)
        by_boruvka = partial(boruvka, nodes, network.tails, network.heads)
        edges = _edge_table(network) if nodes**2 <= _SPARSEST * len(network.tails) else None
        if edges is None:
            return by_boruvka
        by_prim = partial(prim, nodes, network.tails, network.heads, edges)
        return lambda thetas, values: (by_prim if thetas.dtype == np.float32 else by_boruvka)(thetas, values)

    def _networkx(self) -> Callable[[FloatArray, FloatArray], None]:
        import networkx as nx

        graph: nx.MultiGraph[int] = nx.MultiGraph()
        for edge, (tail, head) in enumerate(zip(self.network.tails.tolist(), self.network.heads.tolist(), strict=True)):
            graph.add_edge(tail, head, key=edge)

        def search(thetas: FloatArray, values: FloatArray) -> None:
            for theta, z in zip(thetas.tolist(), values, strict=True):
                for _, _, edge, data in graph.edges(keys=True, data=True):
                    data["weight"] = theta[edge]
                taken = [edge for _, _, edge in nx.maximum_spanning_edges(graph, data=False)]
                z[[edge for edge in taken if theta[edge] > -math.inf]] = 1  # the others come last, and join parts

        return search

    def solve_batch(
        self, state: Callable[[FloatArray, FloatArray], None], thetas: FloatArray, context: Context
    ) -> Solutions:
        """Solves a batch."""
        unknown = [name for name in context if name not in self.context]
        if unknown:
            raise ValueError(f"{self!r}: expected context among {sorted(self.context)}, got {unknown}")
        thetas = take(thetas, self)
        blocked, absent = blocked_rows(context, len(thetas), self.network, self)
        values = np.zeros_like(thetas)
        statuses = np.zeros(len(thetas), dtype=np.uint8)
        if not len(blocked):
            state(thetas, values)
            return Solutions(values, statuses, fresh=True)
        state(np.where(blocked, -np.inf, thetas).astype(thetas.dtype, copy=False), values)
        if not self.forest:
            there = len(self.nodes) - absent.sum(axis=1) if len(absent) else len(self.nodes)
            apart = values.sum(axis=1) < there - 1
            values[apart], statuses[apart] = 0, Status.INFEASIBLE
        return Solutions(values, statuses, fresh=True)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({len(self.nodes)} nodes, {len(self.network.tails)} edges, backend={self.backend!r})"


def _edge_table(network: Network) -> IndexArray | None:
    """(nodes, nodes), the edge between two nodes, the number of edges where there is none; None for parallel edges."""
    nodes, edges = len(network.nodes), len(network.tails)
    table = np.full((nodes, nodes), edges, dtype=np.uint32)
    table[network.tails, network.heads] = np.arange(edges)
    table[network.heads, network.tails] = np.arange(edges)
    parallel = (table[network.tails, network.heads] != np.arange(edges)).any()
    return None if parallel else table
