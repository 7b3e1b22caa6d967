"""An instance that takes longer than it may is given up alone."""

from __future__ import annotations

import datetime
import os
import time

import numpy as np
import pytest
import torch

from imle_solvers import ProcessExecutor, SolveError, SolverLayer
from imle_solvers.executors.backlog import RESTARTS
from tests.faults import HANGS, FaultyAdapter, SlowToBuild, batch, check
from tests.solvers import function_adapter, identity, slow

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [1, datetime.timedelta(seconds=1)])
def test_an_instance_that_hangs_times_out_alone(tmp_path, timeout):
    thetas = batch((2, HANGS), (9, HANGS))
    with ProcessExecutor(2, timeout=timeout) as executor:
        executor.solve(FaultyAdapter(tmp_path), thetas[:2])
        begin = time.monotonic()
        solved = executor.solve(FaultyAdapter(tmp_path), thetas)
        assert time.monotonic() - begin < 30  # a busy machine; hanging takes an hour
        check(solved, thetas, TIMEOUT=[2, 9])
        assert solved.counters[RESTARTS] == 2


def test_the_error_of_a_timeout_names_the_limit_that_was_reached():
    adapter = function_adapter(slow)
    layer = SolverLayer(adapter, executor=ProcessExecutor(1, timeout=0.5))
    with layer, pytest.raises(SolveError, match=r"TIMEOUT: it took longer than ProcessExecutor\(timeout=0.5\) allows"):
        layer.map(torch.tensor([[0.0, 0.0], [60.0, 1.0]], dtype=torch.float64))


@pytest.mark.slow
def test_the_timeout_is_for_each_instance_not_for_the_batch():
    thetas = np.full((10, 2), 0.25)
    with ProcessExecutor(1, timeout=2) as executor:
        np.testing.assert_array_equal(executor.solve(function_adapter(slow), thetas).statuses, 0)


@pytest.mark.slow
def test_building_the_state_does_not_count(tmp_path):
    thetas = batch(rows=4)
    with ProcessExecutor(1, timeout=1) as executor:
        check(executor.solve(SlowToBuild(tmp_path), thetas), thetas)


def test_a_timeout_may_be_longer_than_the_system_waits():
    with ProcessExecutor(1, timeout=datetime.timedelta(days=365)) as executor:
        assert executor.solve(function_adapter(identity), np.ones((2, 2))).values.sum() == 4


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), datetime.timedelta(0)])
def test_a_timeout_is_positive(timeout):
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
        ProcessExecutor(1, timeout=timeout)
