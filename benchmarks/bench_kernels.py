"""Compiled kernels against what a user would write with SciPy or NetworkX, side by side on one core.

In every round each contender solves the same batch, one contender after another, so that a busy machine slows all of
them. The table has medians over the rounds, and the ratios to the kernel's. Compiling is measured apart, in
processes of their own. The run fails if contenders disagree about the optimal value of an instance.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree

from imle_adapters.assignment.adapter import AssignmentAdapter
from imle_adapters.graphs.arborescence import MaxArborescenceAdapter
from imle_adapters.graphs.shortest_path import ShortestPathAdapter
from imle_adapters.graphs.spanning_tree import MaxSpanningTreeAdapter
from imle_solvers.adapter import SolverAdapter

Thetas = NDArray[np.float32]
Contender = Callable[[Thetas], NDArray[Any]]  # (N, *instance_shape) -> (N, *solution_shape)

ASSIGNMENT_SIDES = (5, 10, 20, 50, 100, 200, 500, 1000)

TURN_SECONDS = 0.03  # at least, so that a contender does not pay for the caches that the one before it left behind
WARCRAFT_COSTS, WARCRAFT_SHARES = (0.8, 1.2, 5.3, 7.7, 9.2), (0.36, 0.42, 0.05, 0.11, 0.06)

COMPILE = """
import time, numpy as np
from imle_adapters.assignment.adapter import AssignmentAdapter
from imle_adapters.graphs.arborescence import MaxArborescenceAdapter
from imle_adapters.graphs.shortest_path import ShortestPathAdapter
from imle_adapters.graphs.spanning_tree import MaxSpanningTreeAdapter
import networkx as nx
adapters = {
    "grid, vertex costs": ShortestPathAdapter.grid(4, 4),
    "graph, edge costs": ShortestPathAdapter(nx.complete_graph(4), 0, 3),
    "acyclic graph": ShortestPathAdapter(nx.DiGraph([(0, 1), (1, 2)]), 0, 2),
    "graph, costs of any sign": ShortestPathAdapter(nx.DiGraph([(0, 1), (1, 0)]), 0, 1, negative="allow"),
    "spanning tree": MaxSpanningTreeAdapter(nx.complete_graph(4)),
    "arborescence": MaxArborescenceAdapter(nx.complete_graph(4, nx.DiGraph)),
    "assignment": AssignmentAdapter(4, 4),
}
for name, adapter in adapters.items():
    start = time.perf_counter()
    adapter.solve_batch(adapter.build(), np.ones((1, *adapter.instance_shape), np.float32), {})
    print(f"{name}: {time.perf_counter() - start:.3f}")
