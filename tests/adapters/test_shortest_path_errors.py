"""Bad input to shortest paths: what was expected, what came, what to do, and which instance."""

from __future__ import annotations

import re

import networkx as nx
import numpy as np
import pytest
import torch

from imle_adapters.graphs.shortest_path import ShortestPathAdapter
from imle_solvers import SolverLayer
from imle_solvers.adapter import Parallelism
from imle_solvers.status import Status

TWO_PARTS = nx.Graph([(0, 1), (2, 3)])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ShortestPathAdapter([(0, 1)], 0, 1), TypeError, r"expected a NetworkX Graph.*got list; make one"),
        (lambda: ShortestPathAdapter(nx.Graph(), 0, 1), ValueError, "expected a graph with nodes, got an empty graph"),
        (lambda: ShortestPathAdapter(nx.empty_graph(2), 0, 1), ValueError, "got 2 nodes and no edge; theta has"),
        (
            lambda: ShortestPathAdapter(TWO_PARTS, 9, 1),
            ValueError,
            "the source to be a node of the graph, got 9; its 4",
        ),
        (lambda: ShortestPathAdapter(TWO_PARTS, 0, "b"), ValueError, "the target to be a node of the graph, got 'b'"),
        (lambda: ShortestPathAdapter(TWO_PARTS, 0, []), ValueError, r"the target to be a node of the graph, got \[\]"),
        (
            lambda: ShortestPathAdapter(TWO_PARTS, 0, 3),
            ValueError,
            "path from source 0 to target 3, the graph has none",
        ),
        (lambda: ShortestPathAdapter(nx.DiGraph([(1, 0)]), 0, 1), ValueError, "has none; connect them"),
        (lambda: ShortestPathAdapter(TWO_PARTS, 0, 1, backend="cuda"), ValueError, "one of 'compiled'.*got 'cuda'"),
        (lambda: ShortestPathAdapter(TWO_PARTS, 0, 1, negative="shift"), ValueError, "negative=\"raise\", got 'shift'"),
        (lambda: ShortestPathAdapter.grid(0, 3), ValueError, "grid height.*whole number of at least 1, got 0"),
        (lambda: ShortestPathAdapter.grid(3, -1), ValueError, "grid width.*got -1"),
        (lambda: ShortestPathAdapter.grid(3, 2.0), ValueError, "grid width.*got 2.0"),
        (lambda: ShortestPathAdapter.grid(3, True), ValueError, "grid width.*got True"),
        (lambda: ShortestPathAdapter.grid(3, 3, 6), ValueError, "neighbourhood=4.*neighbourhood=8.*got 6"),
        (lambda: ShortestPathAdapter.grid(3, 3, [4]), ValueError, r"neighbourhood=8.*got \[4\]"),
        (
            lambda: ShortestPathAdapter.grid(3, 3, costs="cell"),
            ValueError,
            'costs="vertex" or costs="edge", got \'cell',
        ),
        (lambda: ShortestPathAdapter.grid(1, 1, costs="edge"), ValueError, "at least one edge.*got 1x1; enlarge it"),
        (lambda: ShortestPathAdapter.grid(3, 3, source=(3, 0)), ValueError, r"source to be a node.*got \(3, 0\)"),
        (lambda: ShortestPathAdapter.grid(3, 3, target=4), ValueError, r"target to be a node.*got 4.*\(0, 0\)"),
    ],
)
def test_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


def grid_context(**context):
    return ShortestPathAdapter.grid(2, 3), np.ones((2, 2, 3)), context


def graph_context(**context):
    return ShortestPathAdapter(nx.path_graph(["a", "b", "c"]), "a", "c"), np.ones((2, 2)), context


