"""Steps of compiled programs are looked at, as those of a layer are; tests/host has the figures."""

from __future__ import annotations

import numpy as np
import pytest

from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, Target

jax = pytest.importorskip("jax", reason="needs jax: make test-frontends")
jnp = jax.numpy

import imle_solvers.jax  # noqa: E402

THETA = jnp.asarray(np.random.default_rng(0).random((4, 4, 5)) + 0.1, jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).random((4, 4, 5)) - 0.4, jnp.float32)


def steps_of(solve):
    @jax.jit
    def step(theta, key):
        return jax.grad(lambda theta: jnp.vdot(solve(theta, key), WEIGHTS))(theta)

    return step


def train(step, theta, steps):
    for i in range(steps):
        jax.block_until_ready(step(theta, jax.random.key(i)))


def test_figures_and_a_warning():
    with imle_solvers.jax.solver(
        ShortestPathAdapter.grid(4, 5), estimator=IMLE(target=Target(beta=1e-9)), num_workers=0
    ) as solve:
        assert solve.diagnostics() == {}
        with pytest.warns(RuntimeWarning, match="the target's step is .* too short to change any"):
            train(steps_of(solve), THETA, 8 + 3 * 64)
        figures = solve.diagnostics(reset=True)
        assert figures["nonzero_entries"] == 0 and 0 < figures["noise_changed"] < 1
        assert solve.diagnostics() == {}


def test_costs_below_zero_are_warned_of():
    with imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0) as solve:
        with pytest.warns(RuntimeWarning, match="of the predicted costs in this batch are out of what it can solve"):
            train(steps_of(solve), THETA - 0.5, 1)
        assert solve.diagnostics()["clamped_costs"] > 0.1
