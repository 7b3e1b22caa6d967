"""What assignments may be asked for, instance by instance, and what is refused."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter
from imle_adapters.assignment.kernels import assignments
from imle_solvers import InputError, SolveError, SolverLayer, Status, ThreadExecutor

BACKENDS = ("compiled", "scipy")


def solve(adapter, theta, **context):
    solved = adapter.solve_batch(adapter.build(), theta[None], {k: np.asarray(v)[None] for k, v in context.items()})
    return solved.values[0], Status(int(solved.statuses[0]))


@pytest.mark.parametrize("shape", [(12, 12), (7, 12), (12, 7)])
def test_an_instance_is_solved_the_same_in_any_batch_and_thread(shape):
    rng = np.random.default_rng(0)
    thetas = np.concatenate([rng.normal(size=(20, *shape)), rng.integers(0, 3, (20, *shape))])
    allowed = rng.random(thetas.shape) < 0.2  # some have no matching
    adapter = AssignmentAdapter(*shape)
    solved = adapter.solve_batch(adapter.build(), thetas.copy(), {"allowed": allowed})
    assert {Status.OPTIMAL, Status.INFEASIBLE} == set(map(Status, solved.statuses.tolist()))
    order = rng.permutation(len(thetas))
    shuffled = adapter.solve_batch(adapter.build(), thetas[order], {"allowed": allowed[order]})
    with ThreadExecutor(3) as executor:
        threaded = executor.solve(adapter, thetas.copy(), {"allowed": allowed})
    for row, theta in enumerate(thetas):
        z, status = solve(adapter, theta, allowed=allowed[row])
        assert status == solved.statuses[row]
        for other in (solved.values[row], shuffled.values[np.flatnonzero(order == row)[0]], threaded.values[row]):
            np.testing.assert_array_equal(z, other)


def test_infeasible_instances_have_no_pairs():
    adapter = AssignmentAdapter(3, 3)
    allowed = np.ones((4, 3, 3), dtype=bool)
    allowed[0, 1] = False  # a row without a column
    allowed[1, :, 2] = False  # a column without a row
    allowed[2, :2, :2] = False  # two rows that share one column
    solved = adapter.solve_batch(adapter.build(), np.ones((4, 3, 3), np.float32), {"allowed": allowed})
    assert solved.statuses.tolist() == [Status.INFEASIBLE] * 3 + [Status.OPTIMAL]
    assert solved.values.sum((1, 2)).tolist() == [0, 0, 0, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_constructors_mask_and_the_contexts_both_hold(backend):
    adapter = AssignmentAdapter(2, 2, allowed=[[True, False], [True, True]], backend=backend)
    theta = np.zeros((2, 2))
    np.testing.assert_array_equal(solve(adapter, theta)[0], np.eye(2))
    assert solve(adapter, theta, allowed=[[True, True], [True, False]])[1] is Status.INFEASIBLE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [math.nan, 0.5, -math.inf])
def test_masks_of_other_values_than_zeros_and_ones_are_refused(value, backend):
    allowed = np.ones((2, 2, 2))
    adapter = AssignmentAdapter(2, 2, allowed=allowed[0], backend=backend)
    layer = SolverLayer(adapter, num_workers=0).eval()
    assert layer(torch.zeros(2, 2, 2), allowed=allowed).sum() == 4
    allowed[1, 0, 1] = value
    with pytest.raises(InputError, match=f"^instance 1, sample 0: .*expected allowed to be a mask.*got {value};"):
        layer(torch.zeros(2, 2, 2), allowed=allowed)
    with pytest.raises(ValueError, match="allowed must be a mask of zeros and ones"):
        AssignmentAdapter(2, 2, allowed=allowed[1], backend=backend)


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


@pytest.mark.parametrize("backend", BACKENDS)
def test_costs_and_prices_that_cannot_be_added_up_are_refused(backend):
    layer = SolverLayer(AssignmentAdapter(2, 2, backend=backend), num_workers=0).eval()
    theta = torch.ones(2, 2, 2, dtype=torch.float64)
    theta[1, 0] = 1.7e308
    with pytest.raises(InputError, match="^instance 1, sample 0: .*expected theta to be finite, and sums of it too"):
        layer(theta)
    priced = SolverLayer(AssignmentAdapter(2, 2, unmatched=1e299, backend=backend), num_workers=0).eval()
    assert priced(theta[:1]).sum() == 2
    with pytest.raises(InputError, match="^instance 0, sample 0: context 'unmatched'.*below 1e\\+300"):
        priced(theta[:1], unmatched=[[0.0, -1.7e308]])
    assert priced(theta[:1], unmatched=torch.zeros(1, 2)).sum() == 0  # float32, which 1e300 is not
    with pytest.raises(ValueError, match="unmatched must be finite, and below 1e\\+300"):
        AssignmentAdapter(2, 2, unmatched=1.7e308, backend=backend)


def test_memory_that_cannot_be_written_needs_no_kernel_of_its_own():
    thetas = np.random.default_rng(0).normal(size=(4, 3, 3))
    adapter = AssignmentAdapter(3, 3)
    z = adapter.solve_batch(adapter.build(), thetas.copy(), {}).values
    kernels = len(assignments.signatures)
    thetas.flags.writeable = False
    np.testing.assert_array_equal(adapter.solve_batch(adapter.build(), thetas, {}).values, z)
    assert len(assignments.signatures) == kernels


def test_arrays_that_the_caller_changes_later_change_nothing():
    allowed, prices = np.ones((2, 2), dtype=bool), np.zeros(2)
    adapter = AssignmentAdapter(2, 2, allowed=allowed, unmatched=prices)
    allowed[:], prices[:] = False, -9.0
    assert solve(adapter, np.full((2, 2), -1.0))[0].sum() == 2


def test_pickles():
    adapter = pickle.loads(pickle.dumps(AssignmentAdapter(2, 3, "max", unmatched=2.0)))
    assert repr(adapter) == "AssignmentAdapter(2, 3, sense='max', backend='compiled')"
    assert solve(adapter, np.zeros((2, 3)))[0].sum() == 0


def test_sizes_are_whole_numbers_numpys_too():
    layer = SolverLayer(AssignmentAdapter(np.int64(2), np.uint8(3)), num_workers=0).eval()
    assert layer(torch.zeros(2, 3)).sum() == 2
    for sizes in [(0, 1), (2.5, 3), (2, 3.0), (True, 2), ("2", 2)]:
        with pytest.raises(ValueError, match="whole numbers, at least one row and column, got"):
            AssignmentAdapter(*sizes)


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="one of 'compiled', 'scipy', got 'lapjv'"):
        AssignmentAdapter(2, 2, backend="lapjv")
