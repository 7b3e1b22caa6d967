"""Theta is in the order of edges that the user names, and another order is noticed."""

from __future__ import annotations

import itertools
import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imle_adapters import MaxSpanningTreeAdapter, ShortestPathAdapter
from imle_solvers import SolverLayer


def solve(adapter, theta):
    return adapter.solve_batch(adapter.build(), np.asarray(theta)[None], {}).values[0]


def paths(graph, **options):
    return ShortestPathAdapter(graph, 0, max(graph), **options)


KINDS = [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_solutions_follow_the_order(kind, data):
    """The same edges are chosen, whatever the order, and whichever end of an undirected edge is named first."""
    graph = kind(nx.gnp_random_graph(5, 0.6, seed=1))
    nx.add_path(graph, range(5))
    make = MaxSpanningTreeAdapter if kind is nx.MultiGraph else paths
    plain = make(graph)
    order = data.draw(st.permutations(plain.edges))
    if not graph.is_directed():
        turned = data.draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
        order = [(e[1], e[0], *e[2:]) if turn else e for e, turn in zip(order, turned, strict=True)]
    ordered = make(graph, edge_order=order)
    assert ordered.edges == order
    costs = np.random.default_rng(0).permutation(len(order)) + 1.0
    by_edge = dict(zip(plain.edges, costs.tolist(), strict=True))
    theta = ordered.theta_of(by_edge)
    np.testing.assert_array_equal(plain.theta_of(dict(zip(order, theta, strict=True))), costs)
    one = np.array(plain.edges, dtype=object)[solve(plain, costs).astype(bool)]
    other = np.array(order, dtype=object)[solve(ordered, theta).astype(bool)]
    assert {frozenset(edge[:2]) for edge in one} == {frozenset(edge[:2]) for edge in other}


@pytest.mark.parametrize("directed", [True, False])
def test_edges_without_a_graph(directed):
    edges = [("b", "c"), ("a", "b"), ("a", "c")]
    adapter = ShortestPathAdapter.from_edges(edges, "a", "c", directed=directed)
    assert (adapter.edges, adapter.nodes) == (edges, ["b", "c", "a"])
    np.testing.assert_array_equal(solve(adapter, [1.0, 1, 3]), [1, 1, 0])
    np.testing.assert_array_equal(solve(adapter, [1.0, 1, 1]), [0, 0, 1])
    assert (adapter.order is not None) == directed
    tree = MaxSpanningTreeAdapter.from_edges(edges)
    assert tree.edges == edges
    np.testing.assert_array_equal(solve(tree, [1.0, 3, 2]), [0, 1, 1])


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["array", "tensor"])
def test_edges_of_arrays(make):
    edges = make([[0, 1], [1, 2]])
    assert ShortestPathAdapter.from_edges(edges, 0, 2, directed=True).edges == [(0, 1), (1, 2)]


def test_nodes_without_edges_and_parallel_edges():
    edges = [(0, 1, "slow"), (0, 1, "fast")]
    adapter = ShortestPathAdapter.from_edges(edges, 0, 1, directed=True, nodes=[2, 1, 0])
    assert (adapter.nodes, adapter.edges) == ([2, 1, 0], edges)
    np.testing.assert_array_equal(solve(adapter, [2.0, 1.0]), [0, 1])
    forest = MaxSpanningTreeAdapter.from_edges(edges, nodes=range(3), forest=True)
    assert forest.num_ones == 1


def test_an_adapter_of_edges_is_that_of_their_graph():
    graph = nx.DiGraph([(0, 1), (1, 0), (1, 2), (0, 2)])
    one = ShortestPathAdapter(graph, 0, 2)
    other = ShortestPathAdapter.from_edges(list(graph.edges), 0, 2, directed=True)
    theta = torch.rand(20, 4)
    assert repr(one) == repr(other)
    assert torch.equal(SolverLayer(one, num_workers=0).map(theta), SolverLayer(other, num_workers=0).map(theta))
    assert pickle.loads(pickle.dumps(other)).edges == one.edges


def test_grids_in_the_order_of_rows_then_columns():
    """As PyEPO numbers them: of each row its steps to the right, then those down."""
    right = [[((r, c), (r, c + 1)) for c in range(3)] for r in range(3)]
    down = [[((r, c), (r + 1, c)) for c in range(4)] for r in range(2)] + [[]]
    order = [edge for pair in zip(right, down, strict=True) for edge in itertools.chain(*pair)]
    plain = ShortestPathAdapter.grid(3, 4, 4, "edge", directed=True)
    ordered = ShortestPathAdapter.grid(3, 4, 4, "edge", directed=True, edge_order=order)
    theta = torch.rand(30, 17, dtype=torch.float64)
    permutation = torch.tensor([plain.edges.index(edge) for edge in order])
    z = SolverLayer(plain, num_workers=0).map(theta)
    assert torch.equal(SolverLayer(ordered, num_workers=0).map(theta[:, permutation]), z[:, permutation])


