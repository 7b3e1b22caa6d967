"""Proven gaps: what adapters may say of them, and what `layer.stats()` makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imle_solvers import IMLE, AdapterError, Solutions, SolverAdapter, SolverLayer, Stats, Status
from imle_solvers.executors.chunk import solve_chunk
from imle_solvers.gaps import gaps_of, gather_gaps
from imle_solvers.solving.stats import ProvenGaps
from tests.solvers import GapAdapter, StatusAdapter, function_adapter, top_k

INF = math.inf


class Tells(SolverAdapter):
    """Returns these gaps, whatever they are."""

    sense, instance_shape = "max", (2,)

    def __init__(self, gaps, statuses=(1, 1, 1)):
        self.gaps, self.statuses = gaps, np.array(statuses)

    def solve_batch(self, state, thetas, context):
        return Solutions(thetas, self.statuses, gaps=self.gaps)


def told(thetas, on_failure="keep"):
    layer = SolverLayer(GapAdapter(), executor="serial", on_failure=on_failure)
    layer.map(torch.tensor(thetas))
    return layer.stats()


def test_the_mean_and_the_worst_are_those_of_the_solutions_since_the_reset():
    layer = SolverLayer(GapAdapter(), executor="serial", on_failure="keep")
    layer.map(torch.tensor([[1.0, 0.25], [1.0, 0.5], [0.0, -1.0], [1.0, 0.125]]))
    layer.map(torch.tensor([[1.0, 0.125]]))
    gaps = layer.stats().gaps
    assert (gaps.mean, gaps.worst, gaps.known, gaps.unknown) == (0.2, 0.5, 5, 0)
    assert "; a proven gap of 0.2 (mean), 0.5 (worst); 2 serial" in str(layer.stats())
    layer.stats().reset()
    assert layer.stats().gaps == ProvenGaps()


def test_a_solution_without_a_proven_gap_is_left_out_of_the_mean_and_makes_the_worst_infinite():
    stats = told([[1.0, 0.25], [1.0, -1.0], [1.0, 9.0], [0.0, -1.0]])
    assert (stats.gaps.mean, stats.gaps.worst, stats.gaps.known, stats.gaps.unknown) == (0.125, INF, 2, 2)
    assert "0.12 (mean), inf (worst), none for 2 solutions" in str(stats)
    nothing = told([[1.0, -1.0]]).gaps
    assert (math.isnan(nothing.mean), nothing.worst) == (True, INF)


def test_what_failed_has_no_gap():
    stats = told([[1.0, 0.25], [2.0, -1.0], [4.0, 0.5], [5.0, 9.0]], on_failure="zero_grad")
    assert (stats.gaps.mean, stats.gaps.worst, stats.gaps.known, stats.gaps.unknown) == (0.25, 0.25, 1, 0)


def test_optima_have_a_gap_of_zero_and_need_not_say_so():
    layer = SolverLayer(top_k(4, 2), executor="serial")
    layer.map(torch.rand(5, 4))
    assert (layer.stats().gaps.mean, layer.stats().gaps.worst, layer.stats().gaps.known) == (0.0, 0.0, 5)
    assert "gap" not in str(layer.stats())
    assert math.isnan(Stats().gaps.mean)
    assert Stats().gaps.worst == 0


def test_rows_that_need_no_solve_do_not_count():
    layer = SolverLayer(top_k(4, 2), executor="serial", estimator=IMLE(None))
    theta = torch.rand(1, 4).expand(6, 4).clone().requires_grad_()
    layer(theta).sum().backward()
    assert layer.stats().gaps.known == layer.stats().solve_times.bins.total() < 12


def test_solvers_on_tensors_tell_by_their_statuses():
    adapter = function_adapter(lambda t: (t, torch.tensor([0, 1, 0])), batched=True)
    layer = SolverLayer(adapter, on_failure="keep")
    layer.map(torch.rand(3, 2))
    assert (layer.stats().gaps.known, layer.stats().gaps.unknown) == (2, 1)


def test_solutions_from_elsewhere_have_none():
    layer = SolverLayer(StatusAdapter(), executor="serial", on_failure="keep")
    layer.map(torch.rand(3, 3), status=torch.tensor([0, 1, 1]))
    assert (layer.stats().gaps.known, layer.stats().gaps.unknown, layer.stats().gaps.worst) == (1, 2, INF)


@pytest.mark.parametrize("gap", [-0.1, math.nan, True, "0.1", 1j, np.zeros(1)], ids=repr)
def test_a_gap_beside_a_solution_is_a_number_of_at_least_0(gap):
    adapter = function_adapter(lambda theta: (theta, Status.FEASIBLE, gap if theta[0] else 0.5))
    with pytest.raises(AdapterError, match="instance 1, sample 0: .*expected the gap of a solution to be a number"):
        SolverLayer(adapter, executor="serial", on_failure="keep").map(torch.tensor([[0.0, 1], [1, 1]]))


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        ([0.1, 0.2, 0.3], "expected gaps in an array, got list"),
        (np.zeros(2), r"expected gaps of shape \(3,\), got \(2,\)"),
        (np.zeros((3, 1)), r"expected gaps of shape \(3,\), got \(3, 1\)"),
        (np.array(["0", "1", "2"]), "expected gaps of real numbers, got <U1"),
        (np.array([0.1, math.nan, -1.0]), "row 1.* expected gaps of at least 0, infinity where .*, got nan"),
        (np.array([0.1, 0.0, -1.0]), "row 2.* expected gaps of at least 0, infinity where .*, got -1.0"),
    ],
)
def test_gaps_of_a_batch_are_numbers_of_at_least_0(gaps, message):
    with pytest.raises(AdapterError, match=message):
        solve_chunk(Tells(gaps), None, np.ones((3, 2)), {}, 0)


@pytest.mark.parametrize("batched", [False, True])
def test_what_is_optimal_has_no_gap_but_for_tolerances(batched):
    thetas = torch.tensor([[0.0, 0.0], [0.0, 2.0**-10], [1.0, 0.7], [0.0, -1.0]])
    layer = SolverLayer(GapAdapter(batched), executor="serial", on_failure="keep")
    layer.map(thetas.double())
    for gap, said in ((0.7, "0.7"), (9.0, "inf")):
        thetas[3] = torch.tensor([0.0, gap])
        with pytest.raises(
            AdapterError, match=f"instance 3.*expected a gap of at most 0.001 beside OPTIMAL, got {said}; .*FEASIBLE"
        ):
            layer.map(thetas.double())


def test_gaps_of_what_failed_may_be_anything():
    solved = solve_chunk(Tells(np.array([1, math.nan, -1]), [1, 2, 4]), None, np.ones((3, 2)), {}, 0)
    gaps = ProvenGaps()
    gaps.add(solved.statuses, solved.gaps)
    assert gaps == ProvenGaps(known=1, total=1.0, largest=1.0)


def test_parts_without_gaps_have_those_of_their_statuses():
    statuses = np.array([0, 1, 1, 3, 0], np.uint8)
    assert gaps_of(statuses).tolist() == [0, INF, INF, 0, 0]
    assert gather_gaps([(slice(0, 2), None), (np.array([4, 2]), None)], statuses) is None
    some = gather_gaps([(slice(0, 2), None), (np.array([4, 2]), np.array([0.25, 0.5]))], statuses)
    assert some.tolist() == [0, INF, 0.5, 0, 0.25]