"""


def main() -> int:
    """Runs the comparison, prints it, and writes it where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which medians are taken (default: 15)")
    parser.add_argument("--instances", type=int, default=70, help="instances in a batch (default: 70)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to FILE")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    compile_seconds = measure_compilation()
    rng = np.random.default_rng(0)
    rows = []
    for side in (12, 30):
        shares = rng.choice(WARCRAFT_COSTS, p=WARCRAFT_SHARES, size=(arguments.instances, side, side))
        costs = (shares + rng.gumbel(scale=0.1, size=shares.shape)).clip(min=0.01).astype(np.float32)
        rows += compare(f"shortest path, grid {side}x{side}", grid_contenders(side), costs, arguments.rounds)
        costs = rng.uniform(0.1, 1, (arguments.instances, side * (side - 1) * 2 + (side - 1) ** 2)).astype(np.float32)
        rows += compare(f"right and down, grid {side}x{side}", directed_contenders(side), costs, arguments.rounds)
    scores = rng.normal(size=(arguments.instances, 435)).astype(np.float32)
    rows += compare("spanning tree, complete graph of 30", tree_contenders(30), scores, arguments.rounds)
    scores = rng.normal(size=(arguments.instances, 380)).astype(np.float32)
    rows += compare("arborescence, complete graph of 20", arborescence_contenders(20), scores, arguments.rounds)
    for side in ASSIGNMENT_SIDES:
        instances = max(2, min(arguments.instances, 10**7 // side**3))
        for family, costs in assignment_costs(instances, side, rng).items():
            problem = f"assignment {side}x{side}, {family}"
            rows += compare(problem, assignment_contenders(side), costs.astype(np.float32), arguments.rounds)
    report(rows, compile_seconds)
    if arguments.json:
        measured = {"kernels": rows, "compile_seconds": compile_seconds, "rounds": arguments.rounds}
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


def kernel(adapter: SolverAdapter) -> Contender:
    """The adapter's own kernel on the whole batch, built and compiled beforehand."""
    state = adapter.build()
    return lambda thetas: adapter.solve_batch(state, thetas, {}).values


def one_by_one(solve: Callable[[Thetas], NDArray[Any]]) -> Contender:
    """A loop over the batch, as a user would write it."""
    return lambda thetas: np.stack([solve(theta) for theta in thetas])


def grid_contenders(side: int) -> dict[str, Contender]:
    """Paths from corner to corner over 8 neighbours, with costs of vertices."""
    adapter = ShortestPathAdapter.grid(side, side)
    arcs = adapter.network.arcs()
    tails, heads = arcs.tails.astype(np.int32), arcs.heads.astype(np.int32)
    size, target = side * side, side * side - 1
    reused = csr_matrix((np.ones(len(heads)), (tails, heads)), shape=(size, size))
    graph = nx.DiGraph(zip(tails.tolist(), heads.tolist(), strict=True))

    def walk(parents: NDArray[np.int32]) -> NDArray[np.float32]:
        z = np.zeros(size, np.float32)
        vertex = target
        while vertex >= 0:
            z[vertex] = 1
            vertex = parents[vertex]
        return z.reshape(side, side)

    def scipy_built(theta: Thetas) -> NDArray[np.float32]:
        matrix = csr_matrix((theta.ravel()[heads], (tails, heads)), shape=(size, size))
        return walk(dijkstra(matrix, indices=0, return_predecessors=True)[1])

    def scipy_reused(theta: Thetas) -> NDArray[np.float32]:
        reused.data = theta.ravel()[heads].astype(np.float64)
        return walk(dijkstra(reused, indices=0, return_predecessors=True)[1])

    def mark(path: list[int]) -> NDArray[np.float32]:
        z = np.zeros(size, np.float32)
        z[path] = 1
        return z.reshape(side, side)

    def networkx_weights(theta: Thetas) -> NDArray[np.float32]:
        cost = theta.ravel().tolist()
        for _, head, attributes in graph.edges(data=True):
            attributes["weight"] = cost[head]
        return mark(nx.dijkstra_path(graph, 0, target))

    def networkx_function(theta: Thetas) -> NDArray[np.float32]:
        cost = theta.ravel().tolist()
        return mark(nx.dijkstra_path(graph, 0, target, weight=lambda tail, head, _: cost[head]))

    return {
        "kernel": kernel(adapter),
        "SciPy, matrix built": one_by_one(scipy_built),
        "SciPy, matrix reused": one_by_one(scipy_reused),
        "NetworkX, weights set": one_by_one(networkx_weights),
        "NetworkX, weight function": one_by_one(networkx_function),
    }


def directed_contenders(side: int) -> dict[str, Contender]:
    """Paths to the right and down, diagonal steps too, with costs of edges; also as a graph that might have cycles."""
    adapter = ShortestPathAdapter.grid(side, side, 8, "edge", directed=True)
    first, last = (0, 0), (side - 1, side - 1)
    circle = [*adapter.edges, (last, "beyond"), ("beyond", last)]
    graph = nx.DiGraph(adapter.edges)

    def general(negative: Literal["clamp", "allow"]) -> Contender:
        solve = kernel(ShortestPathAdapter.from_edges(circle, first, last, directed=True, negative=negative))
        return lambda thetas: solve(np.pad(thetas, ((0, 0), (0, 2)), constant_values=1))[:, :-2]

    def networkx(theta: Thetas) -> NDArray[np.float32]:
        cost = dict(zip(adapter.edges, theta.tolist(), strict=True))
        path = nx.dijkstra_path(graph, first, last, weight=lambda tail, head, _: cost[tail, head])
        used = set(pairwise(path))
        return np.array([edge in used for edge in adapter.edges], np.float32)

    return {
        "kernel": kernel(adapter),
        "kernel for any graph, Dijkstra": general("clamp"),
        "kernel for any graph, any sign": general("allow"),
        "NetworkX, weight function": one_by_one(networkx),
    }


def tree_contenders(nodes: int) -> dict[str, Contender]:
    """Spanning trees of greatest score of a complete graph."""
    graph = nx.complete_graph(nodes)
    adapter = MaxSpanningTreeAdapter(graph)
    edges = np.array(adapter.edges)
    edge_of = np.zeros((nodes, nodes), dtype=np.int64)
    edge_of[edges[:, 0], edges[:, 1]] = edge_of[edges[:, 1], edges[:, 0]] = np.arange(len(edges))
    reused = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))

    def mark(tails: Any, heads: Any) -> NDArray[np.float32]:
        z = np.zeros(len(edges), np.float32)
        z[edge_of[tails, heads]] = 1
        return z

    def scipy_built(theta: Thetas) -> NDArray[np.float32]:
        # Minimal over positive weights: SciPy takes zeros for missing edges.
        matrix = csr_matrix((theta.max() - theta + 1, (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))
        return mark(*minimum_spanning_tree(matrix).nonzero())

    def scipy_reused(theta: Thetas) -> NDArray[np.float32]:
        reused.data = (theta.max() - theta + 1).astype(np.float64)
        return mark(*minimum_spanning_tree(reused).nonzero())

    def networkx(theta: Thetas) -> NDArray[np.float32]:
        for (_, _, attributes), score in zip(graph.edges(data=True), theta.tolist(), strict=True):
            attributes["weight"] = score
        tree = np.array(list(nx.maximum_spanning_edges(graph, data=False)))
        return mark(tree[:, 0], tree[:, 1])

    return {
        "kernel": kernel(adapter),
        "SciPy, matrix built": one_by_one(scipy_built),
        "SciPy, matrix reused": one_by_one(scipy_reused),
        "NetworkX, weights set": one_by_one(networkx),
    }


def arborescence_contenders(nodes: int) -> dict[str, Contender]:
    """Rooted trees of greatest score of a complete graph, whichever node is the root."""
    graph = nx.complete_graph(nodes, nx.DiGraph)
    adapter = MaxArborescenceAdapter(graph)
    edge_of = {edge: place for place, edge in enumerate(adapter.edges)}

    def networkx(theta: Thetas) -> NDArray[np.float32]:
        for (_, _, attributes), score in zip(graph.edges(data=True), theta.tolist(), strict=True):
            attributes["weight"] = score
        z = np.zeros(len(edge_of), np.float32)
        z[[edge_of[edge] for edge in nx.maximum_spanning_arborescence(graph).edges]] = 1
        return z

    return {"kernel": kernel(adapter), "NetworkX, weights set": one_by_one(networkx)}


def assignment_costs(instances: int, side: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Family -> costs; of the last two every search for a path closes most columns."""
    shape = (instances, side, side)
    places, others = rng.random((instances, side, 1, 2)), rng.random((instances, 1, side, 2))
    return {
        "normal": rng.normal(size=shape),
        "uniform": rng.random(shape),
        "integers below 10": rng.integers(0, 10, shape),
        "integers below 1000": rng.integers(0, 1000, shape),
        "distances": np.sqrt(((places - others) ** 2).sum(-1)),
        "products": rng.random((instances, side, 1)) * rng.random((instances, 1, side)),
        "products in order": np.broadcast_to(np.outer(np.arange(1, side + 1), np.arange(1, side + 1)), shape),
    }


def assignment_contenders(side: int) -> dict[str, Contender]:
    """Assignments of least cost of dense squares."""

    def scipy(theta: Thetas) -> NDArray[np.float32]:
        z = np.zeros((side, side), np.float32)
        z[linear_sum_assignment(theta)] = 1
        return z

    return {"kernel": kernel(AssignmentAdapter(side, side)), "SciPy": one_by_one(scipy)}


def compare(problem: str, contenders: dict[str, Contender], thetas: Thetas, rounds: int) -> list[dict[str, Any]]:
    """One row for each contender: its median microseconds an instance, and how many times the kernel's that is."""
    optimum = None
    repeats = {}
    for name, solve in contenders.items():
        solve(thetas)  # warms up
        start = time.perf_counter()
        values = solve(thetas)
        repeats[name] = 1 + int(TURN_SECONDS / (time.perf_counter() - start))
        value = (values * thetas).reshape(len(thetas), -1).sum(axis=1, dtype=np.float64)
        optimum = value if optimum is None else optimum
        if not np.allclose(value, optimum, rtol=1e-5):
            raise SystemExit(f"{problem}: {name} and the kernel disagree by {np.abs(value - optimum).max()}")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, solve in contenders.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                solve(thetas)
            seconds[name].append((time.perf_counter() - start) / repeats[name])
    micros = {name: median(times) / len(thetas) * 1e6 for name, times in seconds.items()}
    return [
        {"problem": problem, "contender": name, "microseconds": each, "times_kernel": each / micros["kernel"]}
        for name, each in micros.items()
    ]


def measure_compilation() -> dict[str, dict[str, float]]:
    """Seconds of each kernel's first solve in a fresh process, without machine code in the cache and with it."""
    seconds = {}
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for run in ("compiled", "from cache"):
            lines = subprocess.run(
                [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True
            ).stdout.splitlines()
            seconds[run] = {name: float(value) for name, value in (line.split(": ") for line in lines)}
    return seconds


def report(rows: list[dict[str, Any]], compile_seconds: dict[str, dict[str, float]]) -> None:
    """Prints the tables."""
    print(f"{'problem':42}{'contender':32}{'us/instance':>12}{'x kernel':>10}")
    for row in rows:
        print(f"{row['problem']:42}{row['contender']:32}{row['microseconds']:12.2f}{row['times_kernel']:10.1f}")
    print(f"\n{'first solve of a process, seconds (the first row has the import of Numba in it)':70}")
    for name, compiled in compile_seconds["compiled"].items():
        print(f"{name:42}compiled {compiled:6.2f}   from cache {compile_seconds['from cache'][name]:6.2f}")


if __name__ == "__main__":
    sys.exit(main())
