"""Errors say what is wrong, where they can be told when a call is traced, else through the callback."""

from __future__ import annotations

import numpy as np
import pytest

from imle_adapters import ILPAdapter, ILPSpec, ShortestPathAdapter
from imle_solvers import AIMLE, IMLE, ClosedError, FunctionAdapter, Status
from tests.cases import KNAPSACK
from tests.solvers import StatusAdapter

jax = pytest.importorskip("jax", reason="needs jax: make test-frontends")
jnp = jax.numpy

import imle_solvers.jax  # noqa: E402

KEY = jax.random.key(0)
ERRORS = jax.errors.JaxRuntimeError, ValueError
"""What JAX makes of an error in a callback: one or the other, by the way it is called."""


@pytest.fixture(scope="module")
def solve():
    return imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((jnp.ones((2, 4, 4)), KEY), ValueError, r"expected shape \(B, 4, 5\) or \(4, 5\) .* got \(2, 4, 4\)"),
        ((jnp.ones((2, 4, 5), int), KEY), TypeError, r"got int32; convert it with theta.astype\(jnp.float32\)"),
        ((jnp.ones((2, 4, 5)), 0), TypeError, r"expected a key of jax.random, got 0; make one by jax.random.key\(0\)"),
        ((jnp.ones((2, 4, 5)), None), TypeError, "expected a key of jax.random"),
        ((jnp.ones((2, 4, 5)), jax.random.split(KEY)), ValueError, r"expected one key, got keys of shape \(2,\)"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["as it is", "jit"])
def test_arguments(solve, arguments, error, message, compiled):
    with pytest.raises(error, match=message):
        (jax.jit(lambda theta: solve(theta, arguments[1])) if compiled else lambda theta: solve(theta, arguments[1]))(
            arguments[0]
        )


def test_context(solve):
    theta = jnp.ones((2, 4, 5))
    with pytest.raises(ValueError, match="does not take capacities as context; it takes source, target, blocked"):
        solve(theta, KEY, capacities=jnp.ones(2))
    with pytest.raises(ValueError, match=r"context 'source': expected shape \(2,\), or \(\) for all instances, got"):
        solve(theta, KEY, source=jnp.ones(3, int))
    with pytest.raises(TypeError, match="context 'source': expected an array or lists of numbers, got None; leave it"):
        solve(theta, KEY, source=None)


def test_context_has_no_gradient():
    with imle_solvers.jax.solver(ILPAdapter(ILPSpec(shape=(6,), **KNAPSACK)), num_workers=0) as solve:
        theta, limits = jnp.ones((2, 6)), jnp.full((2, 1), 7.0)

        def loss(theta, limits):
            return solve(theta, KEY, b_ub=limits).sum()

        with pytest.raises(ValueError, match="context 'b_ub' asks for a gradient, but solvers differentiate theta"):
            jax.grad(loss, argnums=(0, 1))(theta, limits)
        for wrap in (jax.jit, jax.checkpoint, jax.vmap):
            step = wrap(jax.grad(loss)) if wrap is not jax.vmap else jax.vmap(jax.grad(loss), (None, 0))
            assert step(theta, limits if wrap is not jax.vmap else limits[None]).shape[-2:] == theta.shape
        scanned = jax.grad(lambda theta: jax.lax.scan(lambda c, b: (c + loss(theta, b), None), 0.0, limits[None])[0])
        assert scanned(theta).shape == theta.shape


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("compiled", [False, True], ids=["as it is", "jit"])
def test_failed_solves_arrive_with_their_message(compiled):
    solve = imle_solvers.jax.solver(StatusAdapter(), num_workers=0)
    status = jnp.asarray([0, 2, 0])
    run = lambda theta: jax.block_until_ready(solve(theta, KEY, status=status))  # noqa: E731
    with pytest.raises(ERRORS, match="instance 1, sample 0 ended INFEASIBLE"):
        jax.block_until_ready((jax.jit(run) if compiled else run)(jnp.ones((3, 3))))
    assert solve.map(jnp.ones((3, 3)), status=0 * status).shape == (3, 3)  # and it goes on
    assert solve.stats().statuses[Status.INFEASIBLE] == 1


