"""An estimator's state as JAX has it: arrays that come in with a call, and come back as their gradient.

The backward pass makes the next state, and the only way out of it is a gradient. That of the state is the state
afterwards, and that of the entry `COUNT` is one. Gradients of several passes are summed, as of a map over them, or
averaged over devices: what was summed over what was counted is their mean, whatever was done to both.

Each number is a pair, whose sum it is: without x64, JAX would round AIMLE's steps to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from imle_solvers.estimators import Estimator

State = dict[str, Any]

COUNT = "passes"
"""Zero in a state, the number of backward passes in its gradient."""

_GRADIENT = "state: expected a state, got the gradient of one; state = solve.advance(state, gradient) makes the next"


def for_jax(state: Mapping[str, NDArray[Any]]) -> State:
    """Name -> array of float64, as JAX holds it."""
    dtype = jnp.result_type(float)
    split = {name: jnp.asarray(_split(value, dtype, 0)) for name, value in state.items()}
    return {**split, COUNT: jnp.zeros((), dtype)}


def checked(state: Any, estimator: Estimator, name: str = "state") -> State:
    """A state, or its gradient, as arrays.

    Args:
        state: what `for_jax` made, or what became of it.
        estimator: whose it is to be.
        name: what it is called.

    Raises:
        TypeError: it is no dict, or has what is no array of floats.
        ValueError: names or shapes are others.
    """
    expected = {each: (2, *buffer.shape) for each, buffer in estimator.named_buffers()} | {COUNT: ()}
    what, advice = "what solve.init() gives", ""
    if name != "state":
        what = "the gradient of the loss in the state"
        advice = "; jax.grad(loss, argnums=(0, 1)) gives it second, and that of a map is to be summed"
    like = f"{name}: expected {what}, for {type(estimator).__name__} a dict with {_named(expected)}"
    if not isinstance(state, Mapping):
        raise TypeError(f"{like}, got {_kind(state)}{advice}")
    if state.keys() != expected.keys():
        raise ValueError(f"{like}, got {_named(dict.fromkeys(state))}; is it another estimator's?")
    arrays = {}
    for each, value in state.items():
        try:
            arrays[each] = jnp.asarray(value)
        except (TypeError, ValueError):
            arrays[each] = None
        if arrays[each] is None or not jnp.issubdtype(arrays[each].dtype, jnp.floating):
            raise TypeError(f"{like}, arrays of floats, got {each} {_kind(value)}")
    shapes = {each: array.shape for each, array in arrays.items()}
    if shapes != expected:
        raise ValueError(f"{like}, got {_named(shapes)}{advice}")
    if name == "state" and not isinstance(arrays[COUNT], jax.core.Tracer) and arrays[COUNT] != 0:
        raise ValueError(_GRADIENT)
    return arrays


def _named(shapes: Mapping[Any, tuple[int, ...] | None]) -> str:
    parts = [str(name) if shape is None else f"{name} {shape}" for name, shape in shapes.items()]
    return ", ".join(sorted(parts)) or "nothing"


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ if dtype is None else f"an array of {dtype}"


def on_host(state: Mapping[str, NDArray[Any]] | None) -> dict[str, NDArray[Any]] | None:
    """In a callback: state as the plan takes it.

    Raises:
        ValueError: it is a gradient, or not finite.
    """
    if state is None:
        return None
    if state[COUNT].any():
        raise ValueError(_GRADIENT)
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise ValueError(f"state: expected finite values, got {value} as {name!r}; go back to a state before this")
    axes = state[COUNT].ndim
    return {name: value.astype(np.float64).sum(axes) for name, value in state.items() if name != COUNT}


def gradient_on_host(after: Mapping[str, NDArray[Any]], count: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """In a callback: what the plan gave, as the gradient in the state."""
    split = {name: _split(value, count.dtype, count.ndim) for name, value in after.items()}
    return {**split, COUNT: np.ones_like(count)}


def _split(value: NDArray[Any], dtype: Any, axis: int) -> NDArray[Any]:
    high = value.astype(dtype)
    return np.stack([high, (value - high.astype(np.float64)).astype(dtype)], axis)


def advanced(state: State, gradient: State) -> State:
    """The state after a step.

    Args:
        state: before it.
        gradient: of the loss in the state.
    """
    count = gradient[COUNT]
    mean = {name: gradient[name] / jnp.where(count > 0, count, 1) for name in state}
    return {name: each if name == COUNT else jnp.where(count > 0, mean[name], each) for name, each in state.items()}
