"""Shortest paths by NetworkX and by SciPy, one instance at a time: slow, and short enough to be trusted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from imle_adapters.graphs.network import Arcs, Network
from imle_adapters.instances import IndexArray
from imle_solvers.status import Status

Path = list[int]
Found = Path | Status


class NetworkXPaths:
    """Dijkstra's algorithm, or Bellman-Ford's where costs may be negative."""

    def __init__(self, network: Network, vertex_costs: bool, signed: bool) -> None:
        """Copies the graph, with theta's indices on its edges."""
        self.signed = signed
        # The weight that each method takes for "no way through".
        self.closed: float | None = np.inf if signed else None
        self.vertex_costs = vertex_costs
        self.arcs: Arcs = network.arcs()
        self.graph: nx.MultiGraph[int] = nx.MultiDiGraph() if network.directed else nx.MultiGraph()
        self.graph.add_nodes_from(range(len(network.nodes)))
        for edge, (tail, head) in enumerate(zip(network.tails.tolist(), network.heads.tolist(), strict=True)):
            if tail != head:
                self.graph.add_edge(tail, head, key=edge)

    def __call__(self, costs: NDArray[np.float64], source: int, target: int) -> Found:
        """The entries of theta on the cheapest path; INFEASIBLE without one, UNBOUNDED with a negative cycle on it.

        Args:
            costs: (entries of theta,), infinite where blocked.
            source, target: node indices.
        """
        price = costs.tolist()
        if self.vertex_costs and np.inf in (price[source], price[target]):
            return Status.INFEASIBLE
        if not self.vertex_costs:
            price = _towards(self.arcs, costs, target).tolist()

        def weight(tail: int, head: int, parallel: dict[int, object]) -> float | None:
            cheapest = price[head] if self.vertex_costs else min(price[edge] for edge in parallel)
            return self.closed if cheapest == np.inf else cheapest

        try:
            nodes = self._nodes(source, target, weight)
        except nx.NetworkXNoPath:
            return Status.INFEASIBLE
        except nx.NetworkXUnbounded:
            return Status.UNBOUNDED
        if self.vertex_costs:
            return list(nodes)
        return [min(self.graph[tail][head], key=price.__getitem__) for tail, head in pairwise(nodes)]

    def _nodes(self, source: int, target: int, weight: Callable[..., float | None]) -> list[int]:
        if not self.signed:
            return list(nx.dijkstra_path(self.graph, source, target, weight=weight))
        # To all nodes: where the source is the target, NetworkX does not look for cycles through it.
        paths = nx.single_source_bellman_ford_path(self.graph, source, weight=weight)
        if target not in paths:
            raise nx.NetworkXNoPath
        return list(paths[target])


class SciPyPaths:
    """`scipy.sparse.csgraph`, with a walk along its predecessors."""

    def __init__(self, network: Network, vertex_costs: bool, signed: bool) -> None:
        """Keeps the arcs; the matrix is made for each instance."""
        self.arcs: Arcs = network.arcs()
        self.entries: IndexArray = self.arcs.heads if vertex_costs else self.arcs.edges
        self.nodes: int = len(network.nodes)
        self.vertex_costs = vertex_costs
        self.signed = signed

    def __call__(self, costs: NDArray[np.float64], source: int, target: int) -> Found:
        """The entries of theta on the cheapest path; INFEASIBLE without one, UNBOUNDED with a negative cycle on it.

        Args:
            costs: (entries of theta,), infinite where blocked.
            source, target: node indices.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import NegativeCycleError, bellman_ford, dijkstra

        if self.vertex_costs and np.inf in (costs[source], costs[target]):
            return Status.INFEASIBLE
        # Of parallel arcs the cheapest: a matrix has one place for them, and SciPy would add them up.
        cost = (costs if self.vertex_costs else _towards(self.arcs, costs, target))[self.entries]
        order = np.lexsort((cost, self.arcs.heads, self.arcs.tails))
        order = order[cost[order] < np.inf]
        pairs = np.stack([self.arcs.tails[order], self.arcs.heads[order]], 1).astype(np.int32)
        cheapest = order[np.append(True, (pairs[1:] != pairs[:-1]).any(1))[: len(order)]]
        tails, heads = self.arcs.tails[cheapest].astype(np.int32), self.arcs.heads[cheapest].astype(np.int32)
        # Built row by row, so that costs of zero stay in as edges.
        indptr = np.searchsorted(tails, np.arange(self.nodes + 1)).astype(np.int32)
        matrix = csr_array((cost[cheapest], heads, indptr), shape=(self.nodes, self.nodes))
        solve = bellman_ford if self.signed else dijkstra
        try:
            distances, parents = solve(matrix, indices=source, return_predecessors=True)
        except NegativeCycleError:
            return Status.UNBOUNDED
        if not np.isfinite(distances[target]):
            return Status.INFEASIBLE
        ends = zip(tails.tolist(), heads.tolist(), strict=True)
        arc_of = dict(zip(ends, cheapest, strict=True))
        path = [source] if self.vertex_costs else []
        while target != source:
            path.append(int(self.entries[arc_of[int(parents[target]), target]]))
            target = int(parents[target])
        return path


def _towards(arcs: Arcs, costs: NDArray[np.float64], target: int) -> NDArray[np.float64]:
    """Costs of edges, infinite where none of an edge's arcs leads to where the target can be reached."""
    useful, waiting = {target}, [target]
    starts, incoming = arcs.incoming()
    for head in waiting:  # grows as it is read
        for arc in incoming[starts[head] : starts[head + 1]].tolist():
            tail = int(arcs.tails[arc])
            if tail not in useful and costs[arcs.edges[arc]] < np.inf:
                useful.add(tail)
                waiting.append(tail)
    led = np.full(len(costs), np.inf)
    leads = arcs.edges[np.isin(arcs.heads, list(useful))]
    led[leads] = costs[leads]
    return led
