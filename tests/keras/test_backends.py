"""The tests of `on_each`, with each backend of Keras in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

BACKENDS = ("torch", "jax", "tensorflow")


def there(module):
    return importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend(backend):
    for module in ("keras", backend):
        if not there(module):
            pytest.skip(f"needs {module}: make test-frontends")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/keras/on_each"],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "IMLE_KERAS_TESTS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


@pytest.mark.skipif(there("keras"), reason="Keras is installed")
def test_without_keras():
    with pytest.raises(ImportError, match=r'needs Keras: pip install "imle-solvers\[keras\]"'):
        importlib.import_module("imle_solvers.keras")


@pytest.mark.skipif(not there("keras"), reason="needs keras: make test-frontends")
@pytest.mark.parametrize(
    ("backend", "said"), [("numpy", "one of Keras's backends torch, jax, tensorflow, got 'numpy'"), ("mxnet", "mxnet")]
)
def test_other_backends_are_refused(backend, said):
    code = "from imle_solvers.keras import Solver; from imle_adapters import TopKAdapter; Solver(TopKAdapter(3, 1))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 1
    assert said in run.stderr.splitlines()[-1]
