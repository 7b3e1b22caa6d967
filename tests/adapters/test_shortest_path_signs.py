"""Costs of any sign: exact on grids to the right and down, and wherever no cycle costs less than zero."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imle_adapters.graphs.shortest_path import ShortestPathAdapter
from imle_solvers import SolveError, SolverLayer
from imle_solvers.status import Status
from tests.adapters.test_shortest_path_optimality import (
    BACKENDS,
    assert_best_of,
    every_path,
    random_graph,
    solve,
    value,
)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("costs", ["vertex", "edge"])
@pytest.mark.parametrize("neighbourhood", [4, 8])
@pytest.mark.parametrize(("height", "width"), [(1, 4), (3, 1), (3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directed_grids_are_exact_for_any_sign(height, width, neighbourhood, costs, backend, dtype):
    adapter = ShortestPathAdapter.grid(height, width, neighbourhood, costs, directed=True, backend=backend)
    steps = {(0, 1), (1, 0)} | ({(1, 1)} if neighbourhood == 8 else set())
    assert {(c - a, d - b) for (a, b), (c, d) in adapter.edges} <= steps
    graph = nx.DiGraph(adapter.edges)
    entries = adapter.edges if costs == "edge" else adapter.nodes
    indicators = every_path(graph, (0, 0), (height - 1, width - 1), entries, of_edges=costs == "edge")
    thetas = np.random.default_rng(0).integers(-9, 9, (20, *adapter.instance_shape)).astype(dtype)
    adapter.check(thetas, {})
    solutions = solve(adapter, thetas)
    assert_best_of(indicators, solutions, thetas)
    assert solutions.counters == {}
    assert adapter.clamped(thetas, {}) is None


@settings(max_examples=40)
@given(st.data(), st.integers(1, 5), st.integers(1, 5), st.sampled_from([4, 8]), st.sampled_from(["vertex", "edge"]))
def test_directed_grids_with_ends_and_masks(data, height, width, neighbourhood, costs):
    if costs == "edge" and height * width == 1:
        height = 2
    fast, slow = (
        ShortestPathAdapter.grid(height, width, neighbourhood, costs, directed=True, backend=backend)
        for backend in ("compiled", "networkx")
    )
    cell = st.integers(0, height * width - 1)
    source, target = data.draw(cell), data.draw(cell)
    thetas = data.draw(hnp.arrays(np.float64, (2, *fast.instance_shape), elements=st.integers(-9, 9)))
    blocked = data.draw(hnp.arrays(bool, (2, height * width), elements=st.integers(0, 9).map(lambda n: n < 2)))
    blocked[:, [source, target]] = False
    mask = {"blocked": blocked.reshape(2, height, width)} if costs == "vertex" else {"blocked_nodes": blocked}
    context = {"source": np.full(2, source), "target": np.full(2, target), **mask}
    ours, theirs = solve(fast, thetas, **context), solve(slow, thetas, **context)
    np.testing.assert_array_equal(ours.statuses, theirs.statuses)
    np.testing.assert_array_equal(value(ours, thetas), value(theirs, thetas))
    assert not ours.values[ours.statuses != Status.OPTIMAL].any()


def test_a_directed_grid_is_the_graph_of_its_edges():
    """Bit for bit: the same kernel, in the same order."""
    grid = ShortestPathAdapter.grid(7, 9, 8, "edge", directed=True)
    graph = ShortestPathAdapter.from_edges(grid.edges, (0, 0), (6, 8), directed=True, nodes=grid.nodes)
    thetas = np.random.default_rng(0).integers(-3, 4, (50, len(grid.edges))).astype(np.float32)
    np.testing.assert_array_equal(solve(grid, thetas).values, solve(graph, thetas).values)


def test_directed_grids_train_without_clamping(recwarn):
    adapter = ShortestPathAdapter.grid(4, 4, directed=True)
    layer = SolverLayer(adapter, num_workers=0, generator=torch.Generator().manual_seed(0))
    theta = torch.randn(8, 4, 4, requires_grad=True)
    layer(theta).mul(torch.randn(8, 4, 4)).sum().backward()
    assert theta.grad.abs().sum() > 0
    assert "clamped costs" not in layer.stats().counters
    assert not recwarn.list


def best_walks(graph, edges, source, target, theta):
    """The least cost by NetworkX, -inf with a negative cycle on a way to the target, inf where there is no way."""
    weighted = nx.MultiDiGraph()
    weighted.add_nodes_from(graph)
    weighted.add_edges_from((u, v, {"weight": cost}) for (u, v, *_), cost in zip(edges, theta.tolist(), strict=True))
    useful = {target} | nx.ancestors(weighted, target)
    if source not in useful:
        return np.inf
    try:
        return nx.single_source_bellman_ford_path_length(weighted.subgraph(useful), source)[target]
    except nx.NetworkXUnbounded:
        return -np.inf


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph])
@settings(max_examples=40)
@given(data=st.data())
def test_negative_costs_are_exact_without_negative_cycles(kind, backend, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    graph = random_graph(kind, rng)
    graph.add_edge(5, 0)
    graph.remove_edges_from([edge for edge in graph.edges if edge[0] == edge[1]])  # a negative one is never used
    adapter = ShortestPathAdapter(graph, 0, 5, negative="allow", backend=backend)
    lowest = data.draw(st.sampled_from([-1, -4]))
    thetas = data.draw(hnp.arrays(np.float64, (3, len(adapter.edges)), elements=st.integers(lowest, 9)))
    context = {"source": rng.integers(0, 6, 3), "target": rng.integers(0, 6, 3)}
    adapter.check(thetas, context)
    solutions = solve(adapter, thetas, **context)
    for row, theta in enumerate(thetas):
        ends = int(context["source"][row]), int(context["target"][row])
        expected = best_walks(graph, adapter.edges, *ends, theta)
        status = Status(solutions.statuses[row])
        assert status is {np.inf: Status.INFEASIBLE, -np.inf: Status.UNBOUNDED}.get(expected, Status.OPTIMAL)
        if status is Status.OPTIMAL:
            known = every_path(graph, *ends, adapter.edges, of_edges=True)
            assert solutions.values[row].tolist() in known.tolist()
            assert solutions.values[row] @ theta == expected
        else:
            assert not solutions.values[row].any()
    assert solutions.counters == {}


@settings(max_examples=30)
@given(st.data())
def test_costs_shifted_by_potentials_have_the_same_paths(data):
    """As flows are re-weighted: every cycle costs what it did, and single costs are below zero."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    graph = nx.DiGraph(nx.grid_2d_graph(5, 6))
    clamp, allow = (ShortestPathAdapter(graph, (0, 0), (4, 5), negative=name) for name in ("clamp", "allow"))
    costs = rng.uniform(0.1, 1, (4, len(clamp.edges)))
    potential = rng.normal(scale=3, size=(4, 30))
    shifted = costs + potential[:, clamp.network.tails] - potential[:, clamp.network.heads]
    assert (shifted < 0).any()
    blocked = rng.random(costs.shape) < 0.1
    one = solve(clamp, costs, blocked_edges=blocked)
    other = solve(allow, shifted, blocked_edges=blocked)
    np.testing.assert_array_equal(one.statuses, other.statuses)
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_cycles_on_a_way_to_the_target_matter(backend):
    graph = nx.DiGraph([(0, 1), (1, 2), (1, 3), (3, 4), (4, 3), (5, 1), (1, 5)])
    adapter = ShortestPathAdapter(graph, 0, 2, negative="allow", backend=backend)
    aside = adapter.theta_of({edge: -1.0 if {3, 4} == set(edge) else 1.0 for edge in graph.edges})
    inside = adapter.theta_of({edge: -1.0 if {1, 5} == set(edge) else 1.0 for edge in graph.edges})
    blocked = np.zeros((3, len(aside)), bool)
    blocked[2] = [edge == (5, 1) for edge in adapter.edges]
    solutions = solve(adapter, np.stack([aside, inside, inside]), blocked_edges=blocked)
    assert [Status(code).name for code in solutions.statuses] == ["OPTIMAL", "UNBOUNDED", "OPTIMAL"]
    np.testing.assert_array_equal(solutions.values.sum(1), [2, 0, 2])


