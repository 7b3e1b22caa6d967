"""Proven gaps arrive from wherever an instance is solved."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers import ProcessExecutor, SerialExecutor, SolutionCache, SolverLayer, Status
from tests.faults import FaultyAdapter
from tests.solvers import GapAdapter, Reuses, function_adapter, identity

SMALL = 2.0**-14
"""A gap that a solution may have which is OPTIMAL."""

THETAS = np.array([[1, 0.25], [0, -1], [1, 9], [1, -1], [2, 0.5], [0, SMALL], [1, 0.5]] * 3)


@pytest.mark.parametrize("batched", [False, True])
def test_every_executor_gives_the_same_gaps(executor, batched):
    for _ in range(3):  # in other chunks, once it is known how long they take
        solved = executor.solve(GapAdapter(batched), THETAS.copy())
        told = np.where(solved.statuses <= Status.FEASIBLE, solved.gaps, 0)
        assert told.tolist() == [0.25, 0, math.inf, math.inf, 0, SMALL, 0.5] * 3


def test_no_gaps_are_none(executor):
    assert executor.solve(function_adapter(identity), np.ones((9, 2))).gaps is None
    assert executor.solve(GapAdapter(True), np.array([[0.0, -1], [1, -1]] * 4)).gaps is None


def test_the_layer_tells_the_same_wherever_it_solves(executor):
    weights = np.random.default_rng(0).integers(5, 50, (3, 12)).astype(float)
    spec = ILPSpec(sense="max", A_ub=weights, b_ub=weights.sum(1) / 2, ub=1, integrality=True)
    theta = torch.from_numpy(weights.mean(0) + np.random.default_rng(1).random((12, 12)))
    adapter = ILPAdapter(spec, "scip", compiled=False, relative_gap=0.2)
    told = []
    for place in (SerialExecutor(), executor):
        layer = SolverLayer(adapter, executor=place, on_failure="keep")
        layer.map(theta)
        told.append(layer.stats().gaps)
    assert told[0].known == told[1].known == 12
    assert told[0].worst == told[1].worst > 0
    assert told[0].mean == pytest.approx(told[1].mean)


def test_memory_that_an_adapter_uses_again_is_not_shared(executor):
    class Buffer(Reuses):
        def solve_batch(self, state, thetas, context):
            solved = super().solve_batch(state, thetas, context)
            solved.gaps = state.gaps = np.zeros(1) if state.gaps is None else state.gaps
            solved.gaps[:] = thetas[0, 1]
            return solved

    adapter = Buffer()
    first, second = (executor.solve(adapter, np.full((1, 2), gap)) for gap in (1.0, 2.0))
    assert (first.gaps.tolist(), second.gaps.tolist()) == ([1], [2])


def test_rows_on_which_workers_died_have_none(tmp_path):
    class Faulty(FaultyAdapter):
        def solve(self, state, theta):
            return super().solve(state, theta), Status.FEASIBLE, 0.5

    thetas = np.zeros((5, 2))
    thetas[:, 1] = np.arange(5)
    thetas[2, 0] = 1  # kills its worker
    with ProcessExecutor(2) as executor:
        solved = executor.solve(Faulty(tmp_path), thetas)
    assert solved.statuses[2] == Status.CRASHED
    assert np.delete(solved.gaps, 2).tolist() == [0.5] * 4
    assert np.isfinite(solved.gaps[2])


def test_of_solutions_from_a_cache_nothing_is_proven():
    cache = SolutionCache(SerialExecutor(), solve_ratio=1e-9)
    adapter = GapAdapter()
    assert cache.solve(adapter, np.array([[0.0, SMALL]])).gaps.tolist() == [SMALL]
    cache.solve_ratio = 0.5
    solved = cache.solve(adapter, np.array([[0.0, SMALL]] * 20))
    expected = np.where(solved.statuses == Status.OPTIMAL, SMALL, math.inf)
    assert 0 < (solved.statuses == Status.OPTIMAL).sum() < 20
    np.testing.assert_array_equal(solved.gaps, expected)
