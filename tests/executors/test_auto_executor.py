"""The choice of where to solve: what it rests on, what it costs, and that it changes no result."""

from __future__ import annotations

import itertools
import logging
import time

import numpy as np
import pytest
import torch

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import AdapterError, AutoExecutor, SerialExecutor, SolverLayer, ThreadExecutor
from imle_solvers.adapter import Parallelism
from imle_solvers.executors import auto
from imle_solvers.executors.auto import _Record
from imle_solvers.executors.by_name import make_executor
from tests.solvers import fail_on_negative, function_adapter, identity, top_k

START = auto._START_SECONDS["processes"]


class Machine:
    """Executors that take as long as they are told, and count what they took."""

    def __init__(self, parallelism, row, dispatch, workers=2):
        self.record = _Record(workers, parallelism)
        self.together = "threads" if parallelism is Parallelism.THREADS else "processes"
        self.row, self.dispatch, self.workers = row, dispatch, workers
        self.spent, self.ways = 0.0, []
        self.record.learn("serial", 1, row, row)

    def seconds(self, way, rows):
        if way == "serial":
            return rows * self.row
        return self.dispatch + rows * self.row / self.workers

    def solve(self, rows, noise=1.0):
        way = self.record.settled(rows)
        learns = way is None
        way = way or self.record.choose(rows)
        first = way != "serial" and way not in self.ways
        total = noise * self.seconds(way, rows) + (START if first and way == "processes" else 0)
        if learns:
            self.record.learn(way, rows, noise * rows * self.row, total)
        self.spent += total
        self.ways.append(way)


@pytest.mark.parametrize(
    ("parallelism", "dispatch"),
    [
        (Parallelism.THREADS, 3e-5),
        (Parallelism.THREADS, 5e-4),
        (Parallelism.PROCESSES, 3e-4),
        (Parallelism.PROCESSES, 2e-3),
    ],
)
@pytest.mark.parametrize("rows", [2, 512])
@pytest.mark.parametrize("row", [1e-6, 1e-5, 1e-4, 1e-2])
def test_it_is_hardly_worse_than_the_best_fixed_choice(parallelism, rows, row, dispatch):
    """Within 1.1 times once it knows, and until then by no more than a few starts of workers."""
    machine = Machine(parallelism, row, dispatch)
    noise = np.random.default_rng(0).uniform(1.0, 1.3, 4000)
    best = min(machine.seconds(way, rows) for way in ("serial", machine.together)) * noise
    for factor in noise[:2000]:
        machine.solve(rows, factor)
    learning = machine.spent
    assert learning <= 1.1 * best[:2000].sum() + (3 * START if machine.together == "processes" else 0.01)
    for factor in noise[2000:]:
        machine.solve(rows, factor)
    assert machine.spent - learning <= 1.1 * best[2000:].sum() + 2 * machine.dispatch


def test_processes_start_at_once_where_a_batch_takes_long_and_never_where_it_takes_no_time():
    slow = Machine(Parallelism.PROCESSES, row=0.1, dispatch=1e-3)
    slow.solve(64)
    assert slow.ways == ["processes"]
    quick = Machine(Parallelism.PROCESSES, row=1e-7, dispatch=1e-3)
    for _ in range(5000):
        quick.solve(64)
    assert set(quick.ways) == {"serial"}


def test_processes_start_when_doing_without_them_has_cost_as_much():
    machine = Machine(Parallelism.PROCESSES, row=1e-3, dispatch=1e-3)
    for _ in range(100):
        machine.solve(20)
    alone = machine.ways.index("processes")
    lost = alone * (machine.seconds("serial", 20) - machine.seconds("processes", 20))
    assert 0.8 * START <= lost <= 1.2 * START


def test_a_single_row_and_a_single_worker_stay_in_process():
    machine = Machine(Parallelism.PROCESSES, row=10.0, dispatch=1e-3)
    assert machine.record.choose(1) == "serial"
    assert _Record(1, Parallelism.THREADS).choose(100) == "serial"


def test_a_solver_whose_cost_changes_is_measured_again():
    machine = Machine(Parallelism.THREADS, row=1e-6, dispatch=1e-4)
    for _ in range(200):
        machine.solve(64)
    assert machine.ways[-1] == "serial"
    machine.row = 1e-3
    for _ in range(200):
        machine.solve(64)
    assert machine.ways[-1] == "threads"


