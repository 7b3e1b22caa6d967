"""Programs that are solved approximately, on purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends
from imle_adapters.ilp.engines.engine import Claim, Outcome
from imle_adapters.ilp.engines.portfolio import _better
from imle_adapters.ilp.limits import proven_gap
from imle_solvers import FenchelYoungLoss, SerialExecutor, SolveError, SolverLayer, Status
from imle_solvers.gaps import OPTIMAL_WITHIN
from imle_solvers.solving.batch_solver import KNOWN

WEIGHTS = np.random.default_rng(0).integers(5, 50, (3, 12)).astype(float)


def program(integrality=True):
    return ILPSpec(sense="max", A_ub=WEIGHTS, b_ub=WEIGHTS.sum(1) / 2, ub=1, integrality=integrality)


def solve(adapter, thetas):
    return SerialExecutor().solve(adapter, thetas.copy())


@pytest.mark.parametrize("backend", [name for name in available_backends() if name != "glop"])
@pytest.mark.parametrize("gap", [0.0, 0.05, 0.5])
def test_solutions_are_within_the_gap(backend, gap):
    thetas = WEIGHTS.mean(0) + np.random.default_rng(1).random((10, 12))
    best = (solve(ILPAdapter(program(), "scip", compiled=False), thetas).values * thetas).sum(1)
    solved = solve(ILPAdapter(program(), backend, compiled=False, relative_gap=gap), thetas)
    gaps = np.zeros(10) if solved.gaps is None else solved.gaps
    assert solved.statuses.tolist() == [Status.FEASIBLE if left > OPTIMAL_WITHIN else Status.OPTIMAL for left in gaps]
    assert (solved.values @ WEIGHTS.T <= WEIGHTS.sum(1) / 2 + 1e-9).all()
    found = (solved.values * thetas).sum(1)
    assert (best <= (1 + gap) * found + 1e-9).all()
    assert (found <= best + 1e-9).all()
    assert solved.gaps is None if gap == 0 else (best <= (1 + solved.gaps) * found + 1e-9).all()


@pytest.mark.parametrize("gap", [-0.1, math.nan, math.inf, True, "small", None])
def test_a_gap_is_a_number_of_at_least_0(gap):
    with pytest.raises(ValueError, match="expected relative_gap to be a number of at least 0, such as 0.01, got"):
        ILPAdapter(program(), relative_gap=gap)


INTEGER = [name for name in available_backends() if name != "glop"]


@pytest.mark.parametrize("backend", INTEGER)
@pytest.mark.parametrize("sense", ["min", "max"])
def test_the_proven_gap_is_relative_to_the_whole_objective_and_no_less_than_the_true_one(backend, sense):
    """Also where half of the items have prices that theta does not give, and the scale of theta is no solver's."""
    rng = np.random.default_rng(3)
    prices = 2.0**-80 * (WEIGHTS.mean(0) + rng.random((6, 12)))
    fixed = 2.0**-80 * (WEIGHTS.mean(0) + rng.random(12))
    rows, half = np.hstack([WEIGHTS, WEIGHTS[:, ::-1]]), WEIGHTS.sum(1)
    spec = ILPSpec(
        sense=sense,
        A_ub=rows if sense == "max" else -rows,
        b_ub=half if sense == "max" else -half,
        ub=1,
        integrality=True,
        theta_index=np.arange(12),
        shape=12,
        fixed_cost=fixed,
    )
    exact, rough = (ILPAdapter(spec, backend, compiled=False, relative_gap=gap) for gap in (0.0, 0.5))
    objectives, gaps = [], []
    for adapter in (exact, rough):
        state = adapter.build()
        found = [state.engine.minimize(costs, adapter._program.bounds, None).x for costs in adapter._costs(prices)]
        objectives.append((np.array(found).round() * np.hstack([prices, np.tile(fixed, (6, 1))])).sum(1))
        gaps.append(solve(adapter, prices).gaps)
    assert gaps[0] is None
    true = np.abs(objectives[1] - objectives[0]) / objectives[1]
    assert true.max() > 0
    assert (true <= gaps[1] + 1e-9).all()
    assert (gaps[1] <= 0.5 + 1e-9).all()
    assert gaps[1].max() > 0.01


@pytest.mark.parametrize("backend", INTEGER)
def test_a_solution_at_its_bound_has_no_gap(backend):
    spec = ILPSpec(sense="max", A_ub=[[1.0, 1.0, 1.0]], b_ub=[2.0], ub=1, integrality=True)
    gaps = solve(
        ILPAdapter(spec, backend, compiled=False, relative_gap=0.1), np.array([[3.0, 2.0, 1.0], [0, 0, 0]])
    ).gaps
    np.testing.assert_allclose(gaps, 0, atol=1e-12)


def test_of_solvers_that_take_turns_the_best_bound_counts():
    first = Outcome(Claim.FEASIBLE, np.array([2.0]), bound=1.0)
    second = Outcome(Claim.FEASIBLE, np.array([3.0]), bound=1.5)
    third = Outcome(Claim.LIMIT, None)
    assert _better(_better(first, second, np.ones(1)), third, np.ones(1)) == first._replace(bound=1.5)
    assert _better(_better(third, first, np.ones(1)), second, np.ones(1)) == first._replace(bound=1.5)
    assert _better(third, third, np.ones(1)).bound is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", INTEGER)
