"""What an adapter does wrong arrives, with its row and its traceback, from every executor, which stays sound."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import torch

from imle_solvers import AdapterError, SolverLayer, Status
from tests.programs import pids
from tests.solvers import (
    Returns,
    UnbuildableAdapter,
    fail_on_negative,
    fail_unpicklably,
    function_adapter,
    identity,
    nan_on_negative,
)


def test_a_solver_that_raises(executor):
    thetas = np.ones((20, 2))
    thetas[[13, 17], 0] = -1
    with pytest.raises(
        AdapterError, match="row 13 of the batch.*fail_on_negative.*ZeroDivisionError: negative theta"
    ) as info:
        executor.solve(function_adapter(fail_on_negative), thetas)
    assert info.value.row == 13
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    assert executor.solve(function_adapter(fail_on_negative), np.ones((20, 2))).values.sum() == 40


def test_a_solver_that_raises_in_another_process_shows_its_traceback_and_leaves_the_workers_sound(workers):
    before, thetas = None, np.arange(20.0).reshape(10, 2)
    thetas[2, 0] = -1
    for _ in range(3):
        with pytest.raises(AdapterError, match="row 2 of the batch") as info:
            workers.solve(function_adapter(fail_on_negative), thetas)
        assert any("in fail_on_negative" in note for note in info.value.__notes__)
        before = before or pids(workers)
        assert pids(workers) == before
        assert workers.solve(function_adapter(fail_on_negative), np.ones((20, 2))).values.sum() == 40


def test_the_layer_names_instance_and_sample(executor):
    layer = SolverLayer(function_adapter(fail_on_negative), num_samples=4, executor=executor)
    theta = torch.ones(5, 2) * 1e9
    theta[3, 0] = -1e9
    with pytest.raises(AdapterError, match="instance 3, sample 0"):
        layer(theta)


def test_an_exception_that_does_not_pickle_still_arrives(executor):
    with pytest.raises(AdapterError, match="UnpicklableError: a"):
        executor.solve(function_adapter(fail_unpicklably), np.ones((2, 2)))


def test_an_exception_of_a_module_that_only_the_worker_finds_still_arrives(workers, tmp_path):
    (tmp_path / "of_the_worker.py").write_text("class Strange(Exception):\n    pass\n")

    def fail(theta):
        sys.path.append(str(tmp_path))
        import of_the_worker

        raise of_the_worker.Strange("a")

    with pytest.raises(AdapterError, match="row 0 .*Strange: a") as info:
        workers.solve(function_adapter(fail), np.ones((2, 2)))
    assert info.value.__cause__ is None
    assert any("of_the_worker.Strange" in note for note in info.value.__notes__)


def test_an_adapter_that_does_not_pickle(workers):
    lock = threading.Lock()
    with pytest.raises(AdapterError, match="cannot be sent to worker processes.*Make it picklable"):
        workers.solve(function_adapter(lambda theta: lock), np.ones((2, 2)))
    assert workers.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


def test_a_state_that_cannot_be_built(executor):
    with pytest.raises(AdapterError, match="could not build its state: OSError: no licence"):
        executor.solve(UnbuildableAdapter(), np.ones((2, 2)))


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((2, 2)), 1.0, None, "text"], ids=str)
def test_a_solution_of_the_wrong_shape(executor, wrong):
    with pytest.raises(AdapterError, match=r"row 0 .*(expected a solution|could not convert)"):
        executor.solve(function_adapter(lambda theta: wrong), np.ones((2, 2)))


def test_a_batch_of_nonsense(executor):
    for values, statuses, message in (
        ([[0.0, 1.0]], np.zeros(1), "expected solutions in an array, got list"),
        (np.ones((1, 2)), [0], "expected statuses in an array, got list"),
        (np.ones((1, 2)), np.array([None]), "expected statuses of real numbers, got object"),
        (np.ones((1, 2)), np.array([6]), "codes of Status, got 6"),
        (np.ones((1, 2)), np.array([-1]), "codes of Status, got -1"),
        (np.ones((1, 2)), np.array([1.5]), "row 0 of the batch: .*codes of Status, got 1.5"),
        (np.ones((1, 2)), np.array([False]), "row 0 of the batch: .*codes of Status, got False"),
        (np.array([[0.0, np.nan]]), np.zeros(1), r"row 0 of the batch: .*expected finite.* OPTIMAL, got nan at \(1,\)"),
        (np.array([[np.inf, 1]]), np.ones(1), r"row 0 of the batch: .*expected finite.* FEASIBLE, got inf at \(0,\)"),
    ):
        with pytest.raises(AdapterError, match=message):
            executor.solve(Returns(values, statuses), np.ones((1, 2)))
    solved = executor.solve(Returns(np.ones((1, 2)), np.array([2.0])), np.ones((1, 2)))
    assert solved.statuses.dtype == np.uint8 and solved.statuses.tolist() == [Status.INFEASIBLE]
    executor.solve(Returns(np.full((1, 2), np.nan), np.array([2])), np.ones((1, 2)))  # nobody looks at it
    with pytest.raises(AdapterError, match="got inf"):  # which it is in theta's dtype
        executor.solve(Returns(np.full((1, 2), 1e300), np.zeros(1)), np.ones((1, 2), np.float32))


def test_of_all_rows_at_fault_the_first_is_named(executor):
    """Whether it raises or returns nonsense, and wherever chunks begin."""
    thetas = np.ones((8, 2))
    thetas[3, 0], thetas[5, 1] = -1, 5
    with pytest.raises(AdapterError, match="row 3 of the batch: .*expected finite"):
        executor.solve(function_adapter(nan_on_negative), thetas.copy())
    thetas[2, 1] = 5
    with pytest.raises(AdapterError, match="row 2 of the batch: .*ZeroDivisionError"):
        executor.solve(function_adapter(nan_on_negative), thetas.copy())
