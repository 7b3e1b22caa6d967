"""Graphs as arrays: what the adapters on graphs keep of a NetworkX graph, or of a grid."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_adapters.graphs.edge_names import as_edges, check_order, in_order, positions
from imle_adapters.instances import IndexArray
from imle_solvers.layouts import GraphLayout

if TYPE_CHECKING:
    import networkx as nx


# Half of the steps to a cell's neighbours; the other half are the same edges seen from their other end.
_STEPS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, -1), (1, 0), (1, 1))}
_RIGHT_AND_DOWN = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1))}


class Arcs(NamedTuple):
    """The directions in which edges can be followed, in compressed sparse rows. Self-loops are left out.

    The arcs that leave node u are `indptr[u]:indptr[u + 1]`, in the order of their edges.

    Attributes:
        indptr: (nodes + 1,).
        tails, heads: (arcs,) the nodes at both ends.
        edges: (arcs,) which edge each arc follows.
    """

    indptr: IndexArray
    tails: IndexArray
    heads: IndexArray
    edges: IndexArray

    def incoming(self) -> tuple[IndexArray, IndexArray]:
        """Compressed sparse rows of the same arcs by head: (nodes + 1,), and (arcs,), which arcs they are."""
        counts = np.bincount(self.heads, minlength=len(self.indptr) - 1)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        return starts, np.argsort(self.heads, kind="stable").astype(np.uint32)

    def by_place(self, order: IndexArray) -> tuple[IndexArray, IndexArray, IndexArray, IndexArray]:
        """The same with nodes in another order.

        Args:
            order: (nodes,), the node at each place.

        Returns:
            (nodes,) each node's place; (nodes + 1,) where the arcs that lead to each place start; (arcs,) the places
            where these start, ascending for each place that they lead to; (arcs,) which arcs they are.
        """
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        arcs = np.lexsort((position[self.tails], position[self.heads])).astype(np.uint32)
        counts = np.bincount(position[self.heads], minlength=len(order))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        return position, starts, position[self.tails[arcs]], arcs


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """A graph whose nodes and edges are numbered. Undirected edges have a tail and a head, too, in no sense.

    Attributes:
        nodes: the nodes as the user knows them, at their index.
        tails, heads: (edges,) indices of each edge's ends, in the order of theta.
        directed: edges lead only from tail to head.
        keys: of the edges of a multigraph, None for other graphs.
        places: (x, y) of each node, for pictures; None: unknown.
    """

    nodes: list[Any]
    tails: IndexArray
    heads: IndexArray
    directed: bool
    keys: list[Any] | None = None
    places: list[tuple[float, float]] | None = None

    @cached_property
    def edges(self) -> list[Any]:
        """The edges as the user knows them: pairs of nodes, or (node, node, key) for a multigraph.

        Only made when somebody looks: of a large grid they are a hundred times as large as theta.
        """
        ends = zip(self.tails.tolist(), self.heads.tolist(), strict=True)
        pairs = [(self.nodes[tail], self.nodes[head]) for tail, head in ends]
        return pairs if self.keys is None else [(*pair, key) for pair, key in zip(pairs, self.keys, strict=True)]

    @classmethod
    def from_edges(cls, edges: Iterable[Any], *, directed: bool, nodes: Iterable[Hashable] | None = None) -> Network:
        """Numbers edges as they are listed, and nodes as they come up there, or as `nodes` lists them.

        Raises:
            TypeError: this is no list of edges, or a node is not hashable.
            ValueError: there are none, one is there twice, or has an end that is not among the nodes.
        """
        named = as_edges(edges, "edges")
        positions(named, directed)
        listed = list(dict.fromkeys([end for edge in named for end in edge[:2]] if nodes is None else nodes))
        index = {node: position for position, node in enumerate(listed)}
        for edge in named:
            for end in edge[:2]:
                if end not in index:
                    raise ValueError(
                        f"expected ends of edges among the {len(listed)} nodes, got {end!r} in {edge!r}; they are "
                        f"{_some(listed)}"
                    )
        return cls._of(listed, index, named, directed)

    @classmethod
    def _of(cls, nodes: list[Any], index: Mapping[Any, int], edges: list[Any], directed: bool) -> Network:
        tails = np.array([index[edge[0]] for edge in edges], dtype=np.uint32)
        heads = np.array([index[edge[1]] for edge in edges], dtype=np.uint32)
        return cls(nodes, tails, heads, directed, [edge[2] for edge in edges] if len(edges[0]) == 3 else None)

    def description(self) -> dict[str, Any]:
        """The graph as lists, for `from_networkx`."""
        described = {"nodes": self.nodes, "edges": self.edges, "directed": self.directed}
        return described if self.places is None else {**described, "places": self.places}

    @classmethod
    def _from_description(cls, graph: Mapping[str, Any]) -> Network:
        if not {"edges", "directed"} <= graph.keys() <= {"nodes", "edges", "directed", "places"}:
            raise TypeError(
                "expected a graph as {'edges': [...], 'directed': ..., 'nodes': [...]}, without nodes if they are to "
                f"be those of the edges, got {', '.join(map(repr, graph)) or 'no entry'}"
            )
        network = cls.from_edges(graph["edges"], directed=bool(graph["directed"]), nodes=graph.get("nodes"))
        places = graph.get("places")
        return network if places is None else replace(network, places=[(float(x), float(y)) for x, y in places])

    @classmethod
    def from_networkx(
        cls, graph: nx.Graph[Any] | Mapping[str, Any], edge_order: Iterable[Any] | None = None
    ) -> Network:
        """Numbers nodes, and edges unless their order is given, in the order in which NetworkX lists them.

        Args:
            graph: NetworkX's, or a `description`.
            edge_order: see above.

        Raises:
            TypeError: this is no NetworkX graph, or no list of edges.
            ValueError: the graph has no nodes or no edges, or the order is not one of its edges.
        """
        if isinstance(graph, Mapping):
            network = cls._from_description(graph)
            return network if edge_order is None else network.reordered(edge_order)
        if not all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed", "is_multigraph")):
            raise TypeError(
                f"expected a NetworkX Graph, DiGraph, MultiGraph or MultiDiGraph, got {type(graph).__name__}; "
                "make one with networkx.Graph(...)"
            )
        if graph.number_of_nodes() == 0:
            raise ValueError(
                "expected a graph with nodes, got an empty graph; add its edges before the adapter is made"
            )
        if graph.number_of_edges() == 0:
            raise ValueError(
                f"expected a graph with edges, got {graph.number_of_nodes()} nodes and no edge; theta has one entry "
                "for each edge, so add the edges before the adapter is made"
            )
        nodes = list(graph.nodes)
        edges = list(graph.edges(keys=True)) if graph.is_multigraph() else list(graph.edges)
        index = {node: position for position, node in enumerate(nodes)}
        network = replace(cls._of(nodes, index, edges, graph.is_directed()), places=_places(graph, nodes))
        return network if edge_order is None else network.reordered(edge_order)

    def reordered(self, edge_order: Iterable[Any]) -> Network:
        """The same graph, with its edges in this order, and named as they are there.

        Raises:
            TypeError: this is no list of edges.
            ValueError: it does not name each of the graph's edges once.
        """
        order = as_edges(edge_order, "edge_order")
        check_order(order, positions(self.edges, self.directed), len(self.tails), self.directed)
        index = {node: position for position, node in enumerate(self.nodes)}
        return replace(Network._of(self.nodes, index, order, self.directed), places=self.places)

    def theta_of(self, values: Mapping[Any, Any]) -> NDArray[np.float64]:
        """(edges,) numbers that are named by their edge, in the order of theta. See `edge_names.in_order`."""
        return in_order(values, positions(self.edges, self.directed), len(self.tails), self.directed)

    @classmethod
    def grid(cls, height: int, width: int, neighbourhood: int, directed: bool = False) -> Network:
        """The graph of neighbouring cells (row, column), row by row.

        Edges come cell by cell: to the right, then down from left to right. Directed ones never lead to the left.

        Raises:
            ValueError: a side below 1, or a neighbourhood other than 4 or 8.
        """
        for name, side in (("height", height), ("width", width)):
            if isinstance(side, bool) or not isinstance(side, int | np.integer) or side < 1:
                raise ValueError(f"expected a grid {name} that is a whole number of at least 1, got {side!r}")
        if neighbourhood not in tuple(_STEPS):
            raise ValueError(
                f"expected neighbourhood=4 (rows and columns) or neighbourhood=8 (diagonals too), got {neighbourhood!r}"
            )
        height, width = int(height), int(width)
        rows, columns = np.divmod(np.arange(height * width), width)
        tails, heads = [], []
        for down, right in (_RIGHT_AND_DOWN if directed else _STEPS)[neighbourhood]:
            inside = (rows + down < height) & (columns + right >= 0) & (columns + right < width)
            tails.append(np.flatnonzero(inside))
            heads.append(tails[-1] + down * width + right)
        tail, head = np.concatenate(tails), np.concatenate(heads)
        order = np.argsort(tail, kind="stable")
        nodes = list(zip(rows.tolist(), columns.tolist(), strict=True))
        return cls(nodes, tail[order].astype(np.uint32), head[order].astype(np.uint32), directed)

    def layout(self, ends: Sequence[Any] = (), hidden: Any = None) -> GraphLayout:
        """How the graph is drawn: where its nodes have a place, or else wherever it looks well."""
        places = None if self.places is None else dict(zip(self.nodes, self.places, strict=True))
        return GraphLayout(
            edges=self.edges, nodes=self.nodes, directed=self.directed, positions=places, ends=ends, hidden=hidden
        )

    def index(self, node: Hashable, role: str) -> int:
        """The index of a node.

        Raises:
            ValueError: the graph has no such node; `role` says what it was wanted for.
        """
        try:
            return self.nodes.index(node)
        except ValueError:
            raise ValueError(
                f"expected the {role} to be a node of the graph, got {node!r}; its {len(self.nodes)} nodes are "
                f"{_some(self.nodes)}"
            ) from None

    def arcs(self) -> Arcs:
        """Compressed sparse rows of the edges, both ways where they are undirected."""
        edges = np.flatnonzero(self.tails != self.heads).astype(np.uint32)
        tails, heads = self.tails[edges], self.heads[edges]
        if not self.directed:
            tails, heads = np.stack([tails, heads], 1).ravel(), np.stack([heads, tails], 1).ravel()
            edges = np.repeat(edges, 2)
        order = np.argsort(tails, kind="stable")
        counts = np.bincount(tails, minlength=len(self.nodes))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        return Arcs(indptr, tails[order], heads[order], edges[order])

    def hops(self, source: int) -> NDArray[np.int64]:
        """(nodes,) the number of edges of a fewest-edge path from the source, -1 where there is none."""
        arcs = self.arcs()
        hops = np.full(len(self.nodes), -1)
        hops[source] = 0
        frontier = [source]
        while frontier:
            reached = []
            for tail in frontier:
                for head in arcs.heads[arcs.indptr[tail] : arcs.indptr[tail + 1]].tolist():
                    if hops[head] < 0:
                        hops[head] = hops[tail] + 1
                        reached.append(head)
            frontier = reached
        return hops

    def origin(self) -> int:
        """The only node that may lead to all others: where the last of many searches starts, each of unseen nodes."""
        arcs = self.arcs()
        seen = np.zeros(len(self.nodes), dtype=bool)
        origin = 0
        for start in range(len(self.nodes)):
            if seen[start]:
                continue
            origin = start
            seen[start] = True
            waiting = [start]
            while waiting:
                tail = waiting.pop()
                for head in arcs.heads[arcs.indptr[tail] : arcs.indptr[tail + 1]].tolist():
                    if not seen[head]:
                        seen[head] = True
                        waiting.append(head)
        return origin

    def components(self) -> int:
        """How many parts of an undirected graph have no edge between them."""
        root = list(range(len(self.nodes)))
        components = len(root)
        for one, other in zip(self.tails.tolist(), self.heads.tolist(), strict=True):
            while root[one] != one:
                root[one] = one = root[root[one]]
            while root[other] != other:
                root[other] = other = root[root[other]]
            if one != other:
                root[one] = other
                components -= 1
        return components

    def topological_order(self) -> IndexArray | None:
        """(nodes,) the nodes of a directed graph, tails before heads; None where it has cycles or no direction."""
        if not self.directed:
            return None
        arcs = self.arcs()
        waiting = np.bincount(arcs.heads, minlength=len(self.nodes))
        order = np.flatnonzero(waiting == 0).tolist()
        for tail in order:  # grows as it is read
            for head in arcs.heads[arcs.indptr[tail] : arcs.indptr[tail + 1]].tolist():
                waiting[head] -= 1
                if waiting[head] == 0:
                    order.append(head)
        return np.array(order, dtype=np.uint32) if len(order) == len(self.nodes) else None


def _places(graph: nx.Graph[Any], nodes: list[Any]) -> list[tuple[float, float]] | None:
    """Where NetworkX has the nodes, in their attribute `pos`; None unless all have one."""
    try:
        return [(float(x), float(y)) for x, y in (graph.nodes[node]["pos"] for node in nodes)]
    except (KeyError, TypeError, ValueError):  # none, or the user's own use of the name
        return None


def _some(items: Sequence[Any], most: int = 5) -> str:
    return ", ".join(map(repr, items[:most])) + (", ..." if len(items) > most else "")
