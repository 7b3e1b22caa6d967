"""The layer in models and functions that are compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from imle_solvers import (
    Gumbel,
    Normal,
    SumOfGamma,
)
from tests.conftest import ROOT
from tests.layer.model import Model, batches, loss_of
from tests.solvers import top_k


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dynamo warns of what it does itself
def test_a_compiled_model_gives_what_the_plain_one_gives():
    x, y = next(batches(1))
    results = []
    for compiled in (False, True):
        model = Model(top_k(6, 2), num_workers=0)
        run = torch.compile(model, backend="aot_eager") if compiled else model
        z = run(x)
        (z - y).pow(2).sum().backward()
        results.append((z.detach(), model.linear.weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("noise", [SumOfGamma(5.0), Gumbel(), Normal()], ids=repr)
def test_a_compiled_function_may_draw_noise_of_its_own(noise):
    def draw(x):
        return 2 * x + noise.sample(x.shape)

    samples = []
    for run in (draw, torch.compile(draw, backend="aot_eager")):
        torch.manual_seed(4)
        samples.append(run(torch.ones(3, 7)))
    assert torch.equal(*samples)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_breaks_its_graph_once():
    model, (x, y) = Model(top_k(6, 2), num_workers=0), next(batches(1))
    explained = torch._dynamo.explain(loss_of)(model, x, y)
    assert (explained.graph_count, len(explained.break_reasons)) == (2, 1)


@pytest.mark.slow
def test_a_model_that_is_not_compiled_does_not_load_the_compiler():
    """It takes two seconds."""
    program = """
import sys, torch
from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer
theta = torch.rand(2, 3, 3, requires_grad=True)
SolverLayer(ShortestPathAdapter.grid(3, 3), num_workers=0)(theta).sum().backward()
sys.exit("torch._dynamo" in sys.modules)
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=True)
