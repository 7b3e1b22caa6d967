"""SPO+ where 2 theta - c is out of what a solver takes, and for solutions that are none."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import SolverAdapter, SolverLayer, SPOPlusLoss, Status
from tests.adapters.test_shortest_path_optimality import every_path, grid_graph

GRIDS = {
    costs: SolverLayer(ShortestPathAdapter.grid(3, 3, 4, costs), num_workers=0).eval() for costs in ("vertex", "edge")
}


def paths_of(layer):
    adapter = layer.adapter
    of_edges = not adapter.cells
    entries = adapter.edges if of_edges else adapter.nodes
    return torch.from_numpy(every_path(grid_graph(adapter), (0, 0), (2, 2), entries, of_edges))


@pytest.mark.parametrize("costs", ["vertex", "edge"])
@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), shift=st.sampled_from([-1.0, 0.0, 1.0]))
def test_it_is_a_convex_bound_of_the_regret_for_predictions_of_any_sign(costs, seed, shift):
    """Of clamped solves as of others; and no looser than Definition 3 where nothing is clamped."""
    layer, generator = GRIDS[costs], torch.Generator().manual_seed(seed)
    paths = paths_of(layer)
    shape = (8, *layer.adapter.instance_shape)
    truth = torch.rand(shape, generator=generator, dtype=torch.float64)
    one, other = (
        torch.randn(shape, generator=generator, dtype=torch.float64).add(shift).requires_grad_() for _ in range(2)
    )
    loss = SPOPlusLoss(layer, reduction="none")
    values = [loss(theta, truth) for theta in (one, other, (one + other) / 2)]
    optimal = layer.map(truth)
    for theta, value in zip((one, other), values, strict=False):
        regret = (truth * (layer.map(theta) - optimal)).flatten(1).sum(1)
        assert bool((value >= regret - 1e-9).all())
        definition = ((truth - 2 * theta).flatten(1) @ paths.T).amax(1) + ((2 * theta - truth) * optimal).flatten(
            1
        ).sum(1)
        assert bool((value >= definition - 1e-9).all())
        inside = ((2 * theta - truth) >= 0).flatten(1).all(1)
        torch.testing.assert_close(value[inside], definition[inside])
    assert bool((values[2] <= (values[0] + values[1]) / 2 + 1e-9).all())
    (gradient,) = torch.autograd.grad(values[0].sum(), one)
    assert bool((values[1] >= values[0] + (gradient * (other - one)).flatten(1).sum(1) - 1e-9).all())


@pytest.mark.parametrize("clamp", [True, False])
def test_single_paths_to_be_learned_pull_costs_back_above_zero(clamp):
    """Gradient descent from costs far below zero ends with no regret and nothing clamped."""
    layer = GRIDS["edge"]
    truth = torch.rand(16, 12, dtype=torch.float64) + 0.1
    theta = torch.full((16, 12), -3.0 if clamp else 3.0, dtype=torch.float64, requires_grad=True)
    loss = SPOPlusLoss(layer, reduction="sum")
    for step in range(400):
        loss(theta, truth).backward()
        with torch.no_grad():
            theta -= 0.5 / (10 + step) * theta.grad
            theta.grad = None
    assert bool((theta > 0).all())
    regret = (truth * (layer.map(theta) - layer.map(truth))).sum(1)
    assert float(regret.detach().mean()) < 0.01


def test_blocked_cells_are_not_added():
    layer = GRIDS["vertex"]
    theta = torch.full((1, 3, 3), -1.0, requires_grad=True)
    blocked = torch.zeros(1, 3, 3)
    blocked[0, 1, 1] = 1
    SPOPlusLoss(layer)(theta, torch.ones(1, 3, 3), blocked=blocked).backward()
    assert theta.grad[0, 1, 1] == 0
    assert (theta.grad != 0).sum() == 8


def test_grids_to_the_right_and_down_keep_the_definition():
    """No relaxation where every sign is solved."""
    layer = SolverLayer(ShortestPathAdapter.grid(3, 3, 4, "edge", directed=True), num_workers=0)
    graph = nx.DiGraph(layer.adapter.edges)
    paths = torch.from_numpy(every_path(graph, (0, 0), (2, 2), layer.adapter.edges, of_edges=True))
    theta, truth = torch.randn(20, 12, dtype=torch.float64), torch.rand(20, 12, dtype=torch.float64)
    optimal = layer.map(truth)
    expected = ((truth - 2 * theta) @ paths.T).amax(1) + ((2 * theta - truth) * optimal).sum(1)
    torch.testing.assert_close(SPOPlusLoss(layer, reduction="none")(theta, truth, optimal), expected)


def test_true_costs_below_zero_count_as_zero_with_a_warning():
    layer = SolverLayer(ShortestPathAdapter.grid(3, 3), num_workers=0)
    theta, truth = torch.rand(4, 3, 3), torch.randn(4, 3, 3)
    loss = SPOPlusLoss(layer, reduction="none")
    with pytest.warns(RuntimeWarning, match=r"\d+ % of the true costs in this batch .*are solved as zero.*softplus"):
        first = loss(theta.requires_grad_(), truth)
    torch.testing.assert_close(first, loss(theta, truth.clamp(min=0)))
    torch.testing.assert_close(first, loss(theta, truth))  # and is silent


def instance(rows=3):
    layer = SolverLayer(ShortestPathAdapter.grid(3, 3), num_workers=0)
    truth = torch.rand(rows, 3, 3) + 0.1
    return SPOPlusLoss(layer), torch.rand(rows, 3, 3), truth, layer.map(truth)


def test_truth_and_solution_that_are_swapped_are_refused():
    loss, theta, truth, solution = instance()
    with pytest.raises(ValueError, match=r"zeros and ones, got 0.\d+ in instance 0.*loss\(theta, truth, solution\)"):
        loss(theta, solution, truth)


@pytest.mark.parametrize("bad", [0.5, -1.0, 2.0, float("nan")])
def test_solutions_of_other_numbers_are_refused(bad):
    loss, theta, truth, solution = instance()
    solution[1, 2, 0] = bad
    with pytest.raises(ValueError, match=rf"zeros and ones, got {bad:g} in instance 1 at \(2, 0\)"):
        loss(theta, truth, solution)


def test_solutions_as_solvers_round_them_are_taken():
    loss, theta, truth, solution = instance()
    rounded = (solution.double() - 1e-6).abs()
    torch.testing.assert_close(loss(theta, truth, rounded), loss(theta, truth, solution), rtol=1e-4, atol=1e-4)


def test_solutions_that_are_not_feasible_are_refused():
    loss, theta, truth, solution = instance()
    solution[2] = 0
    with pytest.raises(ValueError, match=r"solution: expected one that is feasible.*in instance 2; check that it bel"):
        loss(theta + 1, truth, solution)
    with pytest.raises(ValueError, match="in instance 0; check that it belongs"):
        SPOPlusLoss(SolverLayer(TopKAdapter(4, 2, "max")))(torch.ones(1, 4), torch.ones(1, 4), torch.ones(1, 4))


def test_solutions_of_other_instances_are_said_to_be_no_optima_once():
    loss, theta, truth, solution = instance(20)
    with pytest.warns(RuntimeWarning, match=r"instance \d+ is not the best by its truth.*no bound") as caught:
        loss(truth, truth, solution.flip(0))
    assert caught[0].filename == __file__
    loss(truth, truth, solution.flip(0))
    assert np.isfinite(loss(theta, truth, solution).item())


def test_instances_that_failed_have_no_say():
    layer = SolverLayer(ShortestPathAdapter.grid(3, 3), num_workers=0, on_failure="zero_grad")
    truth = torch.rand(2, 3, 3)
    solution = layer.map(truth)
    solution[1] = 0
    wall = torch.zeros(2, 3, 3)
    wall[1, 1] = 1
    losses = SPOPlusLoss(layer, reduction="none")(1.1 - truth, truth, solution, blocked=wall)
    assert losses[0] > 0
    assert losses[1] == 0


class Hasty(SolverAdapter):
    """Takes the last of three, whatever that costs."""

    sense, instance_shape, is_binary = "min", (3,), True

    def solve(self, state, theta):
        return np.eye(3)[2], Status.FEASIBLE


def test_solves_that_ended_at_a_limit_prove_nothing():
    layer = SolverLayer(Hasty(), num_workers=0, on_failure="keep")
    truth = torch.tensor([[1.0, 2.0, 3.0]])
    assert SPOPlusLoss(layer)(2 * truth, truth, torch.tensor([[1.0, 0, 0]])) < 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_truth_that_is_not_finite_is_named(bad):
    loss, theta, truth, solution = instance()
    truth[2, 0, 1] = bad
    for known in ((solution,), ()):
        with pytest.raises(ValueError, match=rf"^truth: expected finite values, got {bad} in instance 2 at \(0, 1\)"):
            loss(theta, truth, *known)
