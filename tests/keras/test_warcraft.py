"""The Warcraft example learns in Keras, on each backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.front_ends import run_warcraft


def there(module):
    return importlib.util.find_spec(module) is not None


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not there("keras"), reason="needs keras: make test-frontends")]


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_paths_are_learned(tmp_path, backend):
    if not there(backend):
        pytest.skip(f"needs {backend}: make test-frontends")
    results = run_warcraft("keras", tmp_path, "--epochs", "3", KERAS_BACKEND=backend)
    (row,) = results.rows
    assert (row.method, results.settings["frontend"], results.settings["backend"]) == ("imle", "keras", backend)
    assert row.metrics["optimal"] > row.metrics["optimal_before"] + 0.15
    assert row.metrics["solves"] == 2 * 3 * 200
    assert len(row.curves["optimal"]) == 4


@pytest.mark.parametrize("backend", ["mxnet", "numpy"])
def test_a_backend_that_cannot_train_is_an_error_of_one_line(tmp_path, backend):
    run = subprocess.run(
        [sys.executable, "examples/warcraft", "--frontend", "keras", "--out", str(tmp_path / "out"), "--quick"],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith("examples/warcraft: error: ")
    assert backend in run.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
