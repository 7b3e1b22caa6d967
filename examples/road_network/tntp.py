"""The real road networks of the collection "Transportation Networks for Research" (TNTP)."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path

import networkx as nx

from examples.road_network.roads import Position, Roads


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
    head, _, body = text.partition("<END OF METADATA>")
    for number, line in enumerate(body.splitlines(), head.count("\n") + 1):
        fields = line.split("~")[0].replace(";", " ").split()
        if len(fields) >= 5:
            try:
                tail, end_, time = int(fields[0]), int(fields[1]), float(fields[4])
            except ValueError as error:
                raise ValueError(
                    f"{file}, line {number}: expected two numbers of nodes, and the free flow time as the fifth entry, "
                    f"got {line.strip()!r}"
                ) from error
            places.add_edge(tail, end_, cost=max(time, 1e-3))  # connectors of zones have none in some files
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
