"""Replicas of a strategy of TensorFlow's draw noise of their own."""

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
import keras, numpy as np, tensorflow as tf, torch
from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, Normal, SolverLayer, Target
from imle_solvers.keras import Solver

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
adapter = ShortestPathAdapter.grid(4, 5)
estimator = IMLE(Normal(), Target(beta=1.0), input_noise_temperature=1.0)
theta = np.ones((8, 4, 5), np.float32)
with strategy.scope():
    layer = Solver(adapter, estimator=estimator, seed=1)
    source = keras.Input((4, 5))
    model = keras.Model(source, layer(keras.layers.Dense(5, activation="exponential")(source)))
    model.compile("sgd", "mse")
model.fit(theta, theta, batch_size=4, epochs=2, verbose=0)
expected = SolverLayer(adapter, estimator=estimator, generator=layer.generator())
draws = strategy.run(tf.function(lambda t: layer(t, training=True)), args=(tf.constant(theta),))
first, second = (each.numpy() for each in strategy.experimental_local_results(draws))
assert (first == expected(torch.tensor(theta)).numpy()).all()    # as without a strategy
assert (first != second).any()
"""


def test_replicas():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr[-3000:]