@pytest.fixture
def eager(monkeypatch):
    """Starts workers at the least occasion."""
    monkeypatch.setitem(auto._START_SECONDS, "processes", 0.0)
    monkeypatch.setitem(auto._DISPATCH_SECONDS, "processes", 0.0)


def slow_identity(theta):
    time.sleep(0.002)
    return theta


@pytest.mark.slow
def test_order_is_kept_when_the_first_row_is_solved_elsewhere(eager):
    thetas, seen = np.arange(40.0).reshape(20, 2), []
    with AutoExecutor(2) as executor:
        solved = executor.solve(
            function_adapter(slow_identity), thetas, on_progress=lambda done, rows: seen.append((done, rows))
        )
    np.testing.assert_array_equal(solved.values, thetas)
    assert solved.report.executor == "processes"
    assert sum(rows for rows, _ in solved.report.chunks) == 20
    assert seen[0] == (1, 20)
    assert seen[-1] == (20, 20)
    assert all(one < other for (one, _), (other, _) in itertools.pairwise(seen))


def test_errors_name_the_row_of_the_whole_batch(eager):
    def fail(theta):
        time.sleep(0.002)
        return fail_on_negative(theta)

    thetas = np.ones((20, 2))
    thetas[7] = -1
    adapter = function_adapter(fail)
    with AutoExecutor(2) as executor:
        for _ in range(2):
            with pytest.raises(AdapterError, match="row 7 of the batch"):
                executor.solve(adapter, thetas)


def test_a_failure_in_the_very_first_row_leaves_the_executor_as_it_was():
    adapter = function_adapter(fail_on_negative)
    with AutoExecutor(2) as executor:
        for _ in range(2):
            with pytest.raises(AdapterError, match="row 0 of the batch"):
                executor.solve(adapter, np.full((5, 2), -1.0))
        np.testing.assert_array_equal(executor.solve(adapter, np.ones((5, 2))).values, np.ones((5, 2)))


@pytest.mark.slow
def test_the_layer_says_where_batches_were_solved(eager, caplog):
    with caplog.at_level(logging.INFO, "imle_solvers"):
        with SolverLayer(function_adapter(slow_identity), num_workers=2) as layer:
            layer.map(torch.rand(1, 2))
            layer.map(torch.rand(30, 2))
        assert layer.stats().executors == {"serial": 1, "processes": 1}
    assert "starts processes for batches of 30 rows" in caplog.text


def test_compiled_solvers_go_to_threads():
    adapter = ShortestPathAdapter.grid(60, 60)
    with SolverLayer(adapter, num_workers=2) as layer:
        for _ in range(4):
            layer.map(torch.rand(64, 60, 60))
        assert set(layer.stats().executors) <= {"serial", "threads"}


def test_it_is_the_default_but_for_no_workers():
    with SolverLayer(top_k(3, 1), num_workers=2) as layer:
        assert "AutoExecutor(num_workers=2)" in repr(layer)
    assert isinstance(make_executor("auto", 0), SerialExecutor)
    assert isinstance(make_executor("auto", 3), AutoExecutor)


def test_records_go_with_their_adapters():
    with AutoExecutor(2) as executor:
        adapter = function_adapter(identity)
        executor.solve(adapter, np.ones((2, 2)))
        assert len(executor._records) == 1
        del adapter
        assert len(executor._records) == 0


@pytest.mark.parametrize("kind", [SerialExecutor, lambda: ThreadExecutor(2), lambda: AutoExecutor(2)])
def test_progress_counts_every_row(kind):
    seen = []
    with kind() as executor:
        executor.solve(
            function_adapter(slow_identity), np.ones((9, 2)), on_progress=lambda *counts: seen.append(counts)
        )
    assert seen[-1] == (9, 9)
    assert all(rows == 9 for _, rows in seen)


def test_auto_is_a_name_for_solvers_on_tensors_too():
    layer = SolverLayer(TopKAdapter(3, 1), executor="auto")
    layer.map(torch.rand(2, 3))
    assert layer.stats().executors == {"device": 1}
