"""Bad input to spanning trees, and what a tree depends on."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest
import torch

from imle_adapters.graphs.spanning_tree import MaxSpanningTreeAdapter
from imle_solvers import InputError, SolverLayer, Status
from imle_solvers.adapter import Parallelism

TWO_PARTS = nx.Graph([(0, 1), (2, 3)])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaxSpanningTreeAdapter(None), TypeError, "expected a NetworkX Graph.*got NoneType; make one"),
        (lambda: MaxSpanningTreeAdapter(nx.Graph()), ValueError, "expected a graph with nodes, got an empty graph"),
        (lambda: MaxSpanningTreeAdapter(nx.empty_graph(1)), ValueError, "got 1 nodes and no edge; theta has"),
        (lambda: MaxSpanningTreeAdapter(nx.DiGraph([(0, 1)])), ValueError, r"got a directed one.*to_undirected\(\)"),
        (lambda: MaxSpanningTreeAdapter(TWO_PARTS), ValueError, "one of 2 components.*or pass forest=True"),
        (lambda: MaxSpanningTreeAdapter(TWO_PARTS, backend="scipy"), ValueError, "'compiled', 'networkx', got 'scipy'"),
    ],
)
def test_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(bad):
    adapter = MaxSpanningTreeAdapter(nx.cycle_graph(3))
    with pytest.raises(ValueError, match="^row 1 .*expected theta to be finite.*scale theta down"):
        adapter.solve_batch(adapter.build(), np.array([[1, 2, 3.0], [1, bad, 3.0]]), {})


def test_scores_that_cannot_be_added_up_are_an_error_of_their_instance():
    layer = SolverLayer(MaxSpanningTreeAdapter(nx.cycle_graph(3)), executor="threads", num_workers=2)
    theta = torch.ones(2, 3, dtype=torch.float64)
    theta[1] = 1e308
    with layer, pytest.raises(InputError, match="^instance 1, sample 0: .*sums of it too"):
        layer.map(theta)


@pytest.mark.parametrize(
    ("context", "error", "message"),
    [
        ({"mask": np.ones((2, 3))}, ValueError, r"context among \['blocked_edges', 'blocked_nodes'\], got \['mask'\]"),
        ({"blocked_nodes": np.ones((2, 2))}, ValueError, r"blocked_nodes of shape \(2, 3\), got \(2, 2\)"),
        ({"blocked_edges": np.full((2, 3), 0.5)}, InputError, "mask of zeros and ones, got 0.5"),
        ({"blocked_nodes": np.array([[0, 0, 1], [1, 1, 1]])}, InputError, "row 1.*blocks all 3"),
    ],
)
def test_bad_context(context, error, message):
    adapter = MaxSpanningTreeAdapter(nx.cycle_graph(3))
    with pytest.raises(error, match=message):
        adapter.solve_batch(adapter.build(), np.ones((2, 3)), context)
    if error is InputError:
        with pytest.raises(error, match=message):
            adapter.check(np.ones((2, 3)), context)


@pytest.mark.parametrize("backend", ["compiled", "networkx"])
def test_instances_that_masks_leave_apart_are_infeasible(backend):
    path = nx.path_graph(4)
    blocked = np.zeros((3, 4))
    blocked[1, 2], blocked[2, 3] = 1, 1  # in the middle, at the end
    adapter = MaxSpanningTreeAdapter(path, backend=backend)
    solutions = adapter.solve_batch(adapter.build(), np.ones((3, 3)), {"blocked_nodes": blocked})
    assert solutions.statuses.tolist() == [Status.OPTIMAL, Status.INFEASIBLE, Status.OPTIMAL]
    assert solutions.values.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0]]
    forest = MaxSpanningTreeAdapter(path, forest=True, backend=backend)
    solutions = forest.solve_batch(forest.build(), np.ones((3, 3)), {"blocked_nodes": blocked})
    assert not solutions.statuses.any()
    assert solutions.values.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]


def test_a_tree_depends_on_its_own_scores_only():
    adapter = MaxSpanningTreeAdapter(nx.complete_graph(9))
    thetas = np.random.default_rng(0).integers(0, 3, (30, 36)).astype(np.float32)

    def solve(adapter, thetas):
        return adapter.solve_batch(adapter.build(), thetas, {}).values

    together = solve(adapter, thetas)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together, np.concatenate([solve(adapter, theta[None]) for theta in thetas]))
    np.testing.assert_array_equal(together, solve(adapter, thetas.astype(np.float64)))
    np.testing.assert_array_equal(together, solve(pickle.loads(pickle.dumps(adapter)), thetas))
    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(lambda _: solve(adapter, thetas), range(8)):
            np.testing.assert_array_equal(values, together)
    thetas.flags.writeable = False
    np.testing.assert_array_equal(together, solve(adapter, thetas))


def test_what_travels_and_where_it_runs():
    graph = nx.cycle_graph(4)
    graph.graph["unpicklable"] = lambda: None
    adapter = MaxSpanningTreeAdapter(graph)
    assert b"networkx" not in pickle.dumps(adapter).replace(b"imle_adapters.networkx", b"")
    assert adapter.num_ones == 3
    assert adapter.parallelism is Parallelism.THREADS
    assert MaxSpanningTreeAdapter(graph, backend="networkx").parallelism is Parallelism.PROCESSES
