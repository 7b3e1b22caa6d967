"""What a worker process is made of, and which signals it survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from imle_solvers import ProcessExecutor, Status
from imle_solvers.executors.backlog import RESTARTS
from tests.programs import alive, needs_proc, pids, wait_until
from tests.solvers import function_adapter, identity

pytestmark = needs_proc


# What a worker is.


def test_workers_start_side_by_side(tmp_path, monkeypatch):
    """Each waits, at its start, until the other has started too."""
    python = tmp_path / "python"
    python.write_text(
        f"""#!/bin/sh
        touch {tmp_path}/started-$$
        for attempt in $(seq 600); do
            [ $(ls {tmp_path} | grep -c started) -ge 2 ] && exec {sys.executable} "$@"
            sleep 0.05
        done
        exit 7
        """
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with ProcessExecutor(2) as executor:
        solved = executor.solve(function_adapter(identity), np.ones((8, 2)))
        assert solved.values.sum() == 16 and RESTARTS not in solved.counters


def private_memory(pid):
    """In MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def test_a_worker_is_little_more_than_numpy(pool):
    pool.solve(function_adapter(identity), np.ones((8, 2)))
    code = "import numpy, cloudpickle; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        bare.stdout.readline()
        least = private_memory(bare.pid)
        bare.stdin.close()
    assert max(map(private_memory, pids(pool))) < least + 60


def test_a_worker_imports_no_more_than_a_plain_function_needs(pool):
    heavy = ("torch", "networkx", "scipy", "numba", "ortools", "loky")

    def loaded(theta):
        return np.array([float(name in sys.modules) for name in heavy])

    adapter = function_adapter(loaded, solution_shape=(len(heavy),))
    np.testing.assert_array_equal(pool.solve(adapter, np.ones((4, 2))).values, np.zeros((4, len(heavy))))


def test_a_matrix_product_in_a_worker_takes_one_thread(pool, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # whatever the user has set for the parent

    def threads(theta):
        matrix = np.ones((500, 500))
        assert (matrix @ matrix).sum() == 500**3
        return np.full(2, len(os.listdir("/proc/self/task")))

    np.testing.assert_array_equal(pool.solve(function_adapter(threads), np.ones((4, 2))).values, 1)


def test_entries_of_the_path_that_python_ignores_are_no_obstacle(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [tmp_path, *sys.path])
    with ProcessExecutor(1) as executor:
        assert executor.solve(function_adapter(identity), np.ones((2, 2))).values.sum() == 4


# Signals.


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["subprocess.Popen, 'wait'", "SharedMemory, 'close'"], ids=["waiting", "letting go"])
def test_the_second_interrupt_comes_while_the_first_is_dealt_with(start, moment):
    program = start(
        f"""
        from imle_solvers.executors.processes.shared_batch import SharedMemory

        def interrupted_once(owner, name):
            original = getattr(owner, name)
            def method(*arguments, **options):
                setattr(owner, name, original)
                result = original(*arguments, **options)
                signal.raise_signal(signal.SIGINT)
                return result
            setattr(owner, name, method)

        executor = ProcessExecutor(3)
        solve(executor)
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        interrupted_once({moment})
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            solve(executor, 600.0)
        except KeyboardInterrupt:
            say(getattr({moment.split(",")[0]}, {moment.split(",")[1]}).__name__)
        say(solve(executor, rows=20))
        """
    )
    assert program.end() == (0, f"{moment.split(chr(39))[1]}\nTrue\n", "")


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_that_are_all_killed_while_idle_are_replaced(workers):
    thetas = np.random.default_rng(0).normal(size=(40, 2))
    with ProcessExecutor(workers) as executor:
        executor.solve(function_adapter(identity), thetas)
        for process in executor._pool.processes:
            process.kill()
            assert wait_until(lambda pid=process.pid: not alive(pid))
        solved = executor.solve(function_adapter(identity), thetas)
        np.testing.assert_array_equal(solved.values, thetas)
        assert solved.counters[RESTARTS] == workers


def test_a_worker_that_is_killed_by_a_signal_without_a_name():
    def kill_on_one(theta):
        if theta[0] == 1:
            os.kill(os.getpid(), signal.SIGRTMIN + 3)
        return theta

    with ProcessExecutor(1) as executor:
        solved = executor.solve(function_adapter(kill_on_one), np.array([[0.0, 0], [1, 0]]))
    assert list(solved.statuses) == [Status.OPTIMAL, Status.CRASHED]


def test_workers_that_are_killed_as_they_start_are_replaced(monkeypatch):
    killed = []

    class KilledAtBirth(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            if len(killed) < 2:
                self.kill()
                killed.append(self.pid)

    monkeypatch.setattr(subprocess, "Popen", KilledAtBirth)
    with ProcessExecutor(2) as executor:
        solved = executor.solve(function_adapter(identity), np.ones((8, 2)))
        assert solved.values.sum() == 16 and solved.counters[RESTARTS] == len(killed) == 2
        assert not set(killed) & set(pids(executor))


@pytest.mark.slow
@pytest.mark.parametrize("at", ["solving", "idle"])
def test_a_worker_that_is_stopped_is_ended_by_the_timeout(at):
    def stop_on_one(theta):
        if theta[0] == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return theta

    adapter, thetas = function_adapter(stop_on_one), np.zeros((2, 2))
    with ProcessExecutor(1, timeout=2) as executor:
        executor.solve(adapter, thetas)
        (worker,) = pids(executor)
        go_on = threading.Timer(15, executor._pool.processes[0].send_signal, [signal.SIGCONT])  # so that nothing hangs
        go_on.start()
        if at == "idle":
            os.kill(worker, signal.SIGSTOP)
        else:
            thetas[1, 0] = 1
        solved = executor.solve(adapter, thetas)
        go_on.cancel()
        assert solved.counters.get(RESTARTS) == 1 and not alive(worker)
        assert at == "idle" or list(solved.statuses) == [Status.OPTIMAL, Status.TIMEOUT]
        np.testing.assert_array_equal(executor.solve(adapter, np.zeros((2, 2))).statuses, 0)
