"""Instances that fail: statuses, policies, counts; and the per-instance context that tests them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from imle_solvers import IMLE, AdapterError, SolveError, SolverLayer, Stats, Status, Target
from tests.solvers import StatusAdapter, function_adapter

FAILED = [Status.INFEASIBLE, Status.UNBOUNDED, Status.TIMEOUT, Status.CRASHED]


def make(on_failure="raise", **kwargs):
    return SolverLayer(StatusAdapter(), num_workers=0, on_failure=on_failure, **kwargs)


def statuses(*values):
    return torch.tensor([int(value) for value in values])


@pytest.mark.parametrize("status", [Status.FEASIBLE, *FAILED])
def test_raise_names_instance_status_adapter_and_remedy(status):
    with pytest.raises(SolveError) as info:
        make(num_samples=2)(torch.ones(3, 3), status=statuses(0, status, status))
    message = str(info.value)
    assert message.startswith("StatusAdapter(")
    assert f"instance 1, sample 0 ended {status.name} (and 3 more)" in message
    assert "on_failure=" in message
    assert info.value.failures == [(1, 0, status), (1, 1, status), (2, 0, status), (2, 1, status)]


@pytest.mark.parametrize("status", [Status.FEASIBLE, *FAILED])
@pytest.mark.parametrize("num_samples", [None, 3])
def test_zero_grad_gives_zero_solutions_and_gradients_to_failed_instances_alone(status, num_samples):
    layer = make("zero_grad", num_samples=num_samples)
    theta = torch.ones(3, 3, requires_grad=True)
    z = layer(theta, status=statuses(0, status, 0))
    z.sum().backward()
    assert z[1].abs().sum() == 0
    assert theta.grad[1].abs().sum() == 0
    for row in (0, 2):
        assert z[row].abs().sum() > 0
        assert theta.grad[row].abs().sum() > 0
    solves = 2 * (num_samples or 1)
    assert layer.stats().statuses == {Status.OPTIMAL: 2 * solves, status: solves}


class FailsBackward(StatusAdapter):
    """The target solve has other signs than the forward solve."""

    def solve(self, state, theta, status=Status.OPTIMAL):
        return (theta, Status.OPTIMAL) if theta[0] > 0 else (None, Status.INFEASIBLE)


def test_zero_grad_where_only_the_target_fails():
    layer = SolverLayer(FailsBackward(), estimator=IMLE(None, Target()), num_workers=0, on_failure="zero_grad")
    theta = torch.tensor([[100.0, 1, 1], [100, 1, 1]], requires_grad=True)
    z = layer(theta)
    z.backward(torch.tensor([[100.0, 1, 1], [1, 1, 1]]))
    assert z[0, 0] > 0
    assert theta.grad[0].abs().sum() == 0
    assert theta.grad[1].abs().sum() > 0


def test_keep_uses_feasible_solutions_as_they_are_and_raises_for_the_rest():
    layer = make("keep").eval()
    theta = torch.ones(2, 3)
    assert torch.equal(layer(theta, status=statuses(0, Status.FEASIBLE)), theta)
    for status in FAILED:
        with pytest.raises(
            SolveError, match=f"{status.name}.*keeps solutions that end FEASIBLE, and here there is none"
        ) as failure:
            layer(theta, status=statuses(0, status))
        assert str(pickle.loads(pickle.dumps(failure.value))) == str(failure.value)


def test_every_status_has_help():
    assert all(len(status.help) > 20 for status in Status)


def test_a_solver_that_returns_no_solution_as_optimal():
    with pytest.raises(AdapterError, match="expected a solution with status OPTIMAL, got None"):
        SolverLayer(function_adapter(lambda theta: None), num_workers=0)(torch.ones(1, 2))


def test_a_status_that_is_none():
    with pytest.raises(AdapterError, match="9 is not a valid Status"):
        SolverLayer(function_adapter(lambda theta: (theta, 9)), num_workers=0)(torch.ones(1, 2))


@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_a_solver_on_tensors_may_return_statuses(kind):
    adapter = function_adapter(lambda thetas: (thetas, kind([0, 2, 0])), batched=True)
    layer = SolverLayer(adapter, on_failure="zero_grad").eval()
    assert torch.equal(layer(torch.ones(3, 2)), torch.tensor([[1.0, 1], [0, 0], [1, 1]]))
    layer.on_failure = "raise"
    with pytest.raises(SolveError, match="instance 1, sample 0 ended INFEASIBLE"):
        layer(torch.ones(3, 2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0], r"expected 3 codes of Status, got statuses of shape \(1,\)"),
        ([0, 9, 0], "instance 1, sample 0: .*must be codes of Status, got 9"),
        ([0, -1, 0], "instance 1, sample 0: .*must be codes of Status, got -1"),
        (torch.tensor([0.0, 1.5, 0.0]), "instance 1, sample 0: .*must be codes of Status, got 1.5"),
        (torch.tensor([True, False, True]), "instance 0, sample 0: .*must be codes of Status, got True"),
        ([False, False, False], "instance 0, sample 0: .*must be codes of Status, got False"),
        ([0, True, 0], "instance 0, sample 0: .*must be codes of Status"),
    ],
    ids=str,
)
def test_statuses_of_a_solver_on_tensors_are_checked(wrong, message):
    adapter = function_adapter(lambda thetas: (thetas, wrong), batched=True)
    with pytest.raises(AdapterError, match=message):
        SolverLayer(adapter)(torch.ones(3, 2))


@pytest.mark.parametrize(
    "status", [True, False, np.True_, np.False_, 0.0, 2.0, np.float64(1), "OPTIMAL", None], ids=repr
)
def test_what_is_beside_a_solution_is_a_status(status):
    """A truth value would be read the wrong way round, and an objective as whatever status has its number."""
    adapter = function_adapter(lambda theta: (theta, status if theta[0] else Status.OPTIMAL))
    with pytest.raises(AdapterError, match="instance 1, sample 0: .*expected a status such as Status.OPTIMAL"):
        SolverLayer(adapter, num_workers=0).map(torch.tensor([[0.0, 1], [1, 1]]))


@pytest.mark.parametrize("status", [Status.FEASIBLE, 1, np.int64(1), np.uint8(1)], ids=repr)
def test_a_status_may_be_its_code(status):
    layer = SolverLayer(function_adapter(lambda theta: (theta, status)), num_workers=0, on_failure="keep")
    layer.map(torch.ones(1, 2))
    assert layer.stats().statuses == {Status.FEASIBLE: 1}


@pytest.mark.parametrize("more", [(), (Status.OPTIMAL, 0.5, 1)])
def test_a_tuple_of_more_than_solution_status_and_gap(more):
    message = f"expected a solution, or a tuple of it, a Status and, if known, its gap, got a tuple of {1 + len(more)}"
    with pytest.raises(AdapterError, match=message):
        SolverLayer(function_adapter(lambda theta: (theta, *more)), num_workers=0)(torch.ones(1, 2))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("status", [None, Status.OPTIMAL, Status.FEASIBLE])
def test_solutions_that_are_not_finite_are_errors_that_name_the_instance(value, batched, status):
    def solve(theta):
        solution = theta.clone() if batched else theta.copy()
        solution[solution[..., 1] < 0] = value
        if status is None:
            return solution
        return solution, (torch.full((len(theta),), int(status)) if batched else status)

    layer = SolverLayer(function_adapter(solve, batched=batched), num_workers=0, on_failure="keep")
    theta = torch.ones(4, 2)
    theta[2, 1] = -1
    expected = f"instance 2, sample 0: .*expected finite numbers.*{(status or Status.OPTIMAL).name}, got {value} at"
    with pytest.raises(AdapterError, match=expected):
        layer.map(theta)
    assert torch.equal(layer.map(theta[:2]), theta[:2])


@pytest.mark.parametrize("batched", [False, True])
def test_solutions_whose_sum_alone_is_not_finite_are_solutions(batched):
    theta = torch.full((4, 2), 3e38)
    layer = SolverLayer(function_adapter(lambda theta: theta, batched=batched), num_workers=0)
    assert torch.equal(layer.map(theta), theta)


@pytest.mark.parametrize("what", [float("nan"), None, "none", np.full(7, np.inf)], ids=str)
def test_what_a_failed_instance_returns_is_ignored(what):
    adapter = function_adapter(lambda theta: (what, Status.INFEASIBLE) if theta[0] < 0 else theta)
    layer = SolverLayer(adapter, num_workers=0, on_failure="zero_grad").eval()
    assert torch.equal(layer(torch.tensor([[-1.0, 1], [1, 1]])), torch.tensor([[0.0, 0], [1, 1]]))


def test_what_a_solver_on_tensors_returns_for_failed_instances_is_ignored():
    def solve(thetas):
        return torch.where(thetas < 0, torch.nan, thetas), torch.where(thetas[:, 0] < 0, 2, 0)

    layer = SolverLayer(function_adapter(solve, batched=True), on_failure="zero_grad")
    theta = torch.tensor([[-1.0, -1], [1, 1]], requires_grad=True)
    z = layer.eval()(theta)
    assert torch.equal(z, torch.tensor([[0.0, 0], [1, 1]]))
    z.sum().backward()
    assert bool(theta.grad.isfinite().all())


def test_stats_count_and_reset():
    layer = make("zero_grad")
    theta = torch.ones(2, 3, requires_grad=True)
    layer(theta, status=statuses(0, Status.TIMEOUT)).sum().backward()
    assert str(layer.stats()).startswith("2 batches, 4 instances: 2 OPTIMAL, 2 TIMEOUT; 2 serial; a solve ")
    assert "\n" not in repr(layer.stats())
    layer.stats().reset()
    assert str(layer.stats()) == "0 batches, 0 instances"
    assert layer.stats() == Stats()


def shifted(theta, shift, scale=1.0):
    return theta * scale + shift


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray, list])
def test_context_reaches_each_instance_in_both_solves(batched, kind):
    seen = []

    def solve(theta, shift):
        seen.append(np.asarray(shift).tolist())
        return theta + shift

    adapter = function_adapter(solve, n=3, batched=batched, context={"shift": (3,)})
    layer = SolverLayer(adapter, num_samples=2, num_workers=0)
    theta = torch.zeros(2, 3, requires_grad=True)
    shift = [[1.0, 2, 3], [4, 5, 6]]
    layer(theta, shift=kind(shift)).sum().backward()
    rows = [row for call in seen for row in call] if batched else seen
    assert rows == [shift[0], shift[0], shift[1], shift[1]] * 2


def test_context_of_a_single_theta_has_no_batch_axis():
    adapter = function_adapter(shifted, n=3, context={"shift": (3,), "scale": ()})
    layer = SolverLayer(adapter, num_workers=0).eval()
    z = layer(torch.ones(3), shift=[1.0, 2, 3], scale=2.0)
    assert torch.equal(z, torch.tensor([3.0, 4, 5]))
    assert torch.equal(layer(torch.ones(1, 3), shift=[[1.0, 2, 3]])[0], torch.tensor([2.0, 3, 4]))


def test_context_of_any_shape():
    adapter = function_adapter(lambda theta, a: theta + a.sum(), n=3, context=["a"])
    layer = SolverLayer(adapter, num_workers=0).eval()
    assert layer(torch.zeros(2, 3), a=torch.ones(2, 4, 5)).sum() == 120


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_context_of_any_floating_dtype(batched, dtype):
    """A buffer of a model that is cast as a whole, for one."""
    adapter = function_adapter(lambda theta, a: theta + a, n=3, context={"a": (3,)}, batched=batched)
    solution = SolverLayer(adapter, num_workers=0).map(torch.zeros(2, 3).to(dtype), a=torch.ones(2, 3).to(dtype))
    assert torch.equal(solution, torch.ones(2, 3).to(dtype))


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", ["state", "context", "thetas"])
def test_context_of_any_name(batched, name):
    adapter = function_adapter(lambda weights, **context: weights + context[name], context=[name], batched=batched)
    solution = SolverLayer(adapter, num_workers=0).map(torch.zeros(2, 2), **{name: torch.ones(2, 2)})
    assert torch.equal(solution, torch.ones(2, 2))


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"shfit": [[1.0] * 3] * 2}, "does not take shfit as context; it takes shift, scale"),
        ({"shift": [1.0, 2]}, r"context 'shift': expected shape \(2, 3\), or \(3,\) for all instances, got \(2,\)"),
        ({"shift": [[1.0] * 3] * 5}, r"expected shape \(2, 3\), or \(3,\) for all instances, got \(5, 3\)"),
        ({"shift": [[1.0] * 3] * 2, "scale": [1.0]}, r"expected shape \(2,\), or \(\) for all instances, got \(1,\)"),
    ],
)
def test_bad_context(context, message):
    adapter = function_adapter(shifted, n=3, context={"shift": (3,), "scale": ()})
    with pytest.raises(ValueError, match=message):
        SolverLayer(adapter, num_workers=0)(torch.zeros(2, 3), **context)
