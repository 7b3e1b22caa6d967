"""Assignments against enumeration and a second solver."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from imle_adapters import AssignmentAdapter
from imle_solvers import InputError, SolveError, SolverLayer, Status


def best_by_enumeration(theta, sense, allowed, unmatched):
    """The best objective over all matchings, None where there is none."""
    n, m = theta.shape
    pick = min if sense == "min" else max
    best = None
    for choice in itertools.product([None, *range(m)], repeat=n):
        columns = [column for column in choice if column is not None]
        alone = choice.count(None)
        if len(set(columns)) < len(columns) or (unmatched is None and alone > max(0, n - m)):
            continue
        if any(column is not None and not allowed[row, column] for row, column in enumerate(choice)):
            continue
        value = sum(theta[r, c] if c is not None else (unmatched or [0] * n)[r] for r, c in enumerate(choice))
        best = value if best is None else pick(best, value)
    return best


def solve(adapter, theta, **context):
    solved = adapter.solve_batch(adapter.build(), theta[None], {k: np.asarray(v)[None] for k, v in context.items()})
    return solved.values[0], Status(int(solved.statuses[0]))


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    sense=st.sampled_from(["min", "max"]),
    priced=st.booleans(),
    seed=st.integers(0, 10_000),
    density=st.sampled_from([0.3, 0.7, 1.0]),
    whole=st.booleans(),
)
def test_no_matching_is_better(shape, sense, priced, seed, density, whole):
    rng = np.random.default_rng(seed)
    theta = rng.integers(-3, 4, shape).astype(float) if whole else rng.normal(size=shape)
    allowed = rng.random(shape) < density
    unmatched = rng.normal(size=shape[0]).tolist() if priced else None
    z, status = solve(AssignmentAdapter(*shape, sense, unmatched=unmatched), theta, allowed=allowed)
    best = best_by_enumeration(theta, sense, allowed, unmatched)
    if best is None:
        assert status is Status.INFEASIBLE
        return
    assert status is Status.OPTIMAL
    assert set(np.unique(z)) <= {0.0, 1.0}
    assert z.sum(0).max() <= 1
    assert z.sum(1).max() <= 1
    assert not (z * ~allowed).any()
    value = (z * theta).sum() + (np.array(unmatched or [0] * shape[0]) * (1 - z.sum(1))).sum()
    assert value == pytest.approx(best)


@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("shape", [(80, 80), (40, 70), (70, 40)])
def test_large_ones_equal_a_second_solver(sense, shape):
    theta = np.random.default_rng(0).uniform(1, 2, shape)
    z, _ = solve(AssignmentAdapter(*shape, sense), theta)
    rows, columns = min_weight_full_bipartite_matching(csr_array(theta), maximize=sense == "max")
    assert (z * theta).sum() == pytest.approx(theta[rows, columns].sum())
    assert z.sum() == min(shape)


def test_dtype_and_ties_do_not_depend_on_the_batch():
    adapter = AssignmentAdapter(4, 4)
    theta = np.zeros((6, 4, 4), dtype=np.float32)
    theta[3:] = np.random.default_rng(0).integers(0, 2, (3, 4, 4))
    batch = adapter.solve_batch(None, theta, {}).values
    assert batch.dtype == np.float32
    for row, z in zip(theta, batch, strict=True):
        np.testing.assert_array_equal(solve(adapter, row)[0], z)


def test_the_constructors_mask_and_the_contexts_both_hold():
    adapter = AssignmentAdapter(2, 2, allowed=[[True, False], [True, True]])
    theta = np.zeros((2, 2))
    np.testing.assert_array_equal(solve(adapter, theta)[0], np.eye(2))
    assert solve(adapter, theta, allowed=[[True, True], [True, False]])[1] is Status.INFEASIBLE


def test_an_infeasible_instance_ends_alone():
    layer = SolverLayer(AssignmentAdapter(2, 2), num_workers=0, on_failure="zero_grad").eval()
    allowed = torch.ones(3, 2, 2, dtype=torch.bool)
    allowed[1, 0] = False
    assert layer(torch.zeros(3, 2, 2), allowed=allowed).sum((1, 2)).tolist() == [2, 0, 2]
    layer.on_failure = "raise"
    with pytest.raises(SolveError, match="instance 1, sample 0 ended INFEASIBLE"):
        layer(torch.zeros(3, 2, 2), allowed=allowed)


def test_unmatched_prices_per_instance():
    layer = SolverLayer(AssignmentAdapter(1, 2, unmatched=1.0), num_workers=0).eval()
    theta = torch.full((2, 1, 2), 3.0)
    assert layer(theta).sum() == 0
    assert layer(theta, unmatched=[[1.0], [5.0]]).sum((1, 2)).tolist() == [0, 1]
    with pytest.raises(InputError, match="instance 1, sample 0: context 'unmatched': expected finite"):
        layer(theta, unmatched=[[1.0], [float("nan")]])
    with pytest.raises(ValueError, match="does not take unmatched as context; it takes allowed"):
        SolverLayer(AssignmentAdapter(1, 2), num_workers=0)(theta, unmatched=[[1.0], [5.0]])


def test_pickles():
    adapter = pickle.loads(pickle.dumps(AssignmentAdapter(2, 3, "max", unmatched=2.0)))
    assert repr(adapter) == "AssignmentAdapter(2, 3, sense='max', backend='compiled')"
    assert solve(adapter, np.zeros((2, 3)))[0].sum() == 0
