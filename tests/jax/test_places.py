"""Where it runs: on several devices, on one core, beside the user's torch, without JAX."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.ray_cluster import needs_ray

ON_RAY = """
import jax
import jax.numpy as jnp
import numpy as np

import imle_solvers.jax
from imle_adapters import ShortestPathAdapter
from imle_solvers import RayExecutor

theta = jnp.asarray(np.random.default_rng(0).random((6, 4, 5)) + 0.1, jnp.float32)
adapter = ShortestPathAdapter.grid(4, 5)


def gradient(**where):
    with imle_solvers.jax.solver(adapter, **where) as solve:
        step = jax.jit(jax.grad(lambda theta: (solve(theta, jax.random.key(1)) * jnp.arange(5.0)).sum()))
        return step(theta), solve.stats().executors


with RayExecutor("local", num_workers=2) as executor:
    remote, used = gradient(executor=executor)
assert set(used) == {"ray"}, used
np.testing.assert_array_equal(remote, gradient(num_workers=0)[0])
print("ok")
"""

SHARDED = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec as P

import imle_solvers.jax
from imle_adapters import ShortestPathAdapter
from imle_solvers import AIMLE

rng = np.random.default_rng(0)
theta = jnp.asarray(rng.random((8, 4, 5)) + 0.1, jnp.float32)
weights = jnp.asarray(rng.random((8, 4, 5)) - 0.3, jnp.float32)
keys = jax.random.split(jax.random.key(0), 4)
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0)
split, whole = P("data"), P()


def sharded(function, specs, out=whole, **options):
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out, **options))


def loss(scale, theta, key, weights):
    return (solve(theta * scale, key[0]) * weights).sum()


def total(*arguments):
    return jax.lax.psum(loss(*arguments), "data")


arguments = (jnp.float32(1.3), theta, keys, weights)
specs = (whole, split, split, split)
try:
    jax.grad(sharded(total, specs), argnums=1)(*arguments)
except ValueError as error:
    assert "each device has but a part here: call solve.fix_scale(theta)" in str(error)
else:
    raise AssertionError("the scale of the first batch is not the same on all devices")

solve.fix_scale(theta)
parts = [slice(2 * i, 2 * i + 2) for i in range(4)]
alone = [
    jax.grad(loss, argnums=(0, 1))(arguments[0], theta[part], keys[i : i + 1], weights[part])
    for i, part in enumerate(parts)
]
expected = np.concatenate([gradient for _, gradient in alone])
assert np.abs(expected).sum() > 0
same = np.testing.assert_array_equal

# Differentiated from outside, from within, and without a check of what varies.
scale, outside = jax.grad(sharded(total, specs), argnums=(0, 1))(*arguments)
same(outside, expected)
np.testing.assert_allclose(scale, sum(each for each, _ in alone), rtol=1e-5)
same(sharded(jax.grad(loss, argnums=1), specs, split)(*arguments), expected)
same(sharded(jax.grad(loss, argnums=1), specs, split, check_vma=False)(*arguments), expected)
np.testing.assert_allclose(sharded(jax.grad(total), specs)(*arguments), scale, rtol=1e-5)

# Theta that all devices share, under noise of their own.
shared = jax.grad(sharded(total, (whole, whole, split, split)), argnums=1)(1.3, theta[:2], keys, weights)
each = [jax.grad(loss, argnums=1)(1.3, theta[:2], keys[i : i + 1], weights[parts[i]]) for i in range(4)]
np.testing.assert_allclose(shared, sum(each), rtol=1e-5, atol=1e-6)

# Losses.
spo, fenchel_young = imle_solvers.jax.SPOPlusLoss(solve), imle_solvers.jax.FenchelYoungLoss(solve)
label = solve.map(theta)


def losses(theta, truth, label, key):
    return spo(theta, truth) + fenchel_young(theta, label, key[0])


gradient = jax.grad(sharded(lambda *given: jax.lax.pmean(losses(*given), "data"), (split,) * 4))(
    1.1 * theta, theta, label, keys
)
for i, part in enumerate(parts):
    one = jax.grad(losses)(1.1 * theta[part], theta[part], label[part], keys[i : i + 1])
    np.testing.assert_allclose(gradient[part], one / 4, rtol=1e-5, atol=1e-7)

# State: the mean over devices, which all have.
adaptive = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), estimator=AIMLE(), num_workers=0)
state = adaptive.init(theta)


def moved(state, theta, key, weights):
    return (adaptive(theta, key[0], state=state) * weights).sum()


together = adaptive.advance(
    state,
    jax.grad(sharded(lambda *given: jax.lax.psum(moved(*given), "data"), specs))(state, theta, keys, weights),
)
single = [
    adaptive.advance(state, jax.grad(moved)(state, theta[part], keys[i : i + 1], weights[part]))
    for i, part in enumerate(parts)
]
for name in ("beta", "norm", "theta_scale"):
    mean = np.mean([each[name].sum() for each in single])
    np.testing.assert_allclose(together[name].sum(), mean, rtol=1e-6)
assert float(together["beta"].sum()) != 2.0
print("ok")
"""

MANY_STEPS = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import jax
import jax.numpy as jnp
import numpy as np

import imle_solvers.jax
from imle_adapters import ShortestPathAdapter

solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(12, 12), num_workers=0)
rng = np.random.default_rng(0)
truth = jnp.asarray(rng.random((70, 12, 12)) + 0.1, jnp.float32)
label = solve.map(truth)


@jax.jit
def step(theta, key):
    key, now = jax.random.split(key)
    gradient = jax.grad(lambda theta: jnp.abs(solve(jnp.exp(theta), now) - label).sum())(theta)
    return theta - 0.01 * jnp.sign(gradient), key


theta, key = jnp.zeros_like(truth), jax.random.key(0)
wrong = [float(jnp.abs(solve.map(jnp.exp(theta)) - label).sum())]
for _ in range(1000):
    theta, key = step(theta, key)
wrong.append(float(jnp.abs(solve.map(jnp.exp(theta)) - label).sum()))
assert wrong[1] < 0.5 * wrong[0], wrong
print("ok")
"""

WITHOUT_JAX = """
import sys
sys.modules["jax"] = None
try:
    import imle_solvers.jax
except ImportError as error:
    print(error)
"""


def run(program, timeout=120):
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-"],
        input=program,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_shard_map_over_four_devices():
    pytest.importorskip("jax", reason="needs jax: make test-frontends")
    assert run(SHARDED) == "ok"


@pytest.mark.slow
@needs_ray
def test_on_a_ray_cluster():
    pytest.importorskip("jax", reason="needs jax: make test-frontends")
    assert run(ON_RAY).splitlines()[-1] == "ok"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that binds processes to a core")
def test_a_thousand_steps_on_one_core():
    pytest.importorskip("jax", reason="needs jax: make test-frontends")
    assert run(MANY_STEPS, timeout=300) == "ok"


def test_without_jax_it_says_how_to_get_it():
    assert run(WITHOUT_JAX) == 'imle_solvers.jax needs JAX: pip install "imle-solvers[jax]"'