def test_keep_says_why_there_is_nothing_to_keep():
    solve = imle_solvers.jax.solver(StatusAdapter(), num_workers=0, on_failure="keep")
    with pytest.raises(ERRORS, match='on_failure="keep" keeps solutions that end FEASIBLE, and here there is none'):
        jax.block_until_ready(solve(jnp.ones((3, 3)), KEY, status=jnp.asarray([0, 2, 1])))


def test_zero_grad_and_keep():
    theta = jnp.asarray(np.random.default_rng(0).random((3, 3)), jnp.float32)
    for on_failure, status in (("zero_grad", [0, 2, 1]), ("keep", [0, 1, 1])):
        solve = imle_solvers.jax.solver(StatusAdapter(), on_failure=on_failure, num_workers=0)

        def loss(theta, solve=solve, status=status):
            return (solve(theta, KEY, status=jnp.asarray(status)) ** 2).sum()

        gradient = jax.jit(jax.grad(loss))(theta)
        assert [bool(row.any()) for row in gradient] == [one == 0 or on_failure == "keep" for one in status]


def test_what_a_solver_raises_and_theta_that_is_not_finite(solve):
    def fails(theta):
        raise LookupError("no such road")

    broken = imle_solvers.jax.solver(FunctionAdapter(fails, sense="min", instance_shape=3), num_workers=0)
    with pytest.raises(ERRORS, match="instance 0, sample 0: .*LookupError: no such road"):
        jax.block_until_ready(broken.map(jnp.ones((2, 3))))
    theta = jnp.ones((3, 4, 5)).at[2, 1, 3].set(jnp.nan)
    with pytest.raises(ERRORS, match=r"got nan in instance 2 at \(1, 3\)"):
        jax.block_until_ready(solve(theta, KEY))


def test_gradients_that_overflow_are_nan_where_they_do(solve):
    theta = jnp.asarray(np.random.default_rng(0).random((3, 4, 5)) + 0.1, jnp.float32)
    weights = jnp.ones((3, 4, 5)).at[1].set(jnp.inf)
    gradient = jax.grad(lambda theta: jnp.vdot(solve(theta, KEY), weights))(theta)
    assert [bool(jnp.isnan(row).any()) for row in gradient] == [False, True, False]


def test_arguments_of_solver_and_losses(solve):
    adapter = ShortestPathAdapter.grid(4, 5)
    for wrong, error in (
        ({"num_samples": 0}, ValueError),
        ({"estimator": "imle"}, TypeError),
        ({"on_failure": "ignore"}, ValueError),
        ({"executor": "gpu"}, ValueError),
    ):
        with pytest.raises(error):
            imle_solvers.jax.solver(adapter, **wrong)
    named = FunctionAdapter(lambda theta, state: theta, sense="min", instance_shape=3, context={"state": ()})
    with pytest.raises(ValueError, match="expected context by another name than state"):
        imle_solvers.jax.solver(named)
    with pytest.raises(TypeError, match="expected a solver, got .*; make one by imle_solvers.jax.solver"):
        imle_solvers.jax.SPOPlusLoss(adapter)
    with pytest.raises(TypeError, match="has no noise"):
        imle_solvers.jax.FenchelYoungLoss(imle_solvers.jax.solver(adapter, estimator=IMLE(None)))
    with pytest.raises(ValueError, match="target: expected a tensor of theta's shape"):
        imle_solvers.jax.FenchelYoungLoss(solve)(jnp.ones((2, 4, 5)), jnp.ones((3, 4, 5)), KEY)
    theta = jnp.full((2, 4, 5), 0.3)
    with pytest.raises(ERRORS, match="solution: expected zeros and ones"):
        jax.block_until_ready(imle_solvers.jax.SPOPlusLoss(solve)(theta, theta, theta))


