"""The Warcraft example learns in JAX, with what estimators adapt passed on from step to step."""

from __future__ import annotations

import importlib.util

import pytest

from tests.front_ends import run_warcraft

pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs {module}: make test-frontends")
        for module in ("jax", "equinox", "optax")
    ),
]


def test_paths_are_learned(tmp_path):
    results = run_warcraft("jax", tmp_path, "--epochs", "3")
    (row,) = results.rows
    assert (row.method, results.settings["frontend"]) == ("imle", "jax")
    assert row.metrics["optimal"] > row.metrics["optimal_before"] + 0.15
    assert row.metrics["solves"] == 2 * 3 * 200
    assert len(row.curves["optimal"]) == 4


def test_estimators_with_state_and_with_means_train(tmp_path):
    methods = ("aimle", "aimle-central", "perturbed")
    few = ("--epochs", "1", "--train-maps", "20", "--samples", "2", "--method", ",".join(methods))
    rows = run_warcraft("jax", tmp_path, *few).rows
    assert tuple(row.method for row in rows) == methods
    assert all(row.metrics["solves"] > 20 for row in rows)
