"""Ctrl-C in `fit` ends it, leaves nothing running, and what it stopped can be used again."""

from __future__ import annotations

import importlib.util
import os
import signal
import time

import pytest

from tests.programs import Program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="needs keras: make test-frontends"),
]

PROGRAM = """
import keras
from imle_solvers import IMLE, Normal, Target
from imle_solvers.keras import FenchelYoungLoss, Solver, SPOPlusLoss

part, executor, backend = sys.argv[1:]
estimator = IMLE(Normal(), Target(beta=0.1), input_noise_temperature=1e-6, target_noise_temperature=1e-6)
given = {"num_workers": 0} if executor == "none" else {"executor": executor, "num_workers": 2}

def solved(theta):
    if theta[0] > 0.1:
        say("solving")
    return slow(np.abs(theta))

adapter = function_adapter(slow if executor == "processes" else solved)
layer = Solver(adapter, estimator=estimator, seed=1, **given)
source = keras.Input((2,))
theta = keras.layers.Dense(2, kernel_initializer="identity")(source)
losses = {"layer": "mse", "fenchel-young": FenchelYoungLoss(layer, 2, seed=0), "spo+": SPOPlusLoss(layer)}
model = keras.Model(source, layer(theta) if part == "layer" else theta)
model.compile(keras.optimizers.SGD(0.0), losses[part])

def fit(seconds, rows):
    data = np.full((rows, 2), seconds, np.float32)
    data[:, 1] = np.arange(rows)
    model.fit(data, data, batch_size=4, shuffle=False, verbose=0)

class Progress:
    def __call__(self, done, total):
        say("solving")

fit(0.01, 8)
model.save_weights("before.weights.h5")
say("ready")
layer.on_progress = Progress() if executor == "processes" else None
try:
    fit(0.2, 400)
except BaseException as error:
    say("ended", time.time(), type(error).__name__, "KeyboardInterrupt" in str(error))
layer.on_progress = None
if backend == "jax":  # where Keras has given the variables to the step that failed
    model.load_weights("before.weights.h5")
    model.compile(keras.optimizers.SGD(0.0), losses[part])
fit(0.01, 8)
say("again", [thread.name for thread in threading.enumerate() if not thread.name.startswith("imle-watch")])
layer.close()
"""


@pytest.mark.parametrize(
    ("part", "executor"),
    [("layer", "none"), ("layer", "processes"), ("fenchel-young", "processes"), ("spo+", "none")],
)
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_an_interrupt_ends_fit(tmp_path, backend, part, executor):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}: make test-frontends")
    program = Program(tmp_path, PROGRAM, part, executor, backend, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3")
    assert program.line(0) == "ready"
    assert program.line(1) == "solving"
    time.sleep(0.3)
    sent = time.time()
    os.kill(program.process.pid, signal.SIGINT)
    code, output, errors = program.end()
    (ended,) = (line.split() for line in output.splitlines() if line.startswith("ended"))
    assert float(ended[1]) - sent < 4, output
    assert ended[2:] == ["KeyboardInterrupt", "False"] or (backend == "jax" and ended[3] == "True")
    assert code == 0 and output.splitlines()[-1] == "again ['MainThread']", errors
