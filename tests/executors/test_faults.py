"""What worker processes survive: each fault is provoked."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

from imle_solvers import (
    ProcessExecutor,
    SolveError,
    SolverLayer,
    Status,
    WorkerDiedError,
)
from imle_solvers.executors.backlog import RESTARTS
from tests.faults import EXITS, KILLS, KILLS_ONCE, FaultyAdapter, KillsWhenBuilt, batch, check
from tests.programs import gone, kill, pids
from tests.solvers import function_adapter, identity, slow

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_in_mid_batch_is_replaced_and_nothing_is_lost(tmp_path, workers):
    thetas = batch((3, KILLS_ONCE), (4, KILLS_ONCE), (17, KILLS_ONCE))
    with ProcessExecutor(workers) as executor:
        solved = executor.solve(FaultyAdapter(tmp_path), thetas)
        # Rows that share a chunk with a killer are solved again one by one, where the second killer in it has killed
        # once already and, by its second death, is given up: it cannot be told from one that always kills.
        assert solved.counters[RESTARTS] >= 2
        lost = np.flatnonzero(solved.statuses)
        assert set(lost) < {3, 4, 17}
        check(solved, thetas, CRASHED=lost)
        again = executor.solve(FaultyAdapter(tmp_path), thetas)
        check(again, thetas)
        assert RESTARTS not in again.counters


@pytest.mark.slow
@pytest.mark.parametrize("fault", [KILLS, EXITS])
def test_instances_that_kill_twice_are_crashed_alone(processes, tmp_path, fault):
    thetas = batch((0, fault), (11, fault))
    for _ in range(2):
        solved = processes.solve(FaultyAdapter(tmp_path), thetas)
        check(solved, thetas, CRASHED=[0, 11])
        assert solved.counters[RESTARTS] == 4


@pytest.mark.slow
def test_what_a_worker_that_dies_has_in_store_is_solved_by_others(tmp_path):
    """Workers that know an adapter are given chunks ahead of time, of which those that were not begun are sound."""

    def doubles_late(theta):
        time.sleep(0.02)
        if theta[0] == KILLS:
            os.kill(os.getpid(), signal.SIGKILL)
        return theta * 2

    adapter = function_adapter(doubles_late, n=2)
    with ProcessExecutor(2) as executor:
        check(executor.solve(adapter, batch()), batch())
        thetas = batch((1, KILLS), (20, KILLS), (39, KILLS), rows=40)
        solved = executor.solve(adapter, thetas)
        check(solved, thetas, CRASHED=[1, 20, 39])
        assert solved.counters[RESTARTS] == 6
        check(executor.solve(adapter, batch()), batch())


@pytest.mark.slow
def test_workers_that_are_all_killed_from_outside(tmp_path):
    """As the out-of-memory killer does: between batches and in the middle of one."""
    adapter, thetas = function_adapter(slow), np.full((12, 2), 0.1)
    with ProcessExecutor(2) as executor:
        executor.solve(adapter, thetas[:2])
        for delay in (0.0, 0.25):
            victims = pids(executor)
            timer = threading.Timer(delay, kill, victims)
            timer.start()
            if delay == 0:
                timer.join()
            solved = executor.solve(adapter, thetas)
            timer.join()
            np.testing.assert_array_equal(solved.values, thetas)
            np.testing.assert_array_equal(solved.statuses, 0)
            assert solved.counters[RESTARTS] == 2
            assert not set(victims) & set(pids(executor))


def test_the_layer_counts_restarts_and_applies_its_policy(tmp_path):
    theta = torch.from_numpy(batch((5, KILLS), rows=8)).requires_grad_()
    with ProcessExecutor(2) as executor:
        layer = SolverLayer(FaultyAdapter(tmp_path), executor=executor, on_failure="zero_grad").eval()
        z = layer(theta)
        assert z[5].abs().sum() == 0
        z.sum().backward()
        assert theta.grad[5].abs().sum() == 0
        stats = layer.stats()
        assert stats.statuses[Status.CRASHED] == 1  # the target's theta is another, which kills nobody
        assert stats.counters[RESTARTS] == 2
        layer.on_failure = "raise"
        with pytest.raises(SolveError, match="instance 5, sample 0 ended CRASHED"):
            layer(theta)


def test_a_state_that_kills_its_worker_is_an_error_not_a_long_wait(tmp_path):
    thetas = batch(rows=40)
    with ProcessExecutor(1) as executor:
        check(executor.solve(KillsWhenBuilt(tmp_path), thetas), thetas)
    begin = time.monotonic()
    with (
        ProcessExecutor(2) as executor,
        pytest.raises(WorkerDiedError, match="3 worker processes in a row ended while loading .* SIGKILL"),
    ):
        executor.solve(KillsWhenBuilt(tmp_path), thetas)
    assert time.monotonic() - begin < 60


def test_a_worker_that_cannot_start(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with ProcessExecutor(2) as executor:
        with pytest.raises(
            WorkerDiedError, match="3 worker processes in a row ended while starting, the last with exit code 7"
        ):
            executor.solve(function_adapter(identity), np.ones((4, 2)))
        monkeypatch.undo()
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


def run(script, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


INTERRUPTED = """
    import os, sys, time
    import numpy as np
    from imle_solvers import FunctionAdapter, ProcessExecutor

    def slow(theta):
        time.sleep(float(theta[0]))
        return theta

    executor = ProcessExecutor(2)
    adapter = FunctionAdapter(slow, sense="max", instance_shape=(1,))
    executor.solve(adapter, np.zeros((2, 1)))
    print(*[process.pid for process in executor._pool.processes], flush=True)
    try:
        executor.solve(adapter, np.full((4, 1), 60.0))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(executor.solve(adapter, np.full((4, 1), 0.01)).values.sum(), flush=True)
