"""Rooted trees are optimal: against every tree there is, and a second solver."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imle_adapters import MaxArborescenceAdapter
from imle_solvers.status import Status


def solve(adapter, thetas, **context):
    return adapter.solve_batch(adapter.build(), thetas, context)


def every_tree(edges, nodes, root=None):
    """(trees, E) the indicators of all arborescences on these nodes, by enumeration of each node's parent."""
    trees = []
    for top in nodes if root is None else [root]:
        entering = [[e for e, (u, v) in enumerate(edges) if v == node and u in nodes] for node in nodes if node != top]
        for chosen in itertools.product(*entering):
            parent = {edges[e][1]: edges[e][0] for e in chosen}
            if all(leads_to(top, node, parent) for node in nodes):
                trees.append(np.isin(np.arange(len(edges)), chosen))
    return np.array(trees, dtype=float).reshape(-1, len(edges))


def leads_to(top, node, parent):
    for _ in range(len(parent) + 1):
        if node == top:
            return True
        node = parent[node]
    return False


GRAPHS = {
    "two nodes": nx.complete_graph(2, nx.DiGraph),
    "complete": nx.complete_graph(4, nx.DiGraph),
    "cycle": nx.cycle_graph(5, nx.DiGraph),
    "cycles at both ends of a bridge": nx.DiGraph([(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 2), (0, 4)]),
    "acyclic": nx.DiGraph([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 4)]),
    "parallel edges and self-loops": nx.MultiDiGraph([(0, 1), (0, 1), (1, 1), (1, 0), (1, 2), (1, 2), (2, 0)]),
}


@pytest.mark.parametrize("backend", ["compiled", "networkx"])
@pytest.mark.parametrize("rooted", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_small_graphs(name, rooted, backend):
    graph = GRAPHS[name]
    adapter = MaxArborescenceAdapter(graph, 0 if rooted else None, backend=backend)
    trees = every_tree([edge[:2] for edge in adapter.edges], list(graph), 0 if rooted else None)
    batch = 300 if backend == "compiled" else 20
    thetas = np.random.default_rng(0).integers(-3, 4, (batch, len(adapter.edges))).astype(float)
    solutions = solve(adapter, thetas)
    assert (solutions.statuses == Status.OPTIMAL).all()
    known = {tuple(tree) for tree in trees}
    assert all(tuple(z) in known for z in solutions.values)
    np.testing.assert_array_equal((solutions.values * thetas).sum(axis=1), (thetas @ trees.T).max(axis=1))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_any_context(data):
    """The best of all trees that the root, the nodes and the edges of an instance leave; or there is none."""
    size = data.draw(st.integers(2, 5))
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    star = [(0, node) for node in range(1, size)]  # so that the graph has a tree
    edges = star + data.draw(st.lists(pairs.filter(lambda pair: pair not in star), max_size=10, unique=True))
    adapter = MaxArborescenceAdapter.from_edges(edges, nodes=range(size))
    scores = st.one_of(st.integers(-2, 2).map(float), st.floats(-8, 8, width=32, allow_subnormal=False))
    thetas = data.draw(hnp.arrays(np.float64, (3, len(edges)), elements=scores))
    absent = data.draw(hnp.arrays(bool, (3, size)).filter(lambda mask: not mask.all(axis=1).any()))
    blocked = data.draw(hnp.arrays(bool, (3, len(edges)), elements=st.sampled_from([False, False, False, True])))
    context = {"blocked_nodes": absent, "blocked_edges": blocked}
    roots = [None] * 3
    if data.draw(st.booleans()):
        roots = [data.draw(st.sampled_from(np.flatnonzero(~row).tolist())) for row in absent]
        context["root"] = np.array(roots)
    solutions = solve(adapter, thetas, **context)
    for row, root in enumerate(roots):
        trees = every_tree(edges, np.flatnonzero(~absent[row]).tolist(), root)
        trees = trees[~(trees.astype(bool) & blocked[row]).any(axis=1)]
        z = solutions.values[row]
        if len(trees):
            assert solutions.statuses[row] == Status.OPTIMAL
            assert tuple(z) in {tuple(tree) for tree in trees}
            assert thetas[row] @ z == pytest.approx((trees @ thetas[row]).max(), abs=1e-12)
        else:
            assert solutions.statuses[row] == Status.INFEASIBLE
            assert not z.any()


def sparse(nodes):
    rng = np.random.default_rng(1)
    graph = nx.DiGraph(zip(range(nodes), np.roll(range(nodes), 1).tolist(), strict=True))
    graph.add_edges_from(rng.integers(0, nodes, (2 * nodes, 2)).tolist())
    return graph


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "graph",
    [
        nx.complete_graph(20, nx.DiGraph),
        nx.grid_2d_graph(8, 8).to_directed(),
        nx.path_graph(60).to_directed(),
        nx.star_graph(60).to_directed(),
        sparse(100),
    ],
    ids=["complete", "grid", "path", "star", "sparse"],
)
def test_large_graphs_agree_with_a_second_solver(graph, dtype):
    fast, slow = (MaxArborescenceAdapter(graph, backend=backend) for backend in ("compiled", "networkx"))
    edges = len(fast.edges)
    rng = np.random.default_rng(0)
    thetas = np.stack([rng.normal(size=edges), rng.permutation(edges), np.arange(edges), -np.arange(edges)])
    thetas = thetas.astype(dtype)
    roots = np.array([0, 1, len(graph) - 1, 0])
    for context in ({}, {"root": roots}):
        values, others = solve(fast, thetas, **context).values, solve(slow, thetas, **context).values
        assert values.dtype == dtype
        for theta, z, other in zip(thetas, values, others, strict=True):
            tree = nx.DiGraph(edge for edge, on in zip(fast.edges, z, strict=True) if on)
            assert nx.is_arborescence(tree)
            assert len(tree) == len(graph)
            assert theta.astype(float) @ z == pytest.approx(theta.astype(float) @ other, rel=1e-9)


