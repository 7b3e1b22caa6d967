"""What JAX makes of functions: each transformation gives what it gives for any other function."""

from __future__ import annotations

import numpy as np
import pytest

from imle_adapters import ShortestPathAdapter, TopKAdapter
from tests.host.estimators import ESTIMATORS

jax = pytest.importorskip("jax", reason="needs jax: make test-frontends")
jnp = jax.numpy

import imle_solvers.jax  # noqa: E402

KEY = jax.random.key(7)
KEYS = jax.random.split(KEY, 3)


@pytest.fixture(scope="module")
def solve():
    solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0)
    solve.fix_scale(np.linspace(0.1, 1, 120, dtype=np.float32).reshape(6, 4, 5))
    return solve


@pytest.fixture
def thetas(batch):
    return jnp.stack([batch[0], batch[0] * 2, batch[0][::-1] + 1])


@pytest.fixture
def step(solve, batch):
    return jax.value_and_grad(lambda theta, key: (solve(theta, key) * batch[1]).sum())


def equal(one, other):
    for first, second in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(first, second)


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.mark.parametrize("compiled", [False, True], ids=["as it is", "jit"])
def test_vmap_of_theta_of_keys_and_of_both(step, thetas, compiled):
    expected = {(i, j): step(thetas[i], KEYS[j]) for i in range(3) for j in range(3)}
    wrap = jax.jit if compiled else lambda function: function
    both = wrap(jax.vmap(step))(thetas, KEYS)
    of_keys = wrap(jax.vmap(step, (None, 0)))(thetas[0], KEYS)
    of_theta = wrap(jax.vmap(step, (0, None)))(thetas, KEYS[1])
    nested = wrap(jax.vmap(jax.vmap(step, (None, 0)), (0, None)))(thetas, KEYS)
    for i in range(3):
        equal(at(both, i), expected[i, i])
        equal(at(of_keys, i), expected[0, i])
        equal(at(of_theta, i), expected[i, 1])
        for j in range(3):
            equal(at(nested, (i, j)), expected[i, j])
    assert (of_keys[1][0] != of_keys[1][1]).any()  # each key has noise of its own


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_vmap_of_single_instances(estimator, batch):
    solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), estimator=ESTIMATORS[estimator](), num_workers=0)
    state = solve.init(batch[0])

    def loss(theta, state, key, weights):
        return (solve(theta, key, state=state) * weights).sum()

    step = jax.value_and_grad(loss, argnums=(0, 1))
    keys = jax.random.split(KEY, 6)
    mapped = jax.jit(jax.vmap(step, (0, None, 0, 0)))(batch[0], state, keys, batch[1])
    for i in range(6):
        equal(at(mapped, i), step(batch[0][i], state, keys[i], batch[1][i]))


def test_vmap_of_context():
    solve = imle_solvers.jax.solver(TopKAdapter(6, 2))
    theta = jnp.asarray(np.random.default_rng(0).random((4, 6)), jnp.float32)
    k = jnp.arange(4) % 3
    mask = jnp.asarray([1, 1, 1, 1, 1, 0])
    mapped = jax.vmap(lambda theta, k: solve.map(theta, k=k, mask=mask))(theta, k)
    equal(mapped, solve.map(theta, k=k, mask=mask))
    assert (mapped.sum(-1) == k).all()


def test_compiled_vmap_of_context_of_numpy():
    solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0)
    theta, sources = jnp.ones((4, 5)), np.arange(6)
    paths = jax.jit(lambda theta: jax.vmap(lambda source: solve.map(theta, source=source))(sources))(theta)
    equal(paths, solve.map(jnp.broadcast_to(theta, (6, 4, 5)), source=sources))


def test_scan_and_grad_of_scan(step, solve, batch):
    def descend(theta, key):
        value, gradient = step(theta, key)
        return theta - 0.125 * gradient, value

    theta, values = jax.jit(lambda theta: jax.lax.scan(descend, theta, KEYS))(batch[0])
    expected = jnp.asarray(batch[0])
    for key, value in zip(KEYS, values, strict=True):
        expected, other = descend(expected, key)
        np.testing.assert_allclose(value, other, rtol=1e-5)
    np.testing.assert_allclose(theta, expected, rtol=1e-5)

    def total(theta):
        return jax.lax.scan(lambda sum, key: (sum + (solve(theta, key) * batch[1]).sum(), None), 0.0, KEYS)[0]

    np.testing.assert_allclose(
        jax.grad(total)(batch[0]), sum(step(batch[0], key)[1] for key in KEYS), rtol=1e-4, atol=1e-6
    )


def test_remat_and_jacobian(step, solve, batch):
    loss = jax.checkpoint(lambda theta: (solve(theta * 1.0, KEY) * batch[1]).sum())
    for function in (loss, jax.jit(loss)):
        equal(jax.value_and_grad(function)(batch[0]), step(batch[0], KEY))
    jacobian = jax.jacrev(lambda theta: solve(theta, KEY))(batch[0][:2])
    assert jacobian.shape == (2, 4, 5, 2, 4, 5) and (jacobian[0, :, :, 1] == 0).all()


def test_remat_of_the_first_step(batch):
    """The pass that is repeated finds another state of the host than the first, and must draw the same."""
    gradients = []
    for wrap in (lambda function: function, jax.checkpoint):
        solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0)

        def loss(theta, solve=solve):
            return (solve(theta, KEY) * batch[1]).sum()

        gradients.append(jax.value_and_grad(wrap(loss))(batch[0] * 1.7))
    equal(*gradients)


def test_no_instances_and_single_ones(solve, step, batch):
    equal(jax.grad(lambda theta: solve(theta, KEY).sum())(batch[0][:0]), jnp.zeros((0, 4, 5)))
    assert solve(batch[0][:0], KEY).shape == (0, 4, 5)
    assert solve.sample(batch[0][0], KEY, 3).shape == (3, 4, 5)
    equal(solve(batch[0][0], KEY), solve(batch[0][:1], KEY)[0])
    assert solve.map(batch[0][0], source=7)[0, 0] == 0 and solve.map(batch[0][0], source=7)[1, 2] == 1


def test_what_is_not_asked_for_is_not_solved(solve, batch):
    solve.stats().reset()
    gradient = jax.grad(lambda theta: (theta + 0 * jax.lax.stop_gradient(solve(theta, KEY))).sum())(batch[0])
    assert (gradient == 1).all() and solve.stats().batches == 1
    unused = jax.jit(jax.grad(lambda theta: (theta, solve(theta, KEY))[0].sum()))(batch[0])
    assert (unused == 1).all() and solve.stats().batches <= 2


def test_second_derivatives_and_forward_mode(step, solve, batch):
    with pytest.raises(TypeError, match="cannot be differentiated twice"):
        jax.grad(lambda theta: (step(theta, KEY)[1] ** 2).sum())(batch[0])
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda theta: solve(theta, KEY), (batch[0],), (batch[0],))
    kept = jax.grad(lambda theta: (jax.lax.stop_gradient(step(theta, KEY)[1]) * theta).sum())(jnp.asarray(batch[0]))
    equal(kept, step(batch[0], KEY)[1])
