"""Spanning trees are optimal: against every tree there is, and a second solver."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from imle_adapters.graphs.spanning_tree import MaxSpanningTreeAdapter
from imle_solvers.status import Status


def solve(adapter, thetas, backend=None):
    solutions = adapter.solve_batch(adapter.build(), thetas, {})
    assert (solutions.statuses == Status.OPTIMAL).all()
    return solutions.values


def every_tree(graph, edges, size):
    """(trees, E) the indicators of all spanning forests of that many edges, by enumeration."""
    trees = []
    for chosen in itertools.combinations(range(len(edges)), size):
        forest = nx.MultiGraph([edges[edge][:2] for edge in chosen])
        forest.add_nodes_from(graph)
        if nx.is_forest(forest):
            trees.append(np.isin(np.arange(len(edges)), chosen))
    return np.array(trees, dtype=float)


def greedy(adapter, theta):
    """Kruskal's algorithm, equal scores in the order of edges: the tree that the adapter promises."""
    part = {node: {node} for node in adapter.nodes}
    z = np.zeros(len(theta), dtype=theta.dtype)
    for edge in np.argsort(-theta, kind="stable"):
        one, other = (part[node] for node in adapter.edges[edge][:2])
        if one is not other:
            z[edge] = 1
            one |= other
            part.update(dict.fromkeys(other, one))
    return z


def check_every_tree(graph, batch, backend, dtype):
    adapter = MaxSpanningTreeAdapter(graph, forest=True, backend=backend)
    trees = every_tree(graph, adapter.edges, int(adapter.num_ones))
    thetas = np.random.default_rng(0).integers(-3, 4, (batch, len(adapter.edges))).astype(dtype)
    values = solve(adapter, thetas)
    known = {tuple(tree) for tree in trees}
    assert all(tuple(z) in known for z in values)
    np.testing.assert_array_equal((values * thetas).sum(axis=1), (thetas @ trees.T).max(axis=1))


# Dense graphs of float32 have a kernel of their own.
CASES = [("compiled", np.float32), ("compiled", np.float64), ("networkx", np.float64)]


@pytest.mark.parametrize(("backend", "dtype"), CASES)
def test_every_graph_of_up_to_five_nodes(backend, dtype):
    for graph in nx.graph_atlas_g():
        if len(graph) <= 5 and graph.number_of_edges():
            check_every_tree(graph, 40 if backend == "compiled" else 5, backend, dtype)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
def test_self_loops_and_several_components_of_a_dense_graph(backend, dtype):
    graph = nx.disjoint_union_all([nx.complete_graph(4), nx.complete_graph(1), nx.complete_graph(3)])
    graph.add_edges_from([(1, 1), (4, 4)])
    check_every_tree(graph, 60, backend, dtype)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
def test_parallel_edges_self_loops_and_several_components(backend, dtype):
    graph = nx.MultiGraph([(0, 1), (0, 1), (1, 1), (1, 2), (2, 0), (3, 4), (4, 3), (4, 5), (6, 6)])
    graph.add_node(7)
    assert MaxSpanningTreeAdapter(graph, forest=True).num_ones == 4
    check_every_tree(graph, 60, backend, dtype)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data(), st.integers(2, 12), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_equal_scores_rank_by_the_order_of_edges(data, nodes, seed, dtype):
    graph = nx.gnp_random_graph(nodes, 0.5, seed=seed)
    graph.add_edge(0, 1)
    adapter = MaxSpanningTreeAdapter(graph, forest=True)
    elements = st.one_of(st.sampled_from([-1.0, -0.0, 0.0, 1.0]), st.floats(-8, 8, width=np.dtype(dtype).itemsize * 8))
    thetas = data.draw(hnp.arrays(dtype, (3, len(adapter.edges)), elements=elements))
    np.testing.assert_array_equal(solve(adapter, thetas), [greedy(adapter, theta) for theta in thetas])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "graph",
    [nx.complete_graph(30), nx.grid_2d_graph(20, 20), nx.path_graph(600), nx.star_graph(600), nx.wheel_graph(300)],
    ids=["complete", "grid", "path", "star", "wheel"],
)
def test_large_graphs_agree_with_second_solvers(graph, dtype):
    fast, slow = (MaxSpanningTreeAdapter(graph, backend=backend) for backend in ("compiled", "networkx"))
    edges, nodes = len(fast.edges), len(fast.nodes)
    rng = np.random.default_rng(0)
    thetas = np.stack([rng.normal(size=edges), rng.permutation(edges), np.arange(edges), -np.arange(edges)])
    thetas = thetas.astype(dtype)
    values = solve(fast, thetas)
    np.testing.assert_array_equal(values, solve(slow, thetas))
    np.testing.assert_array_equal(values.sum(axis=1), nodes - 1)
    for theta, z in zip(thetas, values, strict=True):
        shifted = theta.max() + 1 - theta.astype(float)  # SciPy minimises, and takes zeros for missing edges
        ends = (fast.network.tails.astype(np.int32), fast.network.heads.astype(np.int32))
        tree = minimum_spanning_tree(coo_array((shifted, ends), shape=(nodes, nodes)).tocsr())
        assert (shifted * z).sum() == pytest.approx(tree.sum(), rel=1e-12)


@pytest.mark.parametrize(("backend", "dtype"), CASES)
@given(data=st.data())
@settings(max_examples=40)
def test_masks_leave_out_nodes_and_edges(backend, dtype, data):
    """As a graph without them, whose edges rank the same."""
    nodes = data.draw(st.integers(2, 7))
    graph = nx.complete_graph(nodes)
    adapter = MaxSpanningTreeAdapter(graph, forest=True, backend=backend)
    edges = adapter.edges
    theta = data.draw(hnp.arrays(dtype, (3, len(edges)), elements=st.integers(-3, 3)))
    absent = data.draw(hnp.arrays(bool, (3, nodes)))
    absent[:, data.draw(st.integers(0, nodes - 1))] = False
    blocked = data.draw(hnp.arrays(bool, (3, len(edges)), elements=st.sampled_from([False, False, True])))
    solutions = adapter.solve_batch(adapter.build(), theta, {"blocked_nodes": absent, "blocked_edges": blocked})
    for row, z in enumerate(solutions.values):
        left = [
            place
            for place, (one, other) in enumerate(edges)
            if not (absent[row, one] or absent[row, other] or blocked[row, place])
        ]
        expected = np.zeros(len(edges))
        part = {node: {node} for node in range(nodes)}
        for place in sorted(left, key=lambda place: -theta[row, place]):
            one, other = (part[node] for node in edges[place])
            if one is not other:
                expected[place] = 1
                one |= other
                part.update(dict.fromkeys(other, one))
        if backend == "compiled":
            np.testing.assert_array_equal(z, expected)
        assert (z * theta[row]).sum() == (expected * theta[row]).sum()
        assert z.sum() == expected.sum()
        assert not z[np.setdiff1d(np.arange(len(edges)), left)].any()
