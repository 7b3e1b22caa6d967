"""Settings of `RayExecutor`, for which no cluster is needed."""

from __future__ import annotations

import copy
import pickle
import socket
import sys

import numpy as np
import pytest

from imle_solvers import ClosedError, RayExecutor
from tests.ray_cluster import needs_ray, untidy
from tests.solvers import function_adapter, identity

pytestmark = [needs_ray, untidy, pytest.mark.slow]


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_a_new_executor_of_the_same_settings(clone):
    executor = RayExecutor("10.1.2.3:6379", 3, {"CPU": 2, "licence": 1}, start_timeout=7)
    twin = clone(executor)
    executor.close()
    executor.close()
    assert executor.closed
    assert not twin.closed
    assert repr(twin) == repr(executor)
    assert twin.start_timeout == 7
    with pytest.raises(ClosedError, match="make a new one"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))


def test_a_cluster_that_does_not_answer_is_an_error_at_once(monkeypatch):
    from imle_solvers.executors.cluster import connection

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"no Ray cluster answers at {address}"):
            connection._find(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        for other in ("auto", None):
            with pytest.raises(ConnectionError, match=f"no Ray cluster answers at {address}"):
                connection._find(other)
        monkeypatch.delenv("RAY_ADDRESS")
        for started in (None, address):  # none was started here, or one that has ended
            monkeypatch.setattr(connection, "_started_here", lambda started=started: started)
            assert connection._find(None) == "local"
            with pytest.raises(ConnectionError, match="found no Ray cluster; start one with `ray start --head`"):
                connection._find("auto")


def test_settings_that_cannot_work():
    with pytest.raises(ValueError, match="at least 1"):
        RayExecutor(num_workers=0)
    with pytest.raises(TypeError, match="address must be"):
        RayExecutor(6379)
    with pytest.raises(ValueError, match="amounts of at least 0 by name"):
        RayExecutor(resources={"CPU": -1})
    with pytest.raises(ValueError, match="num_workers: expected a number"):
        RayExecutor(resources={"CPU": 0})
    with pytest.raises(ValueError, match="start_timeout must be a positive number"):
        RayExecutor(start_timeout=0)


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "imle-solvers\[ray\]"'):
        RayExecutor()
