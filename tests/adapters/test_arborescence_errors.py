"""Bad input to rooted trees, instances without one, and what a tree depends on."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest
import torch

from imle_adapters import MaxArborescenceAdapter
from imle_solvers import InputError, SolveError, SolverLayer
from imle_solvers.adapter import Parallelism
from imle_solvers.status import Status

CYCLE = nx.DiGraph([(0, 1), (1, 2), (2, 0)])
WAYS = nx.DiGraph([(0, 1), (2, 1)])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaxArborescenceAdapter(None), TypeError, "expected a NetworkX Graph.*got NoneType; make one"),
        (lambda: MaxArborescenceAdapter(nx.DiGraph()), ValueError, "expected a graph with nodes, got an empty graph"),
        (lambda: MaxArborescenceAdapter(nx.path_graph(3)), ValueError, r"got an undirected one.*to_directed\(\)"),
        (lambda: MaxArborescenceAdapter(CYCLE, 5), ValueError, "expected the root to be a node of the graph, got 5"),
        (lambda: MaxArborescenceAdapter(WAYS), ValueError, "some node leads to all 3.*from 2 no way leads to 0; add"),
        (lambda: MaxArborescenceAdapter(WAYS, 0), ValueError, "the root 0 leads to all 3.*without a way to 2; add"),
        (lambda: MaxArborescenceAdapter(CYCLE, backend="scipy"), ValueError, "'compiled', 'networkx', got 'scipy'"),
        (lambda: MaxArborescenceAdapter.from_edges([(0, 1), (0, 1)]), ValueError, "got .0, 1. at 0 and .0, 1. at 1"),
    ],
)
def test_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("context", "error", "message"),
    [
        ({"mask": np.ones((2, 3))}, ValueError, r"expected context among .*got \['mask'\]"),
        ({"root": np.zeros((2, 1))}, ValueError, r"root of shape \(2,\), one node an instance"),
        ({"root": np.array([0, 3])}, InputError, "row 1.*from 0 to 2, got 3"),
        ({"root": np.array([0.5, 1])}, InputError, "row 0.*whole number"),
        ({"blocked_nodes": np.ones((2, 2))}, ValueError, r"blocked_nodes of shape \(2, 3\), got \(2, 2\)"),
        ({"blocked_edges": np.full((2, 3), 0.5)}, InputError, "mask of zeros and ones, got 0.5"),
        ({"blocked_nodes": np.array([[0, 0, 1], [1, 1, 1]])}, InputError, "row 1.*blocks all 3"),
        (
            {"blocked_nodes": np.array([[0, 0, 1], [0, 1, 0]]), "root": np.array([1, 1])},
            InputError,
            "row 1.*leaves the root open, got one that blocks 1",
        ),
    ],
)
def test_context(context, error, message):
    adapter = MaxArborescenceAdapter(CYCLE)
    with pytest.raises(error, match=message):
        adapter.solve_batch(adapter.build(), np.ones((2, 3)), context)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(bad):
    adapter = MaxArborescenceAdapter(CYCLE)
    with pytest.raises(ValueError, match="^row 1 .*expected theta to be finite.*scale theta down"):
        adapter.solve_batch(adapter.build(), np.array([[1, 2, 3.0], [1, bad, 3.0]]), {})


@pytest.mark.parametrize("backend", ["compiled", "networkx"])
def test_instances_without_a_tree_are_infeasible_and_the_others_are_solved(backend):
    adapter = MaxArborescenceAdapter(nx.DiGraph([("a", "b"), ("b", "c")]), backend=backend)
    blocked, absent = np.zeros((4, 2)), np.zeros((4, 3))
    blocked[1, 0] = 1
    absent[3, 1:] = 1
    context = {"root": np.array([0, 0, 1, 0]), "blocked_edges": blocked, "blocked_nodes": absent}
    solutions = adapter.solve_batch(adapter.build(), -np.ones((4, 2)), context)
    assert solutions.statuses.tolist() == [Status.OPTIMAL, Status.INFEASIBLE, Status.INFEASIBLE, Status.OPTIMAL]
    np.testing.assert_array_equal(solutions.values, [[1, 1], [0, 0], [0, 0], [0, 0]])
    layer = SolverLayer(adapter, num_workers=0)
    with pytest.raises(SolveError, match="instance 1.*INFEASIBLE"):
        layer.map(torch.ones(2, 2), root=torch.tensor([0, 1]))


def test_sentences_of_different_length_share_a_batch():
    """Padding has no effect on the trees of the words that are there."""
    theta = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    long, short = (MaxArborescenceAdapter(nx.complete_graph(n, nx.DiGraph), 0) for n in (5, 3))
    pick = [long.edges.index(edge) for edge in short.edges]
    scores = torch.stack([theta[edge] for edge in long.edges])
    z = SolverLayer(long, num_workers=0).map(
        scores.expand(2, -1), blocked_nodes=torch.tensor([[0] * 5, [0, 0, 0, 1, 1]])
    )
    assert z.sum(1).tolist() == [4, 2]
    assert torch.equal(z[1, pick], SolverLayer(short, num_workers=0).map(scores[None, pick])[0])


def test_a_tree_depends_on_its_own_scores_only():
    adapter = MaxArborescenceAdapter(nx.complete_graph(7, nx.DiGraph))
    thetas = np.random.default_rng(0).integers(0, 3, (30, 42)).astype(np.float32)

    def solve(adapter, thetas):
        return adapter.solve_batch(adapter.build(), thetas, {}).values

    together = solve(adapter, thetas)
    np.testing.assert_array_equal(together, np.concatenate([solve(adapter, theta[None]) for theta in thetas]))
    np.testing.assert_array_equal(together, solve(adapter, thetas.astype(np.float64)))
    np.testing.assert_array_equal(together, solve(pickle.loads(pickle.dumps(adapter)), thetas))
    np.testing.assert_array_equal(together[::-1], solve(adapter, thetas[::-1]))
    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(lambda _: solve(adapter, thetas), range(8)):
            np.testing.assert_array_equal(values, together)


def test_what_travels_and_where_it_runs():
    adapter = MaxArborescenceAdapter(CYCLE)
    assert adapter.num_ones == 2
    assert adapter.parallelism is Parallelism.THREADS
    assert MaxArborescenceAdapter(CYCLE, backend="networkx").parallelism is Parallelism.PROCESSES
    assert (
        repr(MaxArborescenceAdapter(CYCLE, 1)) == "MaxArborescenceAdapter(3 nodes, 3 edges, root=1, backend='compiled')"
    )


def test_what_it_looks_like():
    layout = MaxArborescenceAdapter(CYCLE, 1).layout({"root": 2, "blocked_nodes": np.array([1, 0, 0])})
    assert (layout.directed, layout.ends) == (True, [2])
    assert layout.hidden.tolist() == [True, False, True]
    assert MaxArborescenceAdapter(CYCLE, 1).layout({}).ends == [1]
    assert MaxArborescenceAdapter(CYCLE).layout({}).ends == []