PATH = nx.path_graph(3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: paths(PATH, edge_order=[(0, 1), (2, 3)]), ValueError, r"got \(2, 3\); its first edge is \(0, 1\)"),
        (
            lambda: paths(PATH, edge_order=[(0, 1)]),
            ValueError,
            r"graph's 2 edges once, got 1 edges, with \(1, 2\) miss",
        ),
        (lambda: paths(PATH, edge_order=[(0, 1), (1, 0), (1, 2)]), ValueError, r"3 edges, with \(0, 1\) there twice"),
        (
            lambda: paths(PATH, edge_order=[(0, 1, 0), (1, 2, 0)]),
            ValueError,
            r"\(0, 1, 0\); its edges are written like",
        ),
        (lambda: paths(PATH, edge_order=[]), ValueError, "edge_order: expected at least one edge"),
        (lambda: paths(PATH, edge_order=3), TypeError, r"edge_order: expected a list of edges \(u, v\), got 3"),
        (lambda: paths(PATH, edge_order=["ab", "bc"]), TypeError, "got 'ab' at 0"),
        (
            lambda: paths(nx.DiGraph([(0, 1), (1, 2)]), edge_order=[(0, 1), (2, 1)]),
            ValueError,
            r"got \(2, 1\); the graph is directed, and has that edge the other way round only",
        ),
        (lambda: paths(nx.MultiGraph(PATH), edge_order=[(0, 1), (1, 2)]), ValueError, r"written like \(0, 1, 0\)"),
        (
            lambda: ShortestPathAdapter.grid(2, 2, edge_order=[((0, 0), (0, 1))]),
            ValueError,
            'expected costs="edge", got costs of cells',
        ),
        (
            lambda: ShortestPathAdapter.from_edges([(0, 1), (1, 0)], 0, 1, directed=False),
            ValueError,
            r"edge once, got \(0, 1\) at 0 and \(1, 0\) at 1; give parallel edges keys.*the two ways differ in cost",
        ),
        (lambda: MaxSpanningTreeAdapter.from_edges([(0, 1), (0, 1)]), ValueError, "got .0, 1. at 0 and .0, 1. at 1"),
        (lambda: MaxSpanningTreeAdapter.from_edges([(0, 1), (0, 1, 2)]), TypeError, "either .u, v. for all edges or"),
        (lambda: MaxSpanningTreeAdapter.from_edges([]), ValueError, "edges: expected at least one edge"),
        (lambda: MaxSpanningTreeAdapter.from_edges("ab"), TypeError, "expected a list of edges"),
        (
            lambda: MaxSpanningTreeAdapter.from_edges([([0], [1])]),
            TypeError,
            r"hashable, got the edge .*make its nodes",
        ),
        (lambda: MaxSpanningTreeAdapter.from_edges([(0, 1)], nodes=[0]), ValueError, "among the 1 nodes, got 1 in"),
        (lambda: MaxSpanningTreeAdapter.from_edges([(0, 1), (2, 3)]), ValueError, "one of 2 components"),
        (
            lambda: ShortestPathAdapter.from_edges(torch.zeros(2, 5, dtype=torch.long), 0, 1, directed=True),
            TypeError,
            r"got \[0, 0, 0, 0, 0\] at 0; pass its transpose",
        ),
        (lambda: ShortestPathAdapter.from_edges([(0, 1)], 0, 5, directed=True), ValueError, "target to be a node"),
    ],
)
def test_orders_that_are_none(make, error, message):
    with pytest.raises(error, match=message):
        make()


TREE = MaxSpanningTreeAdapter(PATH)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({(0, 1): 1.0}, ValueError, r"a number for each of 2 edges, got 1, and none for \(1, 2\)"),
        ({(0, 1): 1.0, (1, 2): 1.0, (0, 2): 1.0}, ValueError, r"edges of the graph, got \(0, 2\)"),
        ({(0, 1): 1.0, (1, 0): 1.0}, ValueError, r"two for \(1, 0\), which also goes the other way"),
        ({0: 1.0}, ValueError, r"got 0; its edges are written like \(0, 1\)"),
        ([1.0, 2.0], TypeError, "expected a mapping from edges to numbers, got list"),
    ],
)
def test_numbers_that_do_not_fit_the_edges(values, error, message):
    with pytest.raises(error, match=message):
        TREE.theta_of(values)


def test_cells_have_no_names_of_edges():
    with pytest.raises(ValueError, match="here theta is a cost for each cell"):
        ShortestPathAdapter.grid(2, 2).theta_of({})
