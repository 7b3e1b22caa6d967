"""State of estimators comes with a call, and goes with its gradient."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from imle_adapters import ShortestPathAdapter
from imle_solvers import AIMLE, SolverLayer

jax = pytest.importorskip("jax", reason="needs jax: make test-frontends")
jnp = jax.numpy

import imle_solvers.jax  # noqa: E402

KEY = jax.random.key(0)


@pytest.fixture
def solve():
    return imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), estimator=AIMLE(), num_workers=0)


@pytest.fixture
def step(solve, batch):
    def loss(theta, state, key):
        return (solve(theta, key, state=state) * batch[1]).sum()

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


def values(state):
    return {name: float(value.astype(np.float64).sum()) for name, value in state.items()}


def test_many_steps_are_those_of_a_layer(solve, step, batch):
    """Float32 alone would lose AIMLE's steps, and with them the bits."""
    layer = SolverLayer(ShortestPathAdapter.grid(4, 5), estimator=AIMLE(), num_workers=0)
    state = solve.init()
    for i in range(20):
        key = jax.random.fold_in(KEY, i)
        gradient, moved = step(batch[0], state, key)
        state = solve.advance(state, moved)
        leaf = torch.from_numpy(batch[0].copy()).requires_grad_()
        layer.generator = solve.generator(key)
        (layer(leaf) * torch.from_numpy(batch[1])).sum().backward()
        np.testing.assert_array_equal(gradient, leaf.grad.numpy())
    ours = values(jax.tree.map(np.asarray, state))
    assert ours.pop("passes") == 0
    assert ours == pytest.approx({name: float(buffer) for name, buffer in layer.estimator.named_buffers()}, rel=1e-13)
    assert ours["beta"] != 2.0
    assert float(solve.estimator.beta) == 2.0  # nothing stays on the host


def test_a_run_that_goes_on_from_a_saved_state_is_the_same(solve, step, batch):
    state = solve.advance(solve.init(batch[0]), step(batch[0], solve.init(batch[0]), KEY)[1])
    saved = jax.tree.map(np.asarray, state)
    again = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), estimator=AIMLE(), num_workers=0)
    key = jax.random.key(1)
    expected = step(batch[0], state, key)
    restored = jax.grad(lambda theta, state: (again(theta, key, state=state) * batch[1]).sum(), argnums=(0, 1))(
        batch[0], saved
    )
    jax.tree.map(np.testing.assert_array_equal, expected, restored)


def test_several_passes_have_the_mean_of_their_states_and_none_leaves_it(solve, batch):
    state = solve.init(batch[0])
    keys = jax.random.split(KEY, 3)

    def loss(state, key):
        return (solve(batch[0], key, state=state) * batch[1]).sum()

    single = [jax.tree.map(np.asarray, solve.advance(state, jax.grad(loss)(state, key))) for key in keys]
    together = jax.grad(lambda state: jax.vmap(lambda key: loss(state, key))(keys).sum())(state)
    summed = jax.grad(lambda state: sum(loss(state, key) for key in keys))(state)
    for moved in (together, summed, jax.tree.map(lambda leaf: leaf / 3, summed)):
        after = values(jax.tree.map(np.asarray, solve.advance(state, moved)))
        for name in ("beta", "norm"):
            assert after[name] == pytest.approx(np.mean([values(each)[name] for each in single]), rel=1e-6)
    none = solve.advance(state, jax.tree.map(jnp.zeros_like, state))
    jax.tree.map(np.testing.assert_array_equal, none, state)


def test_the_scale_of_noise_comes_with_the_state_or_of_the_first_batch(batch):
    adapter = ShortestPathAdapter.grid(4, 5)
    first, second = (imle_solvers.jax.solver(adapter, num_workers=0, num_samples=8) for _ in range(2))
    state = second.init()
    jax.grad(lambda theta: first(theta, KEY).sum())(batch[0])
    moved = jax.grad(lambda state: second(batch[0], KEY, state=state).sum())(state)
    state = second.advance(state, moved)
    assert values(jax.tree.map(np.asarray, state))["theta_scale"] == float(first.estimator.theta_scale) > 0
    assert float(second.estimator.theta_scale) == 0
    other = batch[0] * 10  # the scale stays that of the first
    np.testing.assert_array_equal(first(other, KEY), second(other, KEY, state=state))
    assert (first(other, KEY) != second(other, KEY)).any()


def test_the_scale_is_taken_anew_where_that_is_asked_for(batch):
    theta = jnp.asarray(batch[0])
    first, second = (imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0) for _ in range(2))
    jax.grad(lambda theta: first(theta, KEY).sum())(jnp.full_like(theta, 1e-9))
    np.testing.assert_array_equal(first.init(theta)["theta_scale"], second.init(theta)["theta_scale"])
    assert float(second.estimator.theta_scale) == 0 < float(first.estimator.theta_scale)  # the state alone has it
    first.fix_scale(theta)
    np.testing.assert_array_equal(first.init()["theta_scale"], second.init(theta)["theta_scale"])
    for call in (first.fix_scale, first.init):
        for wrong, error, said in (
            (theta[:, :3], ValueError, r"expected shape \(B, 4, 5\)"),
            (theta[:0], ValueError, "one without entries"),
            (theta.at[1, 2, 3].set(jnp.nan), ValueError, "entries that are not finite"),
        ):
            with pytest.raises(error, match=said):
                call(wrong)
        with pytest.raises(TypeError, match="which is traced; call it outside of jit"):
            jax.jit(call)(theta)


