"""The Ray cluster that tests solve on: two nodes on this machine, started for the first test that needs it."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import time

import numpy as np
import pytest

from imle_solvers import RayExecutor
from tests.programs import pids
from tests.solvers import function_adapter, slow

needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray, the extra imle-solvers[ray]")
# Of Ray's own processes and log files, which it leaves to be collected.
untidy = pytest.mark.filterwarnings("ignore::ResourceWarning")
ON_RAY = [needs_ray, untidy, pytest.mark.slow, pytest.mark.ray]
"""Marks of tests on the cluster: one process of a run does all of them, one after another."""

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}

_running = contextlib.ExitStack()


@functools.cache
def start():
    """The cluster, which is started once."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    _running.callback(cluster.shutdown)
    _running.callback(ray.shutdown)  # before: a process that is connected when its node ends is ended with it
    cluster.add_node(**NODE)
    return cluster


@functools.cache
def _shared():
    return _running.enter_context(RayExecutor(start().address, 2))


def share():
    """An executor with an actor on each node, for tests that need no other."""
    executor = _shared()
    wait_for_actors(executor, 2)
    return executor


def stop():
    """Ends executor and cluster, if they were started."""
    if not start.cache_info().currsize:
        return
    _running.close()
    start.cache_clear()
    _shared.cache_clear()
    gc.collect()


def make_room():
    """Ends the actors of the shared executor, which starts new ones for its next batch."""
    executor = _shared()
    if executor._actors is not None:
        executor._actors.close()
        executor._actors = None


def wait_for_actors(executor, count, seconds=20.0):
    """Solves small batches, which is when an executor learns of its actors, until there are so many."""
    deadline = time.monotonic() + seconds
    while len(pids(executor)) != count:
        assert time.monotonic() < deadline
        executor.solve(function_adapter(slow), np.full((2, 2), 0.05))
