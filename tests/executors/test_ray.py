"""What is Ray's own: finding a cluster, room in it, the loss of nodes. The cluster has two nodes on this machine."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time

import numpy as np
import pytest

from imle_solvers import RayExecutor, WorkerDiedError
from imle_solvers.executors.backlog import RESTARTS
from tests.faults import FaultyAdapter, batch
from tests.programs import gone, pids
from tests.ray_cluster import NODE, ON_RAY, wait_for_actors
from tests.solvers import function_adapter, identity, slow

pytestmark = ON_RAY


@pytest.fixture
def actors():
    from imle_solvers.executors.cluster import actors

    return actors


# --- Clusters that will not do ---


def test_no_room_at_all_is_an_error_that_says_what_there_is(cluster, connected):
    with RayExecutor(cluster.address, 2, {"licence": 1}, start_timeout=1) as executor:
        begin = time.monotonic()
        with pytest.raises(WorkerDiedError, match=r"within 1 s: each takes \{'licence': 1\}, .*\[\{'licence': 0\}, "):
            executor.solve(function_adapter(identity), np.ones((4, 2)))
        assert time.monotonic() - begin < 10


def test_a_process_has_one_cluster(cluster, connected):
    with RayExecutor("10.1.2.3:6379", 1) as executor, pytest.raises(RuntimeError, match="is connected to .* already"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))
    with RayExecutor("local", 1) as executor, pytest.raises(RuntimeError, match="expected to connect to 'local'"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))


# --- Loss of actors and nodes ---


INTERRUPTED = """
    import sys
    from imle_solvers import RayExecutor

    executor = RayExecutor(sys.argv[1], 1)
    say(solve(executor))
    try:
        threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
        solve(executor, 600.0)
    except KeyboardInterrupt:
        say("interrupted")
    say(solve(executor, rows=20))
    executor.close()
"""


def test_an_interrupt_gives_back_control_and_the_next_call_works(cluster, room, start):
    program = start(INTERRUPTED, cluster.address)
    code, out, err = program.end()
    assert (code, out) == (0, "True\ninterrupted\nTrue\n"), err


def test_a_state_that_kills_its_actor_is_an_error_not_a_long_wait(cluster, room, tmp_path):
    class KillsWhenBuilt(FaultyAdapter):
        def build(self):
            os._exit(1)

    with RayExecutor(cluster.address, 1) as executor:
        with pytest.raises(WorkerDiedError, match="3 Ray actors in a row ended while loading the adapter"):
            executor.solve(KillsWhenBuilt(tmp_path), batch(rows=4))
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


def test_by_default_there_are_as_many_actors_as_the_nodes_have_room_for(cluster, room):
    with RayExecutor(cluster.address, resources={"CPU": 0.5}) as executor:
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8
        assert executor.num_workers == 4


def test_a_node_that_is_lost_in_mid_batch_leaves_its_work_to_the_others(cluster, room, actors, monkeypatch, caplog):
    monkeypatch.setattr(actors, "_LATE_SECONDS", 0.0)
    caplog.set_level(logging.WARNING, "imle_solvers")
    adapter, thetas = function_adapter(slow), np.full((60, 2), 0.05)
    thetas[:, 1] = np.arange(60)
    with RayExecutor(cluster.address, 2) as executor:
        wait_for_actors(executor, 2)
        caplog.clear()
        executor._actors._warned = False
        (node,) = cluster.worker_nodes
        timer = threading.Timer(0.5, cluster.remove_node, [node, False])  # at once, without saying goodbye
        timer.start()
        solved = executor.solve(adapter, thetas)
        timer.join()
        np.testing.assert_array_equal(solved.values, thetas)
        np.testing.assert_array_equal(solved.statuses, 0)
        assert solved.counters[RESTARTS] >= 1
        np.testing.assert_array_equal(executor.solve(adapter, thetas[:4]).values, thetas[:4])
        assert len(pids(executor)) == 1
        assert "1 of 2 Ray actors found room in the cluster" in caplog.text
        cluster.add_node(**NODE)
        wait_for_actors(executor, 2)


def test_those_that_find_room_do_the_work(cluster, room, actors, monkeypatch, caplog):
    monkeypatch.setattr(actors, "_LATE_SECONDS", 0.0)
    thetas = np.arange(40.0).reshape(20, 2)
    with RayExecutor(cluster.address, 3, start_timeout=30) as executor:
        wait_for_actors(executor, 2)
        np.testing.assert_array_equal(executor.solve(function_adapter(identity), thetas).values, thetas)
        assert len(pids(executor)) == 2
    assert "of 3 Ray actors found room in the cluster" in caplog.text


# --- The life of an executor ---


def test_actors_end_with_their_executor(cluster, connected, room):
    import ray

    def use():
        executor = RayExecutor(cluster.address, 1)
        executor.solve(function_adapter(identity), np.ones((2, 2)))
        return pids(executor)

    processes = use()
    gc.collect()
    assert gone(processes)
    assert ray.is_initialized()  # another executor uses the connection
