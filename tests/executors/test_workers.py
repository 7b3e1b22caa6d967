"""What workers keep and what they forget, and that the loss of some loses no instance."""

from __future__ import annotations

import gc
import os
import time

import numpy as np
import pytest

from imle_solvers.executors.backlog import RESTARTS
from tests.faults import EXITS, KILLS, KILLS_ONCE, FaultyAdapter, batch, check
from tests.programs import kill, pids, wait_until
from tests.solvers import CountingAdapter, function_adapter, identity, loaded_modules


def test_state_is_built_once_in_each_worker_and_all_work(workers):
    class Slow(CountingAdapter):
        def solve(self, state, theta):
            time.sleep(0.02)
            return super().solve(state, theta)

    adapter = Slow()
    solves, processes = np.concatenate([workers.solve(adapter, np.zeros((20, 2))).values for _ in range(3)]).T
    assert set(processes) == set(pids(workers))
    for pid in set(processes):  # a state built again would count from one again
        assert sorted(solves[processes == pid]) == list(range(1, (processes == pid).sum() + 1))


def test_workers_import_neither_torch_nor_the_main_script_and_keep_to_one_thread(workers):
    def threads(theta):
        return np.array([float(os.environ[name]) for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")])

    values = workers.solve(function_adapter(loaded_modules), np.zeros((8, 2))).values
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(workers.solve(function_adapter(threads), np.zeros((8, 2))).values, 1)


def test_many_adapters_share_the_workers(workers):
    adapters = [function_adapter(identity, n=n) for n in range(1, 6)]
    for _ in range(2):
        for n, adapter in enumerate(adapters, start=1):
            assert workers.solve(adapter, np.ones((3, n))).values.sum() == 3 * n


def kept(executor):
    """Adapters that are kept here, and for each worker there."""
    if hasattr(executor, "_actors"):
        return len(executor._actors._adapters), *(len(worker.known) for worker in executor._actors._workers)
    return len(executor._adapters._known), *(len(worker.known) for worker in executor._pool._workers)


def test_workers_forget_adapters_that_are_gone(workers):
    for n in range(1, 30):
        adapter = function_adapter(identity, n=n)
        workers.solve(adapter, np.ones((4, n)))
        del adapter
    gc.collect()
    workers.solve(function_adapter(identity), np.ones((4, 2)))
    assert max(kept(workers)) <= 2


def test_workers_drop_the_state_of_adapters_that_are_gone(workers, tmp_path):
    class State:
        def __init__(self, folder):
            self.folder = folder

        def __del__(self):
            os.close(os.open(os.path.join(self.folder, str(os.getpid())), os.O_CREAT))

    class Told(FaultyAdapter):
        """Leaves a file where its state was dropped."""

        def build(self):
            return State(self.folder)

    known = function_adapter(identity)
    workers.solve(known, np.ones((8, 2)))
    adapter = Told(tmp_path)
    workers.solve(adapter, batch(rows=8))
    assert list(tmp_path.iterdir()) == []
    del adapter
    gc.collect()

    def dropped():
        workers.solve(known, np.ones((8, 2)))
        return list(tmp_path.iterdir())

    assert wait_until(dropped)
    assert {int(file.name) for file in tmp_path.iterdir()} <= set(pids(workers))


def test_workers_that_are_killed_in_mid_batch_are_replaced_and_nothing_is_lost(workers, tmp_path):
    thetas = batch((5, KILLS_ONCE))
    solved = workers.solve(FaultyAdapter(tmp_path), thetas)
    check(solved, thetas)
    assert solved.counters[RESTARTS] == 1


@pytest.mark.parametrize("fault", [KILLS, EXITS])
def test_an_instance_on_which_a_worker_dies_twice_is_crashed_alone(workers, tmp_path, fault):
    thetas = batch((11, fault))
    solved = workers.solve(FaultyAdapter(tmp_path), thetas)
    check(solved, thetas, CRASHED=[11])
    assert solved.counters[RESTARTS] == 2
    check(workers.solve(FaultyAdapter(tmp_path), thetas[:5]), thetas[:5])


def test_workers_that_are_killed_between_batches(workers):
    thetas = np.arange(24.0).reshape(12, 2)
    workers.solve(function_adapter(identity), thetas)
    victims = pids(workers)
    kill(*victims)
    np.testing.assert_array_equal(workers.solve(function_adapter(identity), thetas).values, thetas)
    assert not set(victims) & set(pids(workers))