def mask(*cells):
    blocked = np.zeros((2, 6), dtype=np.float32)
    for row, cell in cells:
        blocked[row, cell] = 1
    return blocked.reshape(2, 2, 3)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            grid_context(source=np.array([0, 6])),
            "^row 1 .*expected source to be an index.*from 0 to 5, got 6",
        ),
        (
            grid_context(target=np.array([-1, 5])),
            "^row 0 .*expected target to be an index.*got -1; look it up",
        ),
        (grid_context(target=np.array([5, 1.5])), "^row 1 .*expected target.*whole number.*got 1.5"),
        (grid_context(target=np.array([np.nan, 1])), "^row 0 .*expected target.*got nan"),
        (grid_context(source=np.array([[0, 0], [0, 1]])), r"expected source of shape \(2,\).*got \(2, 2\)"),
        (grid_context(blocked=np.zeros((2, 6))), r"expected blocked of shape \(2, 2, 3\), got \(2, 6\)"),
        (
            grid_context(blocked=mask((1, 2)) * 0.5),
            "^row 1 .*expected blocked to be a mask.*got 0.5; threshold",
        ),
        (grid_context(blocked=mask((1, 0))), r"^row 1 .*leaves the source open.*blocks \(0, 0\)"),
        (grid_context(blocked=mask((0, 5))), r"^row 0 .*leaves the target open.*blocks \(1, 2\)"),
        (grid_context(blocked_nodes=mask()), r"expected context among \['blocked', 'source', 'target'\], got"),
        (
            graph_context(source=np.array([0, 3])),
            "^row 1 .*expected source to be an index.*from 0 to 2, got 3",
        ),
        (graph_context(blocked_nodes=np.eye(3)[:2]), "^row 0 .*leaves the source open.*blocks 'a'"),
        (graph_context(blocked_edges=np.zeros((2, 3))), r"expected blocked_edges of shape \(2, 2\), got \(2, 3\)"),
        (graph_context(blocked=np.zeros((2, 3))), r"expected context among \['blocked_edges', 'blocked_nodes'"),
    ],
)
def test_context(problem, message):
    adapter, thetas, context = problem
    with pytest.raises(ValueError, match=message):
        adapter.check(thetas, context)
    with pytest.raises(ValueError, match=message):
        adapter.solve_batch(adapter.build(), thetas, context)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_costs_that_cannot_be_added_up(bad):
    adapter = ShortestPathAdapter.grid(2, 3)
    thetas = np.ones((3, 2, 3))
    thetas[2, 0, 1] = bad
    with pytest.raises(ValueError, match=f"^row 2 .*expected theta to be finite.*{re.escape(str(abs(bad)))}"):
        adapter.solve_batch(adapter.build(), thetas, {})


def test_negative_costs_that_are_refused_name_the_cell():
    adapter = ShortestPathAdapter.grid(2, 3, negative="raise")
    thetas = np.ones((3, 2, 3), dtype=np.float32)
    thetas[1, 1, 0] = -0.25
    message = r'^row 1 .*expected costs of zero or more with negative="raise", got -0.25 for cell \(1, 0\); make'
    with pytest.raises(ValueError, match=message):
        adapter.check(thetas, {})
    with pytest.raises(ValueError, match=message):
        adapter.solve_batch(adapter.build(), thetas, {})
    blocked = np.zeros((3, 2, 3), dtype=bool)
    blocked[1, 1, 0] = True
    adapter.check(thetas, {"blocked": blocked})


def test_negative_costs_that_are_refused_name_the_edge():
    adapter = ShortestPathAdapter(nx.MultiGraph([("a", "b"), ("a", "b")]), "a", "b", negative="raise")
    with pytest.raises(ValueError, match=r"^row 0 .*got -2.0 for edge \('a', 'b', 1\); make costs positive"):
        adapter.check(np.array([[1.0, -2.0]]), {})


@pytest.mark.parametrize("backend", ["compiled", "networkx", "scipy"])
def test_clamped_costs_are_counted_without_blocked_ones(backend):
    adapter = ShortestPathAdapter.grid(2, 3, backend=backend)
    thetas = np.ones((2, 2, 3))
    thetas[0, 0] = -1
    thetas[1, 1, 0] = -1
    solutions = adapter.solve_batch(adapter.build(), thetas, {"blocked": mask((0, 1))})
    assert solutions.counters == {"clamped costs": 3}
    assert adapter.solve_batch(adapter.build(), np.ones((1, 2, 3)), {}).counters == {}