@pytest.mark.parametrize(
    ("solutions", "target", "error", "message"),
    [
        ((2, 4, 4), (2, 4, 4), ValueError, r"expected solutions of shape \(B, 4, 5\), or with an axis of samples, got"),
        ((2, 1, 1, 4, 5), (2, 4, 5), ValueError, r"got \(2, 1, 1, 4, 5\)"),
        (
            (2, 4, 5),
            (1, 4, 5),
            ValueError,
            r"shape \(2, 4, 5\), or \(4, 5\) for all samples of an instance, got \(1, 4",
        ),
        ((2, 3, 4, 5), (3, 4, 5), ValueError, r"or \(2, 4, 5\) for all samples of an instance, got \(3, 4, 5\)"),
        ((2, 4, 5), None, TypeError, "target: expected an array or lists of numbers, got None"),
    ],
)
def test_shapes_of_hamming_loss_are_checked_where_it_is_traced(solve, solutions, target, error, message):
    loss = imle_solvers.jax.HammingLoss(solve)
    with pytest.raises(error, match=message):
        jax.eval_shape(lambda z: loss(z, None if target is None else jnp.zeros(target)), jnp.zeros(solutions))


def test_arguments_of_hamming_loss(solve):
    with pytest.raises(TypeError, match="HammingLoss: expected a solver, got .*; make one by imle_solvers.jax.solver"):
        imle_solvers.jax.HammingLoss(ShortestPathAdapter.grid(4, 5))
    with pytest.raises(ValueError, match="reduction: expected one of"):
        imle_solvers.jax.HammingLoss(solve, "average")
    with pytest.raises(TypeError, match=r"solutions: expected a floating dtype .*solutions.astype\(jnp.float32\)"):
        imle_solvers.jax.HammingLoss(solve)(jnp.zeros((2, 4, 5), int), jnp.zeros((2, 4, 5)))


@pytest.mark.parametrize("method", ["sample", "marginals"])
def test_key_and_num_samples_the_other_way_round(solve, method):
    for key in (KEY, jax.random.key_data(KEY)):
        with pytest.raises(TypeError, match=rf"{method}: .*, got the key last: solve.{method}\(theta, key, 10\)"):
            getattr(solve, method)(jnp.ones((2, 4, 5)), 10, key)
    with pytest.raises(TypeError, match="num_samples must be an int"):
        getattr(solve, method)(jnp.ones((2, 4, 5)), KEY, 10.0)


def test_a_closed_solver_is_told_where_it_is_called_and_else_by_the_callback():
    theta = jnp.ones((2, 4, 5))
    with imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), num_workers=0) as solve:
        step = jax.jit(jax.grad(lambda theta: solve(theta, KEY).sum()))
        step(theta)
        fenchel_young, spo_plus = imle_solvers.jax.FenchelYoungLoss(solve), imle_solvers.jax.SPOPlusLoss(solve)
    for call in (
        lambda theta: solve(theta, KEY),
        jax.jit(lambda theta: solve.sample(theta, KEY, 3)),
        jax.grad(lambda theta: solve.map(theta).sum()),
        lambda theta: fenchel_young(theta, theta, KEY),
        jax.jit(lambda theta: spo_plus(theta, theta)),
    ):
        with pytest.raises(ClosedError, match=r"ShortestPathAdapter.*closed.*; make a new layer, or solver"):
            call(theta)
    with pytest.raises(ERRORS, match="make a new layer, or solver"):
        jax.block_until_ready(step(theta))
    assert float(imle_solvers.jax.HammingLoss(solve)(theta, theta)) == 0  # solves nothing


def test_an_estimator_that_adapts_is_not_used_without_its_state():
    solve = imle_solvers.jax.solver(ShortestPathAdapter.grid(4, 5), estimator=AIMLE(), num_workers=0)
    theta = jnp.ones((2, 4, 5))
    assert solve(theta, KEY).shape == theta.shape  # nothing adapts
    with pytest.raises(TypeError, match=r"AIMLE: expected its state, .*: state = solve.init\(theta\)"):
        jax.grad(lambda theta: solve(theta, KEY).sum())(theta)
    state = solve.init(theta)
    with pytest.raises(TypeError, match="AIMLE: expected the loss differentiated with respect to its state, too"):
        jax.grad(lambda theta: solve(theta, KEY, state=state).sum())(theta)
