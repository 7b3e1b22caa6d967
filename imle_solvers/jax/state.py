"""An estimator's state as JAX has it: arrays that come in with a call, and come back as their gradient.

The backward pass makes the next state, and the only way out of it is a gradient. That of the state is the state
afterwards, and that of the entry `COUNT` is one. Gradients of several passes are summed, as of a map over them, or
averaged over devices: what was summed over what was counted is their mean, whatever was done to both.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

State = dict[str, Any]

COUNT = "passes"
"""Zero in a state, the number of backward passes in its gradient."""


def without_count(state: State | None) -> State | None:
    """What goes to the host."""
    return None if state is None else {name: each for name, each in state.items() if name != COUNT}


def advanced(state: State, gradient: State) -> State:
    """The state after a step.

    Args:
        state: before it.
        gradient: of the loss in the state.
    """
    count = gradient[COUNT]
    mean = {name: gradient[name] / jnp.where(count > 0, count, 1) for name in state}
    return {name: each if name == COUNT else jnp.where(count > 0, mean[name], each) for name, each in state.items()}
