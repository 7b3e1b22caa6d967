"""Generated road networks."""

from __future__ import annotations

import networkx as nx
import numpy as np
from scipy.spatial import Delaunay

from examples.road_network.roads import Roads


def generate(places: int, seed: int) -> Roads:
    """A planar network of two-way roads; costs are lengths times a lognormal factor (speed, traffic)."""
    rng = np.random.default_rng(seed)
    points = rng.random((places, 2))
    triangles = Delaunay(points).simplices
    pairs = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])), axis=0
    )
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    roads = nx.Graph()
    roads.add_nodes_from(range(places))
    costs = 10 * lengths * rng.lognormal(sigma=0.6, size=len(pairs))
    short = lengths <= np.quantile(lengths, 0.9)  # the hull's long edges are no roads
    for (tail, head), cost in zip(pairs[short].tolist(), costs[short].tolist(), strict=True):
        roads.add_edge(tail, head, cost=cost)
    roads = nx.Graph(roads.subgraph(max(nx.connected_components(roads), key=len)))
    nodes = list(roads.nodes)
    return Roads(f"generated, seed {seed}", roads, dict(enumerate(map(tuple, points.tolist()))), nodes, nodes)
