"""An estimator's state as JAX has it: arrays that come in with a call, and come back as their gradient.

The backward pass makes the next state, and the only way out of it is a gradient. That of the state is the state
afterwards, and that of the entry `COUNT` is one. Gradients of several passes are summed, as of a map over them, or
averaged over devices: what was summed over what was counted is their mean, whatever was done to both.

Each number is a pair, whose sum it is: without x64, JAX would round AIMLE's steps to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

State = dict[str, Any]

COUNT = "passes"
"""Zero in a state, the number of backward passes in its gradient."""


def for_jax(state: Mapping[str, NDArray[Any]]) -> State:
    """Name -> array of float64, as JAX holds it."""
    dtype = jnp.result_type(float)
    split = {name: jnp.asarray(_split(value, dtype, 0)) for name, value in state.items()}
    return {**split, COUNT: jnp.zeros((), dtype)}


def on_host(state: Mapping[str, NDArray[Any]] | None) -> dict[str, NDArray[Any]] | None:
    """In a callback: state as the plan takes it."""
    if state is None:
        return None
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
