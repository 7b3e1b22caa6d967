"""Every executor gives the same: solutions in order, samples and gradients, from any thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter, ShortestPathAdapter
from imle_solvers import SerialExecutor, SolverLayer
from imle_solvers.executors.base import chunk_bounds
from tests.solvers import Reuses, UnbuildableAdapter, function_adapter, identity, top_k

ADAPTERS = {
    "enumeration": lambda: top_k(6, 2),
    "shortest path": lambda: ShortestPathAdapter.grid(4, 5),
    "assignment": lambda: AssignmentAdapter(3, 4),
    "a closure": lambda: function_adapter(lambda theta: np.sort(theta), n=4),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_executor_gives_the_same_samples_and_gradients(executor, name):
    adapter = ADAPTERS[name]()
    results = []
    for place in (SerialExecutor(), executor):
        layer = SolverLayer(adapter, num_samples=3, executor=place, generator=torch.Generator().manual_seed(0))
        theta = torch.rand(7, *adapter.instance_shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        z = layer(theta)
        (z * torch.linspace(-1, 1, z.numel()).view_as(z)).sum().backward()
        results.append((z.detach(), theta.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("n", [2, 40_000], ids=["small", "large"])  # which Ray sends in different ways
@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_order_is_kept_for_any_batch_size(executor, rows, n):
    thetas = np.arange(float(rows * n)).reshape(rows, n)
    solved = executor.solve(function_adapter(identity, n=n), thetas)
    np.testing.assert_array_equal(solved.values, thetas)
    np.testing.assert_array_equal(solved.statuses, np.zeros(rows))


def test_an_empty_batch_starts_no_work(executor):
    solved = executor.solve(UnbuildableAdapter(), np.zeros((0, 2)))
    assert solved.values.shape == (0, 2)


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
@pytest.mark.parametrize("chunks", [1, 2, 64])
def test_chunks_cover_the_batch_once(rows, chunks):
    bounds = chunk_bounds(rows, chunks)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(rows))
    assert all(start < stop for start, stop in bounds)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_context_and_dtypes_arrive(executor, dtype):
    def combine(theta, mask, count, wide):
        assert mask.dtype == bool
        assert count.dtype == np.int64
        return theta * mask + count + wide.sum()

    adapter = function_adapter(combine, n=3, context=["mask", "count", "wide"])
    rng = np.random.default_rng(0)
    thetas = rng.normal(size=(9, 3)).astype(dtype)
    context = {
        "mask": rng.random((9, 3)) < 0.5,
        "count": np.arange(9),
        "wide": rng.normal(size=(9, 2, 0)),
    }
    solved = executor.solve(adapter, thetas, context)
    expected = SerialExecutor().solve(adapter, thetas, context)
    assert solved.values.dtype == expected.values.dtype == dtype
    np.testing.assert_array_equal(solved.values, expected.values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_solvers_in_other_processes_may_overwrite_what_they_are_given(workers, dtype):
    def overwrite(theta, mask):
        theta *= mask
        mask[:] = False
        return theta

    rng = np.random.default_rng(0)
    thetas, mask = rng.normal(size=(9, 3)).astype(dtype), rng.random((9, 3)) < 0.5
    before = thetas.copy(), mask.copy()
    solved = workers.solve(function_adapter(overwrite, n=3, context=["mask"]), thetas, {"mask": mask})
    assert solved.values.dtype == dtype
    np.testing.assert_array_equal(solved.values, before[0] * before[1])
    np.testing.assert_array_equal(thetas, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_solutions_do_not_change_with_the_next_batch(executor):
    adapter = Reuses()
    first, second = (executor.solve(adapter, np.full((1, 2), status)) for status in (1.0, 2.0))
    assert (first.values == 1).all() and (first.statuses == 1).all()
    assert (second.values == 2).all() and (second.statuses == 2).all()


def test_one_executor_used_from_several_threads(executor):
    adapter, errors = function_adapter(identity), []

    def use(value):
        for _ in range(10):
            thetas = np.full((9, 2), value)
            if not np.array_equal(executor.solve(adapter, thetas).values, thetas):
                errors.append(value)

    threads = [threading.Thread(target=use, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