def test_solutions_at_the_time_limit_have_a_gap(backend):
    rng = np.random.default_rng(0)
    weights = rng.integers(100, 1000, (20, 150)).astype(float)
    spec = ILPSpec(sense="max", A_ub=weights, b_ub=weights.sum(1) // 2, ub=1, integrality=True)
    layer = SolverLayer(ILPAdapter(spec, backend, time_limit=0.3), num_workers=0, on_failure="keep")
    try:
        layer.map(torch.from_numpy(weights.mean(0) + rng.normal(size=150)))
    except SolveError:
        return  # not even a solution
    stats = layer.stats()
    assert stats.statuses == {Status.FEASIBLE: 1}
    assert 0 < stats.gaps.mean == stats.gaps.worst < 1


@pytest.mark.parametrize("backend", INTEGER)
@pytest.mark.parametrize("magnitude", [1e-307, 1.0, 1e306])
def test_the_gap_does_not_depend_on_the_magnitude_of_theta(backend, magnitude):
    thetas = WEIGHTS.mean(0) + np.random.default_rng(1).random((3, 12))
    adapter = ILPAdapter(program(), backend, compiled=False, relative_gap=0.2)
    np.testing.assert_allclose(solve(adapter, thetas * magnitude).gaps, solve(adapter, thetas).gaps, atol=1e-9)


def test_what_the_search_solves_has_a_gap_of_zero():
    thetas = np.random.default_rng(2).random((20, 12))
    thetas[::2] = 1  # ties, which it leaves to the backend
    adapter = ILPAdapter(program(), "scip", relative_gap=0.5)
    solved = solve(adapter, thetas)
    assert solved.counters == {"solved by search": 10, "left to the backend": 10}
    assert (solved.gaps[1::2] == 0).all()
    assert (solved.gaps[::2] > 0).any()


def test_vertices_of_totally_unimodular_rows_have_a_gap_of_zero():
    spec = ILPSpec(sense="max", A_ub=np.kron(np.eye(2), np.ones(3)), b_ub=np.ones(2), ub=1, integrality=True)
    adapter = ILPAdapter(spec, compiled=False, relative_gap=0.5)
    assert adapter.backend == "glop"
    assert solve(adapter, np.random.default_rng(0).random((5, 6))).gaps.tolist() == [0] * 5


@pytest.mark.parametrize(("objective", "bound", "gap"), [
    (-10.0, -11.0, 0.1),
    (10.0, 9.0, 0.1),
    (10.0, 10.5, 0.0),  # rounding errors
    (0.0, 0.0, 0.0),
    (0.0, -1.0, math.inf),
    (1.0, None, math.inf),
    (1.0, -math.inf, math.inf),
    (1.0, -1e50, math.inf),  # as infinite as it gets in CBC
])  # fmt: skip
def test_the_gap_of_an_objective_and_a_bound(objective, bound, gap):
    assert proven_gap(objective, bound) == pytest.approx(gap)


def test_the_relaxation_has_no_gap_and_no_integers():
    with pytest.raises(
        ValueError, match="relaxed=True solves a linear program, .* expected no relative_gap .* got 0.1"
    ):
        ILPAdapter(program(), relaxed=True, relative_gap=0.1)
    for name in ("cp_sat", "CP-SAT"):
        with pytest.raises(ValueError, match=f'backend .{name}. takes integer variables only, .* take "auto"'):
            ILPAdapter(program(), name, relaxed=True)
    with pytest.raises(TypeError, match="expected relaxed to be True or False, got 'yes'"):
        ILPAdapter(program(), relaxed="yes")


@pytest.mark.parametrize("backend", [name for name in available_backends() if not name.startswith("cp_sat")])
def test_the_relaxation_is_the_same_by_every_backend_and_within_a_time_limit(backend):
    thetas = np.random.default_rng(2).random((5, 12))
    expected = (solve(ILPAdapter(program(), relaxed=True), thetas).values * thetas).sum(1)
    relaxed = ILPAdapter(program(), backend, 60.0, relaxed=True)
    solved = solve(relaxed, thetas)
    assert (solved.statuses == Status.OPTIMAL).all()
    np.testing.assert_allclose((solved.values * thetas).sum(1), expected, rtol=1e-7)
    assert "time_limit=60.0, relaxed=True" in repr(relaxed)


def test_nothing_follows_for_targets_from_solutions_within_a_gap():
    theta = torch.from_numpy(WEIGHTS.mean(0) + np.random.default_rng(1).random((4, 12))).requires_grad_()
    skipped = []
    for gap in (0.0, 0.1):
        layer = SolverLayer(ILPAdapter(program(), relative_gap=gap), num_workers=0, on_failure="keep")
        z = layer(theta)
        (z * 0).sum().backward()  # whose targets are the samples
        skipped.append(layer.stats().counters[KNOWN])
    assert skipped == [4, 0]


def test_the_relaxation_is_the_program_without_integrality():
    thetas = np.random.default_rng(2).random((20, 12))
    relaxed = ILPAdapter(program(), relaxed=True)
    np.testing.assert_array_equal(solve(relaxed, thetas).values, solve(ILPAdapter(program(False)), thetas).values)
    assert (solve(relaxed, thetas).values % 1 != 0).any()
    assert relaxed.backend == "glop"
    assert not relaxed.is_binary({})
    assert "relaxed=True" in repr(relaxed)
    bound = (solve(relaxed, thetas).values * thetas).sum(1)
    assert (bound >= (solve(ILPAdapter(program()), thetas).values * thetas).sum(1) - 1e-9).all()


def test_the_relaxation_trains():
    layer = SolverLayer(ILPAdapter(program(), relaxed=True), num_workers=0)
    theta, truth = torch.rand(6, 12, requires_grad=True), torch.rand(6, 12)
    FenchelYoungLoss(layer, num_samples=2)(theta, layer.map(truth)).backward()
    assert theta.grad.isfinite().all()
    assert theta.grad.abs().sum() > 0