"""


@pytest.mark.slow
def test_an_interrupt_gives_back_control_and_the_next_call_works(tmp_path):
    script = run(INTERRUPTED, tmp_path)
    workers = [int(pid) for pid in script.stdout.readline().split()]
    time.sleep(0.3)
    begin = time.monotonic()
    script.send_signal(signal.SIGINT)
    assert script.stdout.readline() == "interrupted\n"
    assert time.monotonic() - begin < 20  # a busy machine; the solves take two minutes
    assert gone(workers)
    out, err = script.communicate(timeout=30)
    assert (script.returncode, out, err) == (0, "0.04\n", "")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
def test_workers_end_when_their_parent_is_killed_in_mid_batch(tmp_path):
    script = run(INTERRUPTED, tmp_path)
    workers = [int(pid) for pid in script.stdout.readline().split()]
    time.sleep(0.3)
    assert not gone(workers, 0)
    script.kill()
    script.communicate()
    assert gone(workers, 5)


def test_large_batches_grow_the_shared_memory_and_results_do_not_change_later():
    adapter = function_adapter(identity, n=1000)
    with ProcessExecutor(2) as executor:
        kept = []
        for rows in (1, 10, 1000, 5, 3000):
            thetas = np.random.default_rng(rows).normal(size=(rows, 1000))
            kept.append((executor.solve(adapter, thetas).values, thetas))
        for values, thetas in kept:
            np.testing.assert_array_equal(values, thetas)


def test_context_that_is_no_numbers_is_refused(processes):
    adapter = function_adapter(lambda theta, wide: theta, context=["wide"])
    with pytest.raises(TypeError, match="expected numbers, got an array of object"):
        processes.solve(adapter, np.ones((9, 2)), {"wide": np.array([None] * 9)})


def test_no_memory_for_a_batch_is_an_error_before_work_starts(monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with (
        ProcessExecutor(1) as executor,
        pytest.raises(OSError, match=r"no room for a batch of 0\.0 MB.*No space left on device.*num_workers=0"),
    ):
        executor.solve(function_adapter(identity), np.ones((4, 2)))


def memory(pid):
    """What a process has allocated, in kB.

    Not its private memory: that grows when another process that has loaded the same libraries ends.
    """
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="reads memory in /proc")
def test_ten_thousand_batches_leak_nothing():
    adapter, thetas = function_adapter(identity, n=50), np.ones((8, 50))
    with ProcessExecutor(2) as executor:
        for _ in range(2000):
            executor.solve(adapter, thetas)
        gc.collect()
        processes = [os.getpid(), *pids(executor)]
        before, files = [memory(pid) for pid in processes], len(os.listdir("/proc/self/fd"))
        for _ in range(10_000):
            executor.solve(adapter, thetas)
        gc.collect()
        after = [memory(pid) for pid in processes]
        assert processes == [os.getpid(), *pids(executor)]
        assert len(os.listdir("/proc/self/fd")) <= files  # what others have left may be collected meanwhile
    for one, other in zip(before, after, strict=True):
        assert other < max(1.01 * one, one + 1000)  # a leak of 100 bytes a batch
