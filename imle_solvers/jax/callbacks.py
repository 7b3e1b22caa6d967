"""Where compiled programs call back to the host plan: the functions that JAX differentiates, and their callbacks.

Nothing of JAX is called within a callback: on one core it could wait for the very thread that calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imle_solvers.host.arrays import computed_in
from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.jax.arguments import Array
from imle_solvers.jax.state import COUNT, without_count
from imle_solvers.jax.varying import axes_of, varying
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss

_TWICE = (
    "solver: cannot be differentiated twice, as its gradient is an estimate, made of solutions, without a derivative; "
    "wrap the gradient in jax.lax.stop_gradient"
)
_ADAPTS = (
    "{0}: expected its state, which its backward pass moves and a function of JAX cannot keep: state = solve.init(theta), "
    "then solve(theta, key, state=state), differentiated with respect to state, too, and state = solve.advance(state, "
    "gradient)"
)
_UNFIXED = (
    "solver: noise goes by the scale of theta in the first batch, of which each device has but a part here: call "
    "solve.fix_scale(theta) with a batch before, or pass state=solve.init(theta)"
)


@dataclass(frozen=True)
class Call:
    """What is not an array in a call; equal for calls that are alike, which JAX compiles once.

    Attributes:
        plan: the host's.
        draws: how it draws.
    """

    plan: HostPlan
    draws: Draws


@dataclass(frozen=True)
class _Draw:
    call: Call
    learning: bool

    def __call__(self, theta: Array, words: Array, context: Any, state: Any) -> Any:
        theta, words, context, state = jax.tree.map(np.asarray, (theta, words, context, state))
        plan, draws = self.call.plan, self.call.draws
        drawn = plan.draw(theta, words, context, draws, state, learning=self.learning)
        if not self.learning:
            return drawn.samples
        if plan.keeps_draws(draws, theta.dtype.name):
            return drawn.samples, drawn.marks, drawn.draws
        return drawn.samples, drawn.marks


@dataclass(frozen=True)
class _Pull:
    call: Call

    def __call__(self, *arguments: Any) -> Any:
        theta, words, context, state, values, marks, dz = jax.tree.map(np.asarray, arguments)
        draws = self.call.draws
        if draws.num_samples is None and values.ndim < marks.ndim + len(self.call.plan.adapter.solution_shape):
            values = values.reshape(*marks.shape, *self.call.plan.adapter.solution_shape)
        dtheta, after = self.call.plan.pull(theta, words, values, marks, dz, context, draws, state)
        return dtheta, None if state is None else {name: after[name].astype(state[name].dtype) for name in state}


@dataclass(frozen=True)
class _Losses:
    plan: HostPlan
    loss: FenchelYoungLoss | SPOPlusLoss

    def __call__(self, *arguments: Any) -> Any:
        theta, others, words, context, state = jax.tree.map(np.asarray, arguments)
        return self.plan.losses(self.loss, theta, others, words, context, state)


def _callback(function: Any, results: Any, *arguments: Any) -> Any:
    given = jax.pure_callback(function, results, *arguments, vmap_method="broadcast_all")
    return varying(given, axes_of(arguments))


def _samples(call: Call, theta: Array) -> Any:
    axes = () if call.draws.num_samples is None else (call.draws.num_samples,)
    return jax.ShapeDtypeStruct((len(theta), *axes, *call.plan.adapter.solution_shape), theta.dtype)


def _primal(call: Call, theta: Array, words: Array, context: Any, state: Any) -> Array:
    return _callback(
        _Draw(call, learning=False), _samples(call, theta), theta, words, context, without_count(state)
    )


def _forward(call: Call, theta: Any, words: Any, context: Any, state: Any) -> Any:
    plan, draws = call.plan, call.draws
    for name, values in context.items():
        if values.perturbed and jnp.issubdtype(values.value.dtype, jnp.floating):
            raise ValueError(
                f"context {name!r} asks for a gradient, but solvers differentiate theta alone: pass "
                f"jax.lax.stop_gradient({name}), or see \"Learning a constraint\" in docs/programs.md"
            )
    plan.check_differentiable()
    if plan.adapts and (state is None or not any(each.perturbed for each in state.values())):
        raise TypeError(_ADAPTS.format(type(plan.estimator).__name__))
    theta, words, context, state = jax.tree.map(
        lambda each: each.value, (theta, words, context, state), is_leaf=lambda each: hasattr(each, "perturbed")
    )
    if state is None and draws.perturb and plan.awaits_scale and axes_of((theta, words)):
        raise ValueError(_UNFIXED)
    num_draws = plan.num_draws(draws)
    samples = _samples(call, theta)
    marks = jax.ShapeDtypeStruct((len(theta), num_draws), jnp.uint8)
    results: tuple[Any, ...] = (samples, marks)
    keeps = plan.keeps_draws(draws, theta.dtype.name)
    if keeps:
        shape = (len(theta), num_draws, *plan.adapter.solution_shape)
        results = (*results, jax.ShapeDtypeStruct(shape, computed_in(theta.dtype.name)))
    z, marks, *more = _callback(
        _Draw(call, learning=True), results, theta, words, context, without_count(state)
    )
    return z, (theta, words, context, state, more[0] if keeps else z, marks)


def _backward(call: Call, residuals: Any, dz: Any) -> Any:
    theta, state = residuals[0], residuals[3]
    if isinstance(dz, jax.custom_derivatives.SymbolicZero):
        zeros = jax.tree.map(jnp.zeros_like, (theta, state))
        return zeros[0], None, None, zeros[1]
    dtheta, after = _pull(call, *residuals, dz)
    return dtheta, None, None, after


def _pull_primal(
    call: Call, theta: Array, words: Array, context: Any, state: Any, values: Array, marks: Array, dz: Array
) -> Any:
    held = without_count(state)
    results = jax.tree.map(lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype), (theta, held))
    dtheta, after = _callback(_Pull(call), results, theta, words, context, held, values, marks, dz)
    return dtheta, None if after is None else {**after, COUNT: jnp.ones_like(state[COUNT])}


def _refuse(*_: Any) -> Any:
    raise TypeError(_TWICE)


_pull: Any = jax.custom_vjp(_pull_primal, nondiff_argnums=(0,))
_pull.defvjp(_refuse, _refuse)

_solve: Any = jax.custom_vjp(_primal, nondiff_argnums=(0,))
_solve.defvjp(_forward, _backward, symbolic_zeros=True)


def solve(call: Call, theta: Array, words: Array | None, context: dict[str, Array], state: Any) -> Array:
    """Samples, differentiable in theta, (B, *instance_shape); their gradient in state is the state afterwards."""
    arguments = theta, words, context, state
    return _solve(call, *varying(arguments, axes_of(arguments)))


def _loss_both(call: _Losses, theta: Array, others: Any, words: Any, context: Any, state: Any) -> Any:
    dtype = computed_in(theta.dtype.name)
    results = jax.ShapeDtypeStruct((len(theta),), dtype), jax.ShapeDtypeStruct(theta.shape, dtype)
    return _callback(call, results, theta, others, words, context, without_count(state))


def _loss_primal(call: _Losses, *arguments: Any) -> Array:
    return _loss_both(call, *arguments)[0]


def _loss_forward(call: _Losses, theta: Array, others: Any, words: Any, context: Any, state: Any) -> Any:
    if state is None and call.plan.awaits_scale and words is not None and axes_of((theta, words)):
        raise ValueError(_UNFIXED)
    losses, gradient = _loss_both(call, theta, others, words, context, state)
    return losses, (theta, gradient, state)


def _loss_backward(call: _Losses, residuals: Any, dl: Array) -> Any:
    theta, gradient, state = residuals
    rows = dl.reshape(-1, *(1 for _ in gradient.shape[1:]))
    return (rows * gradient).astype(theta.dtype), None, None, None, jax.tree.map(jnp.zeros_like, state)


_losses: Any = jax.custom_vjp(_loss_primal, nondiff_argnums=(0,))
_losses.defvjp(_loss_forward, _loss_backward)


def losses(
    plan: HostPlan,
    loss: FenchelYoungLoss | SPOPlusLoss,
    theta: Array,
    others: tuple[Array, ...],
    words: Array | None,
    context: dict[str, Array],
    state: Any,
) -> Array:
    """Losses of each instance, (B,), in the dtype that is computed in; differentiable in theta."""
    arguments = theta, others, words, context, state
    return _losses(_Losses(plan, loss), *varying(arguments, axes_of(arguments)))