def test_a_gradient_is_no_state(solve, step, batch):
    state = solve.init()
    _, moved = step(batch[0], state, KEY)
    with pytest.raises(ValueError, match="expected a state, got the gradient of one"):
        solve.advance(moved, state)
    for wrong, said in (
        (moved, "got the gradient of one"),
        ({**state, "beta": state["beta"] * jnp.nan}, "finite values"),
    ):
        with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match=said):
            jax.block_until_ready(jax.jit(lambda state: solve(batch[0], KEY, state=state))(wrong))


def test_copies_go_on_where_it_was(batch):
    first = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0)
    gradient = jax.grad(lambda theta: first(theta, KEY).sum())(batch[0])
    for other in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        np.testing.assert_array_equal(jax.grad(lambda theta, s=other: s(theta, KEY).sum())(batch[0]), gradient)
        assert float(other.estimator.theta_scale) == float(first.estimator.theta_scale)


def of_imle():
    return imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0).init()


def changed(state, **values):
    return {**state, **values}


WRONG_STATES = {
    "number": (
        lambda state: 3.0,
        TypeError,
        r"a dict with beta \(2,\), last_move \(2,\), norm \(2,\), passes \(\), theta_scale .*, got float",
    ),
    "values": (lambda state: tuple(state.values()), TypeError, "got tuple"),
    "another estimator's": (lambda state: of_imle(), ValueError, "got passes, theta_scale; is it another estimator's"),
    "nothing": (lambda state: {}, ValueError, "got nothing; is it"),
    "one name more": (
        lambda state: changed(state, gamma=1.0),
        ValueError,
        "got beta, gamma, last_move, norm, passes, theta_scale; is it",
    ),
    "no pair": (lambda state: changed(state, beta=1.0), ValueError, r"got beta \(\), last_move \(2,\)"),
    "several": (lambda state: jax.tree.map(lambda x: jnp.stack([x] * 3), state), ValueError, r"got beta \(3, 2\)"),
    "integers": (lambda state: changed(state, beta=jnp.zeros(2, int)), TypeError, "got beta an array of int32"),
    "no array": (lambda state: changed(state, beta=None), TypeError, "arrays of floats, got beta NoneType"),
}


@pytest.mark.parametrize("case", WRONG_STATES)
@pytest.mark.parametrize("compiled", [False, True], ids=["as it is", "jit"])
def test_what_is_no_state(solve, batch, case, compiled):
    wrong, error, message = WRONG_STATES[case]
    state = wrong(solve.init())
    wrap = jax.jit if compiled else lambda function: function
    with pytest.raises(error, match=rf"state: expected what solve.init\(\) gives, for AIMLE .*{message}"):
        wrap(lambda theta: solve(theta, KEY, state=state))(batch[0])
    with pytest.raises(error, match=message):
        wrap(lambda gradient: solve.advance(state, gradient))(solve.init())
    with pytest.raises(
        error, match=rf"gradient: expected the gradient of the loss in the state, for AIMLE .*{message}"
    ):
        wrap(lambda before: solve.advance(before, state))(solve.init())
    with pytest.raises(error, match=message):
        imle_solvers.jax.FenchelYoungLoss(solve)(batch[0], batch[0], KEY, state=state)


def test_what_is_no_gradient(solve, step, batch):
    state = solve.init()
    with pytest.raises(TypeError, match=r"got NoneType; jax.grad\(loss, argnums=\(0, 1\)\) gives it second"):
        solve.advance(state, None)
    with pytest.raises(TypeError, match="got tuple; jax.grad"):
        solve.advance(state, step(batch[0], state, KEY))
    with pytest.raises(ValueError, match="got the state itself"):
        jax.jit(lambda state: solve.advance(state, state))(state)
    keys = jax.random.split(KEY, 3)
    each = jax.vmap(lambda key: step(batch[0], state, key)[1])(keys)
    with pytest.raises(ValueError, match=r"passes \(3,\).*; .* that of a map is to be summed"):
        solve.advance(state, each)
    solve.advance(state, jax.tree.map(lambda leaf: leaf.sum(0), each))


def test_a_state_of_lists_as_a_file_has_them(solve, batch):
    state = solve.init(batch[0])
    kept = {name: np.asarray(value).tolist() for name, value in state.items()}
    np.testing.assert_array_equal(solve(batch[0], KEY, state=kept), solve(batch[0], KEY, state=state))
