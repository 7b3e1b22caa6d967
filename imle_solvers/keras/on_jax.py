"""Keras on JAX: the functions of the JAX front end, compiled into the training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.jax import callbacks
from imle_solvers.jax.arguments import Array, batched, context_of, theta_of
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss


def solve(
    plan: HostPlan,
    draws: Draws,
    theta: Array,
    words: Callable[[], Array],
    context: dict[str, Any],
    *,
    trains: bool,
) -> Array:
    """See `Backend.solve`."""
    theta, given, single = batched(plan, theta_of(theta), context_of(context))
    key = words().astype(jnp.uint32) if draws.perturb else None
    z = callbacks.solve(callbacks.Call(plan, draws, keeps_state=True), theta, key, given, None)
    return z[0] if single else z


def losses(
    plan: HostPlan,
    loss: FenchelYoungLoss | SPOPlusLoss,
    theta: Array,
    others: tuple[Array, ...],
    words: Callable[[], Any] | None,
    context: dict[str, Any],
) -> Array:
    """See `Backend.losses`."""
    theta, given, _ = batched(plan, theta_of(theta), context_of(context))
    if words is None:
        return callbacks.losses(plan, loss, theta, others, None, given, None)
    placeholder = jnp.zeros(2, jnp.uint32)  # compiled in, while the words are another callback's, each time
    counted: Any = _Counted(plan, words)
    return callbacks.losses(counted, loss, theta, others, placeholder, given, None)


@dataclass(frozen=True)
class _Counted:
    """A plan whose noise comes from words that are counted on the host."""

    plan: HostPlan
    words: Callable[[], Any]

    @property
    def adapter(self) -> Any:
        return self.plan.adapter

    @property
    def awaits_scale(self) -> bool:
        return self.plan.awaits_scale

    def losses(self, loss: Any, theta: Any, others: Any, words: Any, context: Any, state: Any = None) -> Any:
        axes = theta.ndim - 1 - len(self.plan.adapter.instance_shape)
        own = np.asarray(self.words(), np.uint32)
        return self.plan.losses(loss, theta, others, np.broadcast_to(own, (*theta.shape[:axes], 2)), context, state)
