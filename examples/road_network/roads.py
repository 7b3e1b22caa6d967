"""What a road network is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import networkx as nx

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
