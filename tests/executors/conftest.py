"""The table of executors, which what holds for all of them is asked of."""

from __future__ import annotations

import contextlib
import functools

import pytest

from imle_solvers import AutoExecutor, ProcessExecutor, RayExecutor, SerialExecutor, ThreadExecutor
from tests import ray_cluster

KINDS = {
    "serial": SerialExecutor,
    "one thread": lambda: ThreadExecutor(1),
    "two threads": lambda: ThreadExecutor(2),
    "one process": lambda: ProcessExecutor(1),
    "two processes": lambda: ProcessExecutor(2),
    "auto": lambda: AutoExecutor(2),
    # An actor that takes nothing fits beside those of the executor that tests share.
    "ray": lambda: RayExecutor(ray_cluster.start().address, 1, {"CPU": 0}),
}
ON_RAY = pytest.param("ray", marks=ray_cluster.ON_RAY)
ALL = [*(kind for kind in KINDS if kind != "ray"), ON_RAY]


@pytest.fixture(scope="session")
def started():
    """Kind -> an executor that is started once for the whole run."""
    with contextlib.ExitStack() as stack:
        local = functools.cache(lambda kind: stack.enter_context(KINDS[kind]()))
        yield lambda kind: ray_cluster.share() if kind == "ray" else local(kind)


@pytest.fixture(params=ALL)
def executor(request, started):
    """Each executor, for tests that leave it as it was."""
    return started(request.param)


@pytest.fixture(params=ALL)
def fresh(request):
    """Each executor, for tests that close it."""
    with KINDS[request.param]() as executor:
        yield executor


@pytest.fixture(params=["two processes", ON_RAY])
def workers(request, started):
    """Each executor that solves in other processes; these may die in tests, others take their places."""
    return started(request.param)


@pytest.fixture
def processes(started):
    return started("two processes")


@pytest.fixture
def cluster():
    return ray_cluster.start()


@pytest.fixture
def connected(cluster):
    """This process is connected to the cluster, and its room is taken."""
    return ray_cluster.share()


@pytest.fixture
def room(cluster):
    """The cluster's room: for a test that needs it for actors of its own."""
    ray_cluster.make_room()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Ray, which leaves threads and connections in this process, ends with the last test on it."""
    if nextitem is None or nextitem.get_closest_marker("ray") is None:
        ray_cluster.stop()