@pytest.mark.parametrize("backend", ["compiled", "networkx", "scipy"])
@pytest.mark.parametrize("costs", ["vertex", "edge"])
@pytest.mark.parametrize("dearest", [1, 1e9])
def test_a_mask_without_a_way_through_fails_that_instance_alone(costs, backend, dearest):
    adapter = ShortestPathAdapter.grid(3, 3, costs=costs, backend=backend)
    wall = np.zeros((4, 3, 3), dtype=np.uint8)
    wall[2, :, 1] = 1
    wall[3, 1, :2] = 1
    context = {"blocked": wall} if costs == "vertex" else {"blocked_nodes": wall.reshape(4, 9)}
    thetas = np.ones((4, *adapter.instance_shape))
    thetas.reshape(4, -1)[:, 3] = dearest  # not on any of the paths
    solutions = adapter.solve_batch(adapter.build(), thetas, context)
    assert [Status(code) for code in solutions.statuses] == [
        Status.OPTIMAL, Status.OPTIMAL, Status.INFEASIBLE, Status.OPTIMAL,
    ]  # fmt: skip
    assert not solutions.values[2].any()
    np.testing.assert_array_equal(
        solutions.values[:2].reshape(2, -1).sum(axis=1), [3, 3] if costs == "vertex" else [2, 2]
    )
    assert solutions.values[3].sum() == (4 if costs == "vertex" else 3)


def test_ends_of_an_instance_without_a_path_fail_it_alone():
    adapter = ShortestPathAdapter(nx.DiGraph([(0, 1), (1, 0), (1, 2)]), 0, 2)
    solutions = adapter.solve_batch(adapter.build(), np.ones((2, 3)), {"source": np.array([1, 2]), "target": [2, 0]})
    np.testing.assert_array_equal(solutions.statuses, [Status.OPTIMAL, Status.INFEASIBLE])
    np.testing.assert_array_equal(solutions.values, [[0, 0, 1], [0, 0, 0]])


def test_masks_of_nodes_and_edges_add_up():
    adapter = ShortestPathAdapter(nx.complete_graph(4), 0, 3)
    nodes = np.array([[False, True, False, False]])
    direct = np.array([[edge == (0, 3) for edge in adapter.edges]])
    solutions = adapter.solve_batch(adapter.build(), np.ones((1, 6)), {"blocked_nodes": nodes, "blocked_edges": direct})
    assert {edge for edge, used in zip(adapter.edges, solutions.values[0], strict=True) if used} == {(0, 2), (2, 3)}


@pytest.mark.parametrize("backend", ["compiled", "networkx", "scipy"])
def test_source_and_target_may_coincide(backend):
    grid = ShortestPathAdapter.grid(2, 2, source=(1, 0), target=(1, 0), backend=backend)
    np.testing.assert_array_equal(grid.solve_batch(grid.build(), np.ones((1, 2, 2)), {}).values, [[[0, 0], [1, 0]]])
    for kind in (nx.Graph, nx.DiGraph):
        graph = ShortestPathAdapter(kind([(0, 1), (1, 2)]), 1, 1, backend=backend)
        solutions = graph.solve_batch(graph.build(), np.ones((1, 2)), {})
        assert not solutions.values.any()
        assert not solutions.statuses.any()


@pytest.mark.parametrize("costs", ["vertex", "edge"])
def test_sides_of_a_grid_may_be_numbers_of_numpy(costs):
    adapter = ShortestPathAdapter.grid(np.uint8(2), np.uint8(200), costs=costs)  # whose product is no uint8
    assert repr(adapter) == repr(ShortestPathAdapter.grid(2, 200, costs=costs))
    assert adapter.nodes[-1] == (1, 199)
    theta = torch.ones(adapter.instance_shape)
    assert SolverLayer(adapter, num_workers=0).eval()(theta).sum() == (200 if costs == "vertex" else 199)


def test_kernels_run_in_threads_and_references_in_processes():
    parallel = [ShortestPathAdapter.grid(2, 2, backend=name).parallelism for name in ("compiled", "networkx", "scipy")]
    assert parallel == [Parallelism.THREADS, Parallelism.PROCESSES, Parallelism.PROCESSES]