def test_a_nest_of_cycles_is_taken_apart():
    """Each contraction holds all before it; only the outermost edge, at the very inside, is worth its loss."""
    nodes = 400
    edges = [(node, node + 1) for node in range(nodes - 1)] + [(node + 1, node) for node in range(nodes - 1)]
    adapter = MaxArborescenceAdapter.from_edges(edges)
    weights = np.arange(nodes - 1, 0, -1.0)
    for theta in (np.concatenate([weights, weights]), np.concatenate([weights, weights + 0.5])):
        solution = solve(adapter, theta[None]).values[0]
        # A tree on a path is a root; edges lead away from it to both sides.
        best = max(theta[root : nodes - 1].sum() + theta[nodes - 1 :][:root].sum() for root in range(nodes))
        assert theta @ solution == best


def test_a_shift_of_all_scores_that_enter_a_node_keeps_the_tree():
    adapter = MaxArborescenceAdapter(nx.complete_graph(9, nx.DiGraph), 0)
    rng = np.random.default_rng(0)
    thetas = rng.integers(-50, 50, (40, 72)).astype(float)
    shifted = thetas + rng.integers(-99, 99, (40, 9))[:, adapter.network.heads]
    values, others = solve(adapter, thetas).values, solve(adapter, shifted).values
    np.testing.assert_array_equal((values * thetas).sum(axis=1), (others * thetas).sum(axis=1))


def test_largest_scores_do_not_overflow():
    edges = [(node, node + 1) for node in range(9)] + [(9, 0)]
    adapter = MaxArborescenceAdapter.from_edges(edges)
    large = np.finfo(np.float64).max / 10 * 0.999
    thetas = np.full((2, 10), large)
    thetas[0, 4], thetas[1, 1::2] = -large, -large
    values = solve(adapter, thetas).values
    np.testing.assert_array_equal(values[0], np.arange(10) != 4)
    assert values[1].sum() == 9
    assert values[1, 1::2].sum() == 4
