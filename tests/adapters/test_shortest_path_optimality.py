"""Shortest paths are optimal: against every path there is, a second solver, and published answers."""

from __future__ import annotations

import itertools
import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from imle_adapters.graphs.network import Network
from imle_adapters.graphs.shortest_path import ShortestPathAdapter
from imle_solvers.status import Status

BACKENDS = ["compiled", "networkx", "scipy"]


def solve(adapter, thetas, **context):
    return adapter.solve_batch(adapter.build(), np.ascontiguousarray(thetas), context)


def value(solutions, costs):
    return (solutions.values * costs).reshape(len(costs), -1).sum(axis=1)


def every_path(graph, source, target, entries, of_edges):
    """(paths, entries) the indicators of all simple paths, by enumeration."""
    index = {entry: position for position, entry in enumerate(entries)}
    undirected = not graph.is_directed()
    if of_edges and undirected:
        index |= {(edge[1], edge[0], *edge[2:]): position for edge, position in index.items()}
    if source == target:
        paths = [[] if of_edges else [source]]
    elif of_edges:
        paths = list(nx.all_simple_edge_paths(graph, source, target))
    else:
        paths = list(nx.all_simple_paths(graph, source, target))
    indicators = np.zeros((len(paths), len(entries)))
    for row, path in enumerate(paths):
        indicators[row, [index[entry] for entry in path]] = 1
    return indicators


def assert_best_of(indicators, solutions, costs):
    """Each solution is one of the paths, and none of them costs less."""
    costs = costs.reshape(len(costs), -1)
    values = solutions.values.reshape(len(costs), -1)
    assert (solutions.statuses == Status.OPTIMAL).all()
    known = {tuple(path) for path in indicators}
    assert all(tuple(z) in known for z in values.astype(float))
    np.testing.assert_array_equal((values * costs).sum(axis=1), (costs @ indicators.T).min(axis=1))


def grid_graph(adapter):
    graph = nx.Graph(adapter.edges)
    graph.add_nodes_from(adapter.nodes)
    return graph


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("neighbourhood", [4, 8])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (2, 3), (3, 3)])
def test_every_grid_of_zeros_ones_and_negatives(height, width, neighbourhood, backend):
    adapter = ShortestPathAdapter.grid(height, width, neighbourhood, backend=backend)
    graph = grid_graph(adapter)
    cells = height * width
    thetas = np.array(list(itertools.product([0.0, 1.0], repeat=cells)))
    if backend != "compiled":
        thetas = thetas[:: 1 + len(thetas) // 20]
    thetas = np.concatenate([thetas, np.random.default_rng(0).integers(-2, 4, (20, cells))]).reshape(-1, height, width)
    indicators = every_path(graph, (0, 0), (height - 1, width - 1), adapter.nodes, of_edges=False)
    assert_best_of(indicators, solve(adapter, thetas), thetas.clip(min=0))


@pytest.mark.slow
@pytest.mark.parametrize("neighbourhood", [4, 8])
def test_grids_between_any_two_cells(neighbourhood):
    adapter = ShortestPathAdapter.grid(3, 4, neighbourhood)
    graph = grid_graph(adapter)
    thetas = np.random.default_rng(0).integers(0, 3, (30, 3, 4)).astype(np.float32)
    for source, target in itertools.product((0, 5, 7), range(12)):
        ends = {"source": np.full(30, source), "target": np.full(30, target)}
        indicators = every_path(graph, adapter.nodes[source], adapter.nodes[target], adapter.nodes, of_edges=False)
        assert_best_of(indicators, solve(adapter, thetas, **ends), thetas)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_connected_graph_of_up_to_five_nodes(backend):
    rng = np.random.default_rng(0)
    for graph in nx.graph_atlas_g():
        if not 2 <= len(graph) <= 5 or not nx.is_connected(graph):
            continue
        adapter = ShortestPathAdapter(graph, 0, len(graph) - 1, backend=backend)
        thetas = rng.integers(-1, 4, (40 if backend == "compiled" else 4, len(adapter.edges))).astype(float)
        indicators = every_path(graph, 0, len(graph) - 1, adapter.edges, of_edges=True)
        assert_best_of(indicators, solve(adapter, thetas), thetas.clip(min=0))


def random_graph(kind, rng, acyclic=False):
    """Six nodes, a path through all of them, and chance edges: parallel ones, self-loops, cycles."""
    graph = kind()
    graph.add_nodes_from(range(6))
    graph.add_edges_from((i, i + 1) for i in range(5))
    pairs = rng.integers(0, 6, (9, 2))
    graph.add_edges_from(map(tuple, (np.sort(pairs)[pairs[:, 0] != pairs[:, 1]] if acyclic else pairs).tolist()))
    return graph


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_graphs_with_directions_parallel_edges_and_self_loops(kind, backend):
    rng = np.random.default_rng(0)
    for _ in range(10):
        graph = random_graph(kind, rng)
        graph.add_edges_from([(5, 0), (3, 3)])  # a cycle, so that costs below zero are clamped
        adapter = ShortestPathAdapter(graph, 0, 5, backend=backend)
        thetas = rng.integers(-1, 5, (20, len(adapter.edges))).astype(np.float32)
        solutions = solve(adapter, thetas)
        assert_best_of(every_path(graph, 0, 5, adapter.edges, of_edges=True), solutions, thetas.clip(min=0))
        loops = [position for position, edge in enumerate(adapter.edges) if edge[0] == edge[1]]
        assert not solutions.values[:, loops].any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph])
