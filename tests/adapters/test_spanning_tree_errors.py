"""Bad input to spanning trees, and what a tree depends on."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest
import torch

from imle_adapters.graphs.spanning_tree import MaxSpanningTreeAdapter
from imle_solvers import InputError, SolverLayer
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


def test_context_is_refused():
    adapter = MaxSpanningTreeAdapter(nx.cycle_graph(3))
    with pytest.raises(ValueError, match=r"expected no context, got \['mask'\]"):
        adapter.solve_batch(adapter.build(), np.ones((1, 3)), {"mask": np.ones((1, 3))})


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
