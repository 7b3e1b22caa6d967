"""Where compiled programs call back to the host plan: the functions that JAX differentiates, and their callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from imle_solvers.host.arrays import computed_in
from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.jax.arguments import Array
from imle_solvers.jax.host_calls import as_numpy, call_host
from imle_solvers.jax.state import COUNT, gradient_on_host, on_host
from imle_solvers.jax.varying import axes_of, varying
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss

_TWICE = (
    "solver: cannot be differentiated twice, as its gradient is an estimate, made of solutions, without a derivative; "
    "wrap the gradient in jax.lax.stop_gradient"
)
_ADAPTS = (
    "{0}: expected its state, which its backward pass moves and a function of JAX cannot keep: "
    "state = solve.init(theta), then solve(theta, key, state=state), differentiated with respect to state, too, and "
    "state = solve.advance(state, gradient)"
)
_CARRIED = (
    "{0}: expected the loss differentiated with respect to its state, too, which the backward pass moves, as by "
    "jax.grad(loss, argnums=(0, 1)); then state = solve.advance(state, gradient)"
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
        keeps_state: whether the estimator's state is on the host, where the backward pass moves it if it is given none.
    """

    plan: HostPlan
    draws: Draws
    keeps_state: bool = False


@dataclass(frozen=True)
class _Draw:
    call: Call
    learning: bool

    def __call__(self, theta: Array, words: Array, context: Any, state: Any) -> Any:
        theta, words, context, state = as_numpy((theta, words, context, state))
        plan, draws = self.call.plan, self.call.draws
        drawn = plan.draw(theta, words, context, draws, on_host(state), learning=self.learning)
        if not self.learning:
            return drawn.samples
        if plan.keeps_draws(draws, theta.dtype.name):
            return drawn.samples, drawn.marks, drawn.draws
        return drawn.samples, drawn.marks


@dataclass(frozen=True)
class _Pull:
    call: Call

    def __call__(self, *arguments: Any) -> Any:
        theta, words, context, state, values, marks, dz = as_numpy(arguments)
        draws = self.call.draws
        if draws.num_samples is None and values.ndim < marks.ndim + len(self.call.plan.adapter.solution_shape):
            values = values.reshape(*marks.shape, *self.call.plan.adapter.solution_shape)
        dtheta, after = self.call.plan.pull(theta, words, values, marks, dz, context, draws, on_host(state))
        return dtheta, None if state is None else gradient_on_host(after, state[COUNT])


@dataclass(frozen=True)
class _Losses:
    plan: HostPlan
    loss: FenchelYoungLoss | SPOPlusLoss

    def __call__(self, *arguments: Any) -> Any:
        theta, others, words, context, state = as_numpy(arguments)
        return self.plan.losses(self.loss, theta, others, words, context, on_host(state))


def _call_finally(function: Any, results: Any, *arguments: Any, has_effect: bool = False) -> Any:
    """Calls where it is part of a derivative, which may be computed under another one, but has none itself."""
    call: Any = jax.custom_vjp(lambda *given: call_host(function, results, *given, has_effect=has_effect))
    call.defvjp(
        lambda *given: (call(*jax.tree.map(_value, given, is_leaf=_is_primal)), None), _refuse, symbolic_zeros=True
    )
    return call(*arguments)


def _refuse(_: Any, incoming: Any) -> Any:
    if all(isinstance(each, jax.custom_derivatives.SymbolicZero) for each in jax.tree.leaves(incoming)):
        return None
    raise TypeError(_TWICE)


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _value(leaf: Any) -> Any:
    return leaf.value


def _samples(call: Call, theta: Array) -> Any:
    axes = () if call.draws.num_samples is None else (call.draws.num_samples,)
    return jax.ShapeDtypeStruct((len(theta), *axes, *call.plan.adapter.solution_shape), theta.dtype)


def _primal(call: Call, theta: Array, words: Array, context: Any, state: Any) -> Array:
    return call_host(_Draw(call, learning=False), _samples(call, theta), theta, words, context, state)


def _forward(call: Call, theta: Any, words: Any, context: Any, state: Any) -> Any:
    plan, draws = call.plan, call.draws
    for name, values in context.items():
        if values.perturbed and jnp.issubdtype(values.value.dtype, jnp.floating):
            raise ValueError(
                f"context {name!r} asks for a gradient, but solvers differentiate theta alone: pass "
                f'jax.lax.stop_gradient({name}), or see "Learning a constraint" in docs/programs.md'
            )
    plan.check_differentiable()
    carried = state is not None and any(each.perturbed for each in state.values())
    if plan.adapts and not carried and not call.keeps_state:
        raise TypeError((_ADAPTS if state is None else _CARRIED).format(type(plan.estimator).__name__))
    theta, words, context, state = jax.tree.map(_value, (theta, words, context, state), is_leaf=_is_primal)
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
    z, marks, *more = _call_finally(_Draw(call, learning=True), results, theta, words, context, state)
    return z, (theta, words, context, state, more[0] if keeps else z, marks)


def _backward(call: Call, residuals: Any, dz: Any) -> Any:
    theta, words, context, state, values, marks = residuals
    if isinstance(dz, jax.custom_derivatives.SymbolicZero):
        zeros = jax.tree.map(jnp.zeros_like, (theta, state))
        return zeros[0], None, None, zeros[1]
    results = jax.tree.map(lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype), (theta, state))
    arguments = theta, words, context, state, values, marks, dz
    has_effect = call.keeps_state and call.plan.adapts
    dtheta, after = _call_finally(_Pull(call), results, *arguments, has_effect=has_effect)
    return dtheta, None, None, after


_solve: Any = jax.custom_vjp(_primal, nondiff_argnums=(0,))
_solve.defvjp(_forward, _backward, symbolic_zeros=True)


def solve(call: Call, theta: Array, words: Array | None, context: dict[str, Array], state: Any) -> Array:
    """Samples, differentiable in theta, (B, *instance_shape); their gradient in state is the state afterwards."""
    arguments = theta, words, context, state
    return _solve(call, *varying(arguments, axes_of(arguments)))


def _loss_results(theta: Array) -> Any:
    dtype = computed_in(theta.dtype.name)
    return jax.ShapeDtypeStruct((len(theta),), dtype), jax.ShapeDtypeStruct(theta.shape, dtype)


def _loss_primal(call: _Losses, theta: Array, others: Any, words: Any, context: Any, state: Any) -> Array:
    return call_host(call, _loss_results(theta), theta, others, words, context, state)[0]


def _loss_forward(call: _Losses, theta: Array, others: Any, words: Any, context: Any, state: Any) -> Any:
    if state is None and call.plan.awaits_scale and words is not None and axes_of((theta, words)):
        raise ValueError(_UNFIXED)
    losses, gradient = _call_finally(call, _loss_results(theta), theta, others, words, context, state)
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
