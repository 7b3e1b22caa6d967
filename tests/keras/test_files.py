"""A file that one backend has saved is loaded by another, with its noise and state."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

THERE = [name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name) is not None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs keras: make test-frontends"),
]

PROGRAM = """
import sys
import keras, numpy as np
from imle_adapters import ShortestPathAdapter
from imle_solvers import AIMLE
from imle_solvers.keras import Solver

theta = np.random.default_rng(0).random((16, 4, 5)).astype(np.float32) + 0.1
file, what = sys.argv[1:]
if what == "save":
    layer = Solver(ShortestPathAdapter.grid(4, 5), estimator=AIMLE(), num_samples=2, seed=1)
    images = keras.Input((4, 5))
    model = keras.Model(images, layer(keras.layers.Dense(5, activation="exponential")(images)))
    model.compile("sgd", "mae")
    model.fit(theta, np.ones((16, 2, 4, 5)), batch_size=8, verbose=0)
    model.save(file)
layer = keras.saving.load_model(file).layers[-1]
state = [value.item() for value in layer.estimator.buffers()]
z = np.asarray(keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(theta), training=True)))
print(state, layer.generator().initial_seed(), np.flatnonzero(z).tolist())
"""


def said(backend, *arguments):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout.splitlines()[-1]


def test_files_are_for_every_backend(tmp_path):
    file = str(tmp_path / "model.keras")
    saved = said("torch", file, "save")
    assert "2.002" in saved  # AIMLE's step after two batches
    for backend in THERE:
        assert said(backend, file, "load") == saved
