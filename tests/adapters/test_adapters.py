"""What holds for every adapter."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest
import torch

from imle_solvers import FunctionAdapter, SolverAdapter, SolverLayer, Status
from imle_solvers.testing import check_adapter
from tests.cases import CASES
from tests.solvers import Broken


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_keeps_the_contract(name):
    case = CASES[name]
    adapter = case.make()
    check_adapter(adapter, case.theta(adapter), objective=case.objective, **case.context(6))


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
def test_the_check_takes_instances_of_any_shape(shape):
    adapter = FunctionAdapter(np.signbit, sense="min", instance_shape=shape, binary=True)
    check_adapter(adapter, torch.randn(4, *shape, dtype=torch.float64))


def test_the_check_takes_functions_without_a_name():
    adapter = FunctionAdapter(lambda theta: theta > 0, sense="max", instance_shape=(3,), binary=True)
    check_adapter(adapter, torch.randn(4, 3, dtype=torch.float64))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("num_samples", [None, 3])
def test_it_trains(name, num_samples):
    case = CASES[name]
    adapter = case.make()
    theta = case.theta(adapter).float().requires_grad_()
    layer = SolverLayer(adapter, num_samples=num_samples, num_workers=0)
    z = layer(theta, **case.context(6))
    torch.manual_seed(1)
    (z * torch.randn_like(z)).sum().backward()
    assert bool(theta.grad.isfinite().all())
    assert theta.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("how", "message"),
    [("worse", "is solved worse than"), ("history", "differently|change"), ("random", "differently|change")],
)
def test_the_check_finds_what_is_broken(how, message):
    theta = torch.randn(8, 3, dtype=torch.float64)
    check_adapter(Broken("not"), theta)
    with pytest.raises(AssertionError, match=message):
        check_adapter(Broken(how), theta)


def test_the_check_builds_a_state_six_times_at_most(tmp_path):
    """It may take long."""

    class Slow(Broken):
        def build(self):
            (tmp_path / uuid.uuid4().hex).touch()
            return super().build()

    check_adapter(Slow("not"), torch.randn(20, 3, dtype=torch.float64))
    assert len(list(tmp_path.iterdir())) <= 6


class Fails(SolverAdapter):
    """Ends the last instance as it is told."""

    sense, instance_shape = "max", (3,)

    def __init__(self, how=lambda theta: theta, **attributes):
        self.how = how
        self.__dict__.update(attributes)

    def solve(self, state, theta):
        return self.how(theta) if theta[0] > 2 else theta


class UnloadableError(Exception):
    def __init__(self, first, second):
        super().__init__(first)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fails(lock=threading.Lock()), "Fails.* cannot be sent .*: attribute 'lock' does not pickle"),
        (lambda: Fails(other=UnloadableError(1, 2)), "Fails.* pickles, but cannot be loaded: TypeError"),
        (lambda: Fails(lambda theta: (theta, True)), "instance 3, sample 0: .*expected a status .*got True"),
        (lambda: Fails(lambda theta: (theta, 9)), "instance 3, sample 0: .*9 is not a valid Status"),
        (lambda: Fails(lambda theta: (None, Status.INFEASIBLE)), "instance 3, sample 0 ended INFEASIBLE"),
        (lambda: Fails(lambda theta: (theta, Status.FEASIBLE)), "instance 3, sample 0 ended FEASIBLE"),
        (lambda: Fails(lambda theta: theta * np.nan), "instance 3, sample 0: .*expected finite numbers"),
        (lambda: Fails(lambda theta: theta[:2]), r"instance 3, sample 0: .*expected a solution of shape \(3,\)"),
        (lambda: Fails(lambda theta: 1 / np.array("two\nlines").item()), "instance 3, sample 0: .*TypeError"),
        (lambda: Fails(sense="most"), 'Fails: sense must be "min"'),
        (lambda: Fails(parallelism="threads"), "Fails.parallelism must be one of"),
        (lambda: "text", "expected a SolverAdapter, got .text."),
    ],
)
def test_what_the_check_finds_is_an_assertion_in_one_line(make, message):
    theta = torch.eye(3, dtype=torch.float64).repeat(2, 1)[:4]
    theta[3, 0] = 3
    with pytest.raises(AssertionError, match=message) as info:
        check_adapter(make(), theta)
    assert "\n" not in str(info.value)


def test_what_is_wrong_with_theta_is_no_fault_of_the_adapter():
    with pytest.raises(ValueError, match="expected shape"):
        check_adapter(Fails(), torch.ones(4, 2, dtype=torch.float64))


@pytest.mark.slow
def test_importing_an_adapter_imports_no_torch():
    """Workers do that, and must stay small."""
    code = """
import sys, imle_solvers, imle_solvers.executors.processes.worker, imle_adapters
from imle_solvers import SolverAdapter, FunctionAdapter, register_adapter, make_adapter, Status, Solutions
from imle_adapters import *
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
