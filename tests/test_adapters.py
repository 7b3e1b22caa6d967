"""What holds for every adapter."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from imle_solvers import FunctionAdapter, SolverLayer
from imle_solvers.testing import check_adapter
from tests.cases import CASES
from tests.solvers import Broken


@pytest.mark.parametrize("name", CASES)
def test_it_keeps_the_contract(name):
    case = CASES[name]
    adapter = case.make()
    check_adapter(adapter, case.theta(adapter), **case.context(6))


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
    torch.manual_seed(0)
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


def test_importing_an_adapter_imports_no_torch():
    """Workers do that, and must stay small."""
    code = """
import sys, imle_solvers, imle_solvers.worker, imle_adapters
from imle_solvers import SolverAdapter, FunctionAdapter, register_adapter, make_adapter, Status, Solutions
from imle_adapters import *
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
