"""TensorFlow and OR-Tools in one process, in every order: their protobufs clash, and a crash would end the tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs tensorflow: make test-frontends"),
]

PROGRAM = """
import sys
import numpy as np

def tensorflow():
    import tensorflow as tf
    assert float(tf.function(lambda x: 2 * x)(tf.constant(2.0))) == 4

def keras():
    import imle_solvers.keras, keras
    keras.Sequential([keras.layers.Dense(3)])(np.ones((2, 2), np.float32))

def imports():
    import imle_adapters.ilp

def model():
    from imle_adapters.ilp import ILPSpec
    from ortools.math_opt.python import mathopt
    model = mathopt.Model()
    x = [model.add_binary_variable() for _ in range(3)]
    model.add_linear_constraint(sum(x) <= 2)
    model.maximize(3 * x[0] + x[1] + 2 * x[2])
    spec = ILPSpec.from_mathopt(model, x)
    assert (spec.sense, spec.objective.tolist(), spec.A_ub.toarray().tolist()) == ("max", [3, 1, 2], [[1, 1, 1]])

def solvers():
    import torch
    from imle_adapters.ilp import ILPAdapter, ILPSpec
    from imle_solvers import SolverLayer
    weights = np.random.default_rng(0).integers(1, 9, (4, 30)).astype(float)  # what presolve alone does not solve
    large = ILPSpec(sense="max", A_ub=weights, b_ub=weights.sum(1) * 0.3, ub=1, integrality=True)
    for backend in ("auto", "scip", "highs", "cp_sat", "cp_sat_no_cuts"):
        with SolverLayer(ILPAdapter(large, backend=backend)) as layer:
            theta = torch.rand(8, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            values = (layer.map(theta) * theta).sum(1)
            best = values if backend == "auto" else best
            assert torch.allclose(values, best), backend
    spec = ILPSpec(sense="max", shape=3, A_ub=[[2, 1, 1]], b_ub=[3], ub=1, integrality=True)
    rows = ILPSpec(sense="max", shape=3, A_ub=[[1, 1, 1]], b_ub=[2], ub=1, integrality=True)
    for backend in ("auto", "scip", "highs", "cbc", "cp_sat", "glop"):
        adapter = ILPAdapter(rows if backend == "glop" else spec, backend=backend, compiled=False)
        for executor in (None, "serial"):
            with SolverLayer(adapter, executor=executor) as layer:
                assert layer.map(torch.tensor([[3.0, 1, 2]])).tolist() == [[1, 0, 1]], backend

for step in sys.argv[1:]:
    globals()[step]()
"""


@pytest.mark.parametrize(
    "order",
    [
        "tensorflow solvers",
        "solvers tensorflow solvers",
        "imports tensorflow solvers",
        "keras solvers tensorflow",
        "solvers keras solvers",
        "tensorflow model solvers",
    ],
)
def test_no_order_ends_the_process(order):
    backend = "tensorflow" if "keras" in order else "torch"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *order.split()],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr[-3000:]