def test_circles_that_rounding_takes_for_free_end():
    """A negative cycle that is too small beside the distances to be noticed: no endless walk along parents."""
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)])
    adapter = ShortestPathAdapter(graph, 0, 4, negative="allow")
    rng = np.random.default_rng(0)
    thetas = np.concatenate([rng.normal(scale=10.0 ** rng.integers(-18, 3, 5), size=(200, 5)) for _ in range(20)])
    thetas[:, 0] = 1e9
    solutions = solve(adapter, thetas)
    assert set(solutions.statuses.tolist()) == {Status.OPTIMAL, Status.UNBOUNDED}
    assert (solutions.values[solutions.statuses == Status.OPTIMAL].sum(1) == 4).all()


def test_a_layer_says_which_instance_has_a_negative_cycle():
    layer = SolverLayer(ShortestPathAdapter(nx.DiGraph([(0, 1), (1, 0)]), 0, 1, negative="allow"), num_workers=0)
    theta = torch.tensor([[1.0, -0.5], [1.0, -2.0]])
    with pytest.raises(SolveError, match="instance 1, sample 0 ended UNBOUNDED"):
        layer.map(theta)


@pytest.mark.parametrize("make", [
    lambda: ShortestPathAdapter(nx.path_graph(3), 0, 2, negative="allow"),
    lambda: ShortestPathAdapter.grid(3, 3, negative="allow"),
])  # fmt: skip
def test_undirected_graphs_cannot_allow_negative_costs(make):
    with pytest.raises(ValueError, match='a directed graph for negative="allow".*to and fro.*directed=True'):
        make()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("costs", ["vertex", "edge"])
def test_clamped_entries_are_those_that_are_counted(costs, backend):
    adapter = ShortestPathAdapter.grid(4, 4, costs=costs, backend=backend)
    rng = np.random.default_rng(0)
    thetas = rng.normal(size=(5, *adapter.instance_shape))
    cells = rng.random((5, 16)) < 0.2
    cells[:, [0, 15]] = False
    for context in ({}, {"blocked": cells.reshape(5, 4, 4)} if costs == "vertex" else {"blocked_nodes": cells}):
        entries = adapter.clamped(thetas, context)
        assert entries.shape == thetas.shape
        assert solve(adapter, thetas, **context).counters == {"clamped costs": entries.sum()}
        assert not entries[thetas >= 0].any()