def test_negative_costs_are_exact_on_acyclic_graphs(kind, backend):
    rng = np.random.default_rng(0)
    for _ in range(10):
        graph = random_graph(kind, rng, acyclic=True)
        adapter = ShortestPathAdapter(graph, 0, 5, backend=backend, negative="raise")
        thetas = rng.integers(-5, 5, (20, len(adapter.edges))).astype(float)
        adapter.check(thetas, {})
        solutions = solve(adapter, thetas)
        assert_best_of(every_path(graph, 0, 5, adapter.edges, of_edges=True), solutions, thetas)
        assert solutions.counters == {}


def test_acyclic_graphs_with_ends_and_masks_of_each_instance():
    rng = np.random.default_rng(0)
    graph = random_graph(nx.MultiDiGraph, rng, acyclic=True)
    fast, slow = (ShortestPathAdapter(graph, 0, 5, backend=backend) for backend in ("compiled", "networkx"))
    thetas = rng.normal(size=(200, len(fast.edges)))
    context = {
        "source": rng.integers(0, 6, 200),
        "target": rng.integers(0, 6, 200),
        "blocked_edges": rng.random(thetas.shape) < 0.2,
    }
    ours, theirs = solve(fast, thetas, **context), solve(slow, thetas, **context)
    np.testing.assert_array_equal(ours.statuses, theirs.statuses)
    np.testing.assert_allclose(value(ours, thetas), value(theirs, thetas), rtol=1e-12)
    assert 0 < (ours.statuses == Status.INFEASIBLE).sum() < 200
    assert not (ours.values.astype(bool) & context["blocked_edges"]).any()


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.data(),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from([4, 8]),
    st.sampled_from(["vertex", "edge"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_grids_agree_with_a_second_solver(data, height, width, neighbourhood, costs, dtype):
    if costs == "edge" and height * width == 1:
        height = 2
    fast = ShortestPathAdapter.grid(height, width, neighbourhood, costs)
    slow = ShortestPathAdapter.grid(height, width, neighbourhood, costs, backend="scipy")
    cell = st.integers(0, height * width - 1)
    source, target = data.draw(cell), data.draw(cell)
    elements = st.one_of(
        st.sampled_from([0.0, 1.0, 1e-30, 1e9, -1.0]), st.floats(-4, 1024, width=np.dtype(dtype).itemsize * 8)
    )
    thetas = data.draw(hnp.arrays(dtype, (2, *fast.instance_shape), elements=elements))
    blocked = data.draw(hnp.arrays(bool, (2, height * width), elements=st.integers(0, 9).map(lambda n: n < 2)))
    blocked[:, [source, target]] = False
    mask = {"blocked": blocked.reshape(2, height, width)} if costs == "vertex" else {"blocked_nodes": blocked}
    context = {"source": np.full(2, source), "target": np.full(2, target), **mask}
    ours, theirs = solve(fast, thetas, **context), solve(slow, thetas, **context)
    np.testing.assert_array_equal(ours.statuses, theirs.statuses)
    assert ours.counters == theirs.counters
    clamped = thetas.astype(float).clip(min=0)
    np.testing.assert_allclose(value(ours, clamped), value(theirs, clamped), rtol=1e-12)


@pytest.mark.parametrize("costs", ["vertex", "edge"])
@pytest.mark.parametrize("spread", ["even", "with walls", "over magnitudes", "equal", "tiny"])
def test_large_grids_agree_with_a_second_solver(costs, spread):
    fast = ShortestPathAdapter.grid(40, 55, costs=costs)
    rng = np.random.default_rng(0)
    shape = (3, *fast.instance_shape)
    thetas = {
        "even": rng.uniform(0, 10, shape),
        "with walls": np.where(rng.random(shape) < 0.3, 1e9, rng.uniform(1, 2, shape)),
        "over magnitudes": 10 ** rng.uniform(-8, 8, shape),
        "equal": np.ones(shape),
        "tiny": rng.integers(0, 1000, shape) * 5e-324,
    }[spread]
    slow = ShortestPathAdapter.grid(40, 55, costs=costs, backend="scipy")
    np.testing.assert_allclose(value(solve(fast, thetas), thetas), value(solve(slow, thetas), thetas), rtol=1e-12)


def test_edges_of_a_solution_make_one_path():
    adapter = ShortestPathAdapter.grid(15, 15, costs="edge")
    thetas = np.random.default_rng(0).normal(0.5, 1, (20, len(adapter.edges)))  # many are clamped to zero
    for z in solve(adapter, thetas).values.astype(bool):
        path = nx.Graph([edge for edge, used in zip(adapter.edges, z, strict=True) if used])
        degrees = dict(path.degree)
        assert nx.is_connected(path)
        assert degrees.pop((0, 0)) == degrees.pop((14, 14)) == 1
        assert set(degrees.values()) == {2}


def test_published_warcraft_map(data_folder):
    golden = json.loads((data_folder / "warcraft" / "golden.json").read_text())
    one = golden["train_0"]
    costs = np.array([[golden["classes"][int(code)] for code in row] for row in one["grid"]])
    published = np.array([[int(code) for code in row] for row in one["path"]])
    adapter = ShortestPathAdapter.grid(12, 12)
    for weights, cost in ((costs, one["cost"]), (costs.astype(np.float16).astype(np.float32), one["cost_float16"])):
        optimum = value(solve(adapter, weights[None]), weights[None])[0]
        assert optimum == pytest.approx(cost, abs=1e-3)
        assert optimum == pytest.approx((published * weights).sum(), rel=1e-6)
    assert one["cost"] == 27.0


def test_reference_implementation(reference):
    """Costs are -scores of theta + noise; all of them are positive, so that no policy for negative ones has a say."""
    adapter = ShortestPathAdapter.grid(6, 6, negative="raise")
    cases = [case for case in reference.values() if case["problem"] == "grid" and case["estimator"] == "imle"]
    assert len(cases) == 12
    for case in cases:
        scores = case["theta"][:, None] + case["input_noise_temperature"] * case["noise"]
        solutions = solve(adapter, -scores.numpy().reshape(-1, 6, 6))
        np.testing.assert_array_equal(solutions.values.reshape(case["z"].shape), case["z"].numpy())


def road_network(path):
    """The directed links of a TNTP file with their free flow times, and the first node that is no mere zone."""
    lines = path.read_text().splitlines()
    first_through = next(int(line.split(">")[1]) for line in lines if line.startswith("<FIRST THRU NODE>"))
    links = [line.split() for line in lines if line.strip() and line.strip()[0].isdigit()]
    return {(int(link[0]), int(link[1])): float(link[4]) for link in links}, first_through


@pytest.mark.parametrize(("name", "nodes", "links"), [("SiouxFalls", 24, 76), ("Anaheim", 416, 914)])
def test_road_networks(data_folder, name, nodes, links):
    times, first_through = road_network(data_folder / "roads_tntp" / f"{name}_net.tntp")
    graph = nx.DiGraph()
    graph.add_weighted_edges_from((tail, head, time) for (tail, head), time in times.items())
    adapter = ShortestPathAdapter(graph, 1, 2)
    assert (len(adapter.nodes), len(adapter.edges)) == (nodes, links)
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, nodes, (300, 2))
    theta = np.array([times[edge] for edge in adapter.edges])
    # Nobody drives through a zone: those that are not an end of the trip are blocked.
    zones = np.array(adapter.nodes) < first_through
    blocked = np.tile(zones, (len(pairs), 1))
    blocked[np.arange(len(pairs))[:, None], pairs] = False
    thetas = np.tile(theta, (len(pairs), 1))
    ends = {"source": pairs[:, 0], "target": pairs[:, 1]}

    ours = value(solve(adapter, thetas, **ends), thetas)
    rows, columns = adapter.network.tails.astype(np.int32), adapter.network.heads.astype(np.int32)
    distances = dijkstra(csr_array((theta, (rows, columns)), shape=(nodes, nodes)))
    np.testing.assert_allclose(ours, distances[pairs[:, 0], pairs[:, 1]], rtol=1e-12)

    solutions = solve(adapter, thetas, **ends, blocked_nodes=blocked)
    ours = np.where(solutions.statuses == Status.OPTIMAL, value(solutions, thetas), np.inf)
    for (source, target), shut, cost in zip(pairs[:60], blocked, ours, strict=False):
        roads = graph.subgraph(node for node, closed in zip(adapter.nodes, shut, strict=True) if not closed)
        lengths = nx.single_source_dijkstra_path_length(roads, adapter.nodes[source])
        assert cost == pytest.approx(lengths.get(adapter.nodes[target], np.inf), rel=1e-12)


def test_default_noise_follows_the_length_of_paths():
    assert ShortestPathAdapter.grid(12, 9).num_ones == pytest.approx(1.3 * 12)
    assert ShortestPathAdapter(nx.cycle_graph(10), 0, 4).num_ones == pytest.approx(1.3 * 4)
    assert ShortestPathAdapter(nx.path_graph(3), 1, 1).num_ones == 1.0


@pytest.mark.parametrize(("neighbourhood", "edges"), [(4, 2 * 12 - 7), (8, 2 * 12 - 7 + 2 * 6)])
def test_grid_edges_join_neighbours_once(neighbourhood, edges):
    network = Network.grid(3, 4, neighbourhood)
    assert len(network.edges) == edges == len({frozenset(edge) for edge in network.edges})
    steps = [abs(a - c) + abs(b - d) for (a, b), (c, d) in network.edges]
    assert set(steps) == ({1} if neighbourhood == 4 else {1, 2})
    assert [(network.nodes[u], network.nodes[v]) for u, v in zip(network.tails, network.heads, strict=True)] == (
        network.edges
    )
