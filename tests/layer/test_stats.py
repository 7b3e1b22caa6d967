"""What `layer.stats()` says about times, and who is told of progress."""

from __future__ import annotations

import logging
import os
import pickle
import time

import numpy as np
import pytest
import torch

from imle_solvers import IMLE, FunctionAdapter, ProcessExecutor, SolveError, SolverLayer, Stats, ThreadExecutor
from imle_solvers.executors.cpus import available_cpus
from imle_solvers.report import Report
from imle_solvers.solving.stats import SolveTimes
from tests.faults import FaultyAdapter
from tests.solvers import function_adapter, identity, slow, top_k


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_right_to_the_width_of_a_bin(seed):
    seconds = np.random.default_rng(seed).lognormal(-6, 2, 999)
    times = SolveTimes()
    for value in seconds:
        times.add(1, value)
    for share, told in ((0.5, times.p50), (0.99, times.p99), (0.2, times.quantile(0.2))):
        assert np.quantile(seconds, share, method="inverted_cdf") <= told * (1 + 1e-9)
        assert told <= 1.045 * np.quantile(seconds, share, method="inverted_cdf")
    assert times.max == seconds.max()
    assert times.total == pytest.approx(seconds.sum())


def test_solves_in_one_call_count_with_their_mean():
    times = SolveTimes()
    times.add(99, 0.99)
    times.add(1, 5.0)
    assert times.p50 == pytest.approx(0.01, rel=0.05)
    assert times.p99 == pytest.approx(0.01, rel=0.05)
    assert (times.max, times.total) == (5.0, 5.99)
    assert SolveTimes().p99 == 0


def test_times_of_a_batch_add_up():
    report = Report("processes", num_workers=2, total=1.0, copying=0.1, chunks=[(4, 0.8), (4, 0.6)])
    assert report.solving == pytest.approx(1.4)
    assert report.waiting == pytest.approx(0.2)
    stats = Stats()
    stats.add(report)
    stats.add(report)
    assert stats.total_seconds == 2.0
    assert stats.copy_seconds == pytest.approx(0.2)
    assert stats.queue_seconds == pytest.approx(0.4)
    assert stats.executors == {"processes": 2}


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_the_layer_measures_its_solver_alone(executor):
    layer = SolverLayer(
        function_adapter(slow), estimator=IMLE(None), executor=executor, num_workers=None if executor == "serial" else 2
    )
    with layer:
        layer(0.02 + 1e-4 * torch.arange(12.0).view(6, 2))
        stats = layer.stats()
    assert stats.executors == {executor: 1}
    assert stats.solve_times.bins.total() == 6
    assert 0.019 < stats.solve_times.p50 <= stats.solve_times.p99 <= stats.solve_times.max
    assert stats.solve_times.total >= 6 * 0.02
    assert stats.total_seconds >= stats.copy_seconds + stats.queue_seconds
    assert f"1 {executor}; a solve" in str(stats)


def test_solvers_on_tensors_are_counted_too():
    layer = SolverLayer(function_adapter(lambda thetas: thetas, batched=True))
    layer.map(torch.ones(3, 2))
    assert layer.stats().executors == {"device": 1}


@pytest.mark.parametrize("place", [ThreadExecutor, ProcessExecutor])
def test_progress_is_told_of_both_passes(place):
    with place(2) as executor:
        layer = SolverLayer(top_k(4, 2), executor=executor)
        seen = []
        layer.on_progress = lambda done, rows: seen.append((done, rows))
        z = layer(torch.rand(12, 4, requires_grad=True))
        assert seen[-1] == (12, 12)
        seen.clear()
        z.sum().backward()
        assert seen[-1] == (12, 12)


def test_progress_counts_every_row_once_although_workers_die(tmp_path):
    thetas = np.zeros((10, 2))
    thetas[:, 1] = np.arange(10)
    thetas[4, 0] = 1  # kills its worker
    seen = []
    with ProcessExecutor(2) as executor:
        executor.solve(FaultyAdapter(tmp_path), thetas, on_progress=lambda done, rows: seen.append(done))
    assert seen == sorted(set(seen))
    assert seen[-1] == 10


def test_a_callback_that_raises_stops_the_batch_and_not_the_executor():
    def stop(done, rows):
        raise RuntimeError("enough")

    with ProcessExecutor(2) as executor:
        thetas = np.full((8, 2), 0.01)
        with pytest.raises(RuntimeError, match="enough"):
            executor.solve(function_adapter(slow), thetas, on_progress=stop)
        np.testing.assert_array_equal(executor.solve(function_adapter(slow), thetas).values, thetas)


def test_logging_tells_of_restarts(tmp_path, capfd, caplog):
    thetas = np.array([[0.0, 0.0], [1.0, 0.0]])
    with ProcessExecutor(1) as executor, caplog.at_level(logging.WARNING, "imle_solvers"):
        executor.solve(FaultyAdapter(tmp_path), thetas)
    assert [record.message for record in caplog.records] == [
        "2 worker processes ended and were replaced: 2 by SIGKILL; of those sent to worker processes row 1 ends CRASHED"
    ]
    assert capfd.readouterr() == ("", "")


def test_a_solver_that_ends_its_worker_on_every_row_is_told_of_once(capfd, caplog):
    adapter = FunctionAdapter(lambda theta: os._exit(3), sense="max", instance_shape=2)
    with (
        ProcessExecutor(2) as executor,
        caplog.at_level(logging.WARNING, "imle_solvers"),
        pytest.raises(SolveError) as caught,
    ):
        SolverLayer(adapter, executor=executor).map(torch.zeros(7, 2) + torch.arange(7.0)[:, None])
    assert [record.message for record in caplog.records] == [
        "14 worker processes ended and were replaced: 14 with exit code 3; of those sent to worker processes rows "
        "0, 1, 2, 3, 4 and 2 more end CRASHED"
    ]
    assert "CRASHED (and 6 more): its worker process ended with exit code 3, twice; solve it" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_workers_start_with_the_layer_and_build_before_the_first_batch(tmp_path):
    mark = tmp_path / "built"

    class Marks(FaultyAdapter):
        def build(self):
            mark.touch()

    with SolverLayer(Marks(tmp_path), executor="processes", num_workers=1) as layer:
        deadline = time.monotonic() + 30
        while not mark.exists():
            assert time.monotonic() < deadline, "the state was not built"
            time.sleep(0.01)
        assert layer.map(torch.zeros(2, 2)).sum() == 0


def test_a_state_that_cannot_be_built_is_told_of_with_the_first_batch():
    def build():
        raise OSError("no licence")

    adapter = top_k(3, 1)
    adapter.build = build
    with SolverLayer(adapter, executor="processes", num_workers=1) as layer:
        time.sleep(0.5)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no licence"):
                layer.map(torch.zeros(2, 3))


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    cores = available_cpus()
    for ranks, expected in (("1", cores), ("2", max(1, cores // 2)), ("1000", 1), ("", cores)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
        assert available_cpus() == expected
        assert ThreadExecutor().num_workers == expected


def test_an_executor_of_another_kind_needs_no_report():
    """What subclasses of `Executor` outside this package return."""

    class Plain(ThreadExecutor):
        def _solve(self, adapter, thetas, context, progress):
            solutions = super()._solve(adapter, thetas, context, progress)
            solutions.report = None
            return solutions

    with Plain(1) as executor:
        layer = SolverLayer(function_adapter(identity), executor=executor)
        layer.map(torch.ones(2, 2))
        assert layer.stats().executors == {"Plain": 1}
