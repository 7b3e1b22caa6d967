"""Programs that are solved approximately, on purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends
from imle_solvers import FenchelYoungLoss, SerialExecutor, SolverLayer, Status
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
    assert np.isin(solved.statuses, [Status.OPTIMAL, Status.FEASIBLE]).all()
    assert (solved.values @ WEIGHTS.T <= WEIGHTS.sum(1) / 2 + 1e-9).all()
    found = (solved.values * thetas).sum(1)
    assert (best <= (1 + gap) * found + 1e-9).all()
    assert (found <= best + 1e-9).all()


@pytest.mark.parametrize("gap", [-0.1, math.nan, math.inf, True, "small", None])
def test_a_gap_is_a_number_of_at_least_0(gap):
    with pytest.raises(ValueError, match="expected relative_gap to be a number of at least 0, such as 0.01, got"):
        ILPAdapter(program(), relative_gap=gap)


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
