"""Road networks: generated ones, and the real ones of the collection "Transportation Networks for Research" (TNTP)."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from scipy.spatial import Delaunay

Position = tuple[float, float]
Trip = tuple[Hashable, Hashable]


@dataclass(frozen=True)
class Roads:
    """A road network.

    Attributes:
        name: for titles.
        graph: its edges have the attribute "cost", above zero.
        positions: of the nodes, for drawing; empty if they are not known.
        origins, destinations: the nodes where routes start and end; the same place has the same index in both.
    """

    name: str
    graph: nx.Graph[Any]
    positions: dict[Hashable, Position]
    origins: list[Hashable]
    destinations: list[Hashable]

    def trips(self) -> list[Trip]:
        """All pairs of different places with a way from the one to the other.

        Raises:
            ValueError: there are fewer than two.
        """
        reachable = {origin: nx.descendants(self.graph, origin) for origin in self.origins}
        trips = [
            (origin, destination)
            for i, origin in enumerate(self.origins)
            for j, destination in enumerate(self.destinations)
            if i != j and destination in reachable[origin]
        ]
        if len(trips) < 2:
            raise ValueError(f"{self.name}: expected at least two trips between different places, found {len(trips)}")
        return trips


class Score(NamedTuple):
    """How good learned costs are: shares of routes, and Spearman's rank correlation with the true costs."""

    exact: float
    optimal: float
    rank: float

    def __str__(self) -> str:
        return (
            f"exact match {self.exact:.1%}, cost-optimal {self.optimal:.1%} of routes, rank correlation {self.rank:.2f}"
        )


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


def read_tntp(file: Path) -> Roads:
    """Reads NAME_net.tntp, and positions from NAME_node.tntp where that is there; costs are free flow times.

    Nodes numbered below FIRST THRU NODE are zones, where routes start and end but which they may not pass through.
    Such a node becomes two: ("from", node), which links only leave, and ("to", node), where links only end.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no network file, or links are missing.
    """
    if not file.is_file():
        beside = sorted(path.name for path in file.parent.glob("*_net.tntp")) if file.parent.is_dir() else []
        raise FileNotFoundError(
            f"expected a network file NAME_net.tntp, found none at {file}; beside it: {', '.join(beside) or 'none'}"
        )
    text = file.read_text(encoding="utf-8", errors="replace")
    metadata = dict(re.findall(r"<([^>]+)>[ \t]*(\S*)", text))
    try:
        zones, first_thru, expected = (
            int(metadata[key]) for key in ("NUMBER OF ZONES", "FIRST THRU NODE", "NUMBER OF LINKS")
        )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{file} is not a TNTP network: no <NUMBER OF ZONES>, <FIRST THRU NODE>, <NUMBER OF LINKS>"
        ) from error
    places = nx.DiGraph()
    for line in text.partition("<END OF METADATA>")[2].splitlines():
        fields = line.split("~")[0].replace(";", " ").split()
        if len(fields) >= 5:
            time = max(float(fields[4]), 1e-3)  # connectors of zones have none in some files
            places.add_edge(int(fields[0]), int(fields[1]), cost=time)
    if places.number_of_edges() != expected:
        raise ValueError(f"{file}: expected {expected} links, found {places.number_of_edges()}")

    def end(node: int, role: str) -> Hashable:
        return (role, node) if node < first_thru else node

    graph = nx.DiGraph()
    graph.add_edges_from((end(tail, "from"), end(head, "to"), data) for tail, head, data in places.edges(data=True))
    positions = {
        end(node, role): position for node, position in _read_positions(file).items() for role in ("from", "to")
    }
    ends = [zone for zone in range(1, zones + 1) if end(zone, "from") in graph and end(zone, "to") in graph]
    name = file.name.removesuffix(".tntp").removesuffix("_net")
    return Roads(name, graph, positions, [end(zone, "from") for zone in ends], [end(zone, "to") for zone in ends])


def _read_positions(network: Path) -> dict[int, Position]:
    file = network.with_name(network.name.replace("_net.tntp", "_node.tntp"))
    if file == network or not file.is_file():
        return {}
    rows = (line.replace(";", " ").split() for line in file.read_text(encoding="utf-8").splitlines()[1:])
    return {int(row[0]): (float(row[1]), float(row[2])) for row in rows if len(row) >= 3}
