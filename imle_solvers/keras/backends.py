"""What differs between the backends of Keras: how a solve, or a loss, is part of their programs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import keras

from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss

Tensor = Any
"""One of the backend's. Any, since types are checked where none of them need be installed, too."""

_NAMES = ("torch", "jax", "tensorflow")


class Backend(Protocol):
    """A module for one of them: `on_torch`, `on_jax`, `on_tensorflow`."""

    def solve(
        self,
        plan: HostPlan,
        draws: Draws,
        theta: Tensor,
        words: Callable[[], Tensor],
        context: dict[str, Any],
        *,
        trains: bool,
    ) -> Tensor:
        """Samples, differentiable in theta.

        Args:
            plan: who solves.
            draws: how.
            theta: (B, *instance_shape) or (*instance_shape).
            words: gives those of the noise of this call, (2,), and moves on; called once, if there is noise to draw.
            context: per-instance arrays, or lists.
            trains: whether this is the layer's own call in training mode.
        """
        ...

    def losses(
        self,
        plan: HostPlan,
        loss: FenchelYoungLoss | SPOPlusLoss,
        theta: Tensor,
        others: tuple[Tensor, ...],
        words: Callable[[], Any] | None,
        context: dict[str, Any],
    ) -> Tensor:
        """Losses of each instance, (B,), differentiable in theta.

        Args:
            plan: who solves.
            loss: on its layer, without reduction.
            theta: (B, *instance_shape).
            others: what the loss takes beside theta.
            words: gives those of the noise each time that the loss is computed; None: there is none.
            context: per-instance arrays, or lists.
        """
        ...


def backend() -> Backend:
    """That of this process.

    Raises:
        ImportError: Keras has another one.
    """
    name = keras.backend.backend()
    if name not in _NAMES:
        raise ImportError(
            f"imle_solvers.keras: expected one of Keras's backends {', '.join(_NAMES)}, got {name!r}; set the "
            "environment variable KERAS_BACKEND before Keras is imported"
        )
    module: Any = importlib.import_module(f"imle_solvers.keras.on_{name}")
    return module  # type: ignore[no-any-return]
