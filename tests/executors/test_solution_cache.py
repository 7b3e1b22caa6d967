"""The cache of solutions: what it trades, and what it does not."""

from __future__ import annotations

import copy
import gc

import numpy as np
import pytest
import torch

from imle_adapters import ShortestPathAdapter
from imle_solvers import (
    IMLE,
    AdapterError,
    ClosedError,
    Normal,
    ProcessExecutor,
    SerialExecutor,
    SolutionCache,
    SolverLayer,
    Status,
    ThreadExecutor,
)
from imle_solvers.executors.cache import FROM_CACHE
from tests.solvers import StatusAdapter, fail_on_negative, function_adapter, top_k


def cached(**kwargs):
    return SolutionCache(SerialExecutor(), **kwargs)


def test_the_best_of_the_past_is_chosen_for_each_instance_by_itself():
    rng = np.random.default_rng(0)
    for sense in ("max", "min"):
        adapter, cache = top_k(6, 2, sense), cached(solve_ratio=0.3)
        first = cache.solve(adapter, rng.normal(size=(3, 6)))
        assert (first.statuses == Status.OPTIMAL).all()
        kept = np.unique(first.values, axis=0)
        thetas = rng.normal(size=(200, 6))
        solved = cache.solve(adapter, thetas)
        from_cache = solved.statuses == Status.FEASIBLE
        assert solved.counters[FROM_CACHE] == from_cache.sum()
        assert 100 < from_cache.sum() < 180  # 70 % of them
        objectives = thetas @ kept.T
        best = objectives.max(1) if sense == "max" else objectives.min(1)
        np.testing.assert_allclose((solved.values * thetas).sum(1)[from_cache], best[from_cache])
        exact = SerialExecutor().solve(adapter, thetas)
        np.testing.assert_array_equal(solved.values[~from_cache], exact.values[~from_cache])


def test_with_a_ratio_of_one_it_is_the_executor_inside():
    adapter, thetas = top_k(5, 2), np.random.default_rng(0).normal(size=(40, 5))
    cache = cached(solve_ratio=1.0)
    for _ in range(2):
        solved = cache.solve(adapter, thetas)
        np.testing.assert_array_equal(solved.values, SerialExecutor().solve(adapter, thetas).values)
        assert (solved.statuses == Status.OPTIMAL).all()


def test_results_do_not_depend_on_the_executor_inside():
    adapter, results = top_k(6, 3), []
    for inside in (SerialExecutor(), ThreadExecutor(2), ProcessExecutor(2)):
        rng = np.random.default_rng(1)
        with inside:
            cache = SolutionCache(inside, solve_ratio=0.2)
            results.append(np.stack([cache.solve(adapter, rng.normal(size=(30, 6))).values for _ in range(5)]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_layer_that_accepts_feasible_solutions_learns_with_it():
    torch.manual_seed(0)
    layer = SolverLayer(
        ShortestPathAdapter.grid(4, 4),
        estimator=IMLE(Normal(), input_noise_temperature=0.1),
        on_failure="keep",
        executor=cached(solve_ratio=0.2),
    )
    costs = torch.rand(16, 4, 4) + 0.1
    goal = SolverLayer(ShortestPathAdapter.grid(4, 4), num_workers=0).map(costs)
    theta = torch.rand(16, 4, 4).add(0.5).requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=0.05)

    def distance(z):
        return (z - goal).abs().sum()

    before = distance(layer.map(theta).detach())
    for _ in range(60):
        optimizer.zero_grad()
        distance(layer(theta.clamp(min=0.2))).backward()
        optimizer.step()
    assert distance(layer.map(theta).detach()) < 0.5 * before
    assert layer.stats().counters[FROM_CACHE] > layer.stats().instances / 2
    strict = SolverLayer(top_k(3, 1), executor=cached(solve_ratio=1e-9))
    strict.map(torch.randn(1, 3))
    with pytest.raises(RuntimeError, match="FEASIBLE"):
        strict.map(torch.randn(8, 3))


def test_the_oldest_solutions_go_first():
    adapter, cache = top_k(4, 1), cached(solve_ratio=1.0, max_size=2)
    for best in (0, 1, 2):
        cache.solve(adapter, np.eye(4)[[best]])
    cache.solve_ratio = 1e-9
    kept = cache.solve(adapter, np.eye(4) * [4, 3, 2, 1]).values
    np.testing.assert_array_equal(kept[0], np.eye(4)[1])
    np.testing.assert_array_equal(kept[3], kept[0])


def test_only_optimal_solutions_are_kept():
    adapter, cache = StatusAdapter(), cached(solve_ratio=1.0)
    cache.solve(adapter, np.ones((2, 3)))
    assert len(cache._kept.get(adapter)) == 1
    del adapter
    gc.collect()
    assert len(cache._kept) == 0


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="only without context, got target"):
        SolverLayer(ShortestPathAdapter.grid(3, 3), executor=cached()).map(
            torch.rand(2, 3, 3), target=torch.tensor([4, 8])
        )
    with pytest.raises(ValueError, match="expected solutions of theta's shape"):
        cached().solve(function_adapter(lambda theta: theta.sum(), solution_shape=()), np.ones((2, 2)))
    with pytest.raises(ValueError, match="solve_ratio must be above 0"):
        cached(solve_ratio=0)
    with pytest.raises(ValueError, match="max_size"):
        cached(max_size=0)
    with pytest.raises(TypeError, match="expected an Executor"):
        SolutionCache("auto")


def test_errors_name_the_row_of_the_batch_though_others_are_not_solved():
    adapter, cache = function_adapter(fail_on_negative), cached(solve_ratio=0.3)
    cache.solve(adapter, np.ones((1, 2)))
    thetas = np.ones((50, 2))
    cache._random = np.random.default_rng(5)
    solved = np.flatnonzero(np.random.default_rng(5).random(50) < 0.3)
    assert solved[1] > 1
    thetas[solved[1]] = -1
    with pytest.raises(AdapterError, match=f"row {solved[1]} of the batch"):
        cache.solve(adapter, thetas)


def test_with_the_inside_closed_nothing_is_solved():
    with ProcessExecutor(1) as inside:
        cache = SolutionCache(inside)
    with pytest.raises(ClosedError, match="ProcessExecutor"):
        cache.solve(top_k(3, 1), np.eye(3))
    assert inside._pool is None


def test_errors_arrive_and_the_inside_is_not_closed():
    inside = SerialExecutor()
    with SolutionCache(inside, solve_ratio=1.0) as cache:
        with pytest.raises(AdapterError, match="row 1 of the batch"):
            cache.solve(function_adapter(fail_on_negative), np.array([[1.0, 1], [-1, 1]]))
        twin = copy.deepcopy(cache)
    assert cache.closed
    assert not inside.closed
    assert repr(twin) == repr(cache)
    assert twin.solve(top_k(3, 1), np.eye(3)).values.sum() == 3
