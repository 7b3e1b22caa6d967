"""What an estimator adapts in training, its buffers, as arrays that a caller holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from imle_solvers.estimators.base import Estimator
from imle_solvers.host.arrays import Array

SCALE = "theta_scale"
"""The buffer that the first batch fixes, once, as `PerturbAndMAP` says: it may stay on the host."""

State = Mapping[str, Array]


def read_state(estimator: Estimator) -> dict[str, Array]:
    """The buffers, by name, as arrays of float64."""
    return {name: buffer.double().cpu().numpy().copy() for name, buffer in estimator.named_buffers()}


def adapts(estimator: Estimator) -> bool:
    """Whether the backward pass moves state, which then has to come and go with the caller."""
    return any(name != SCALE for name, _ in estimator.named_buffers())


@contextlib.contextmanager
def held(estimator: Estimator, state: State | None) -> Iterator[None]:
    """Within, the estimator has this state; afterwards its own again. None: its own, and what it becomes."""
    if state is None:
        yield
        return
    own = {name: buffer.clone() for name, buffer in estimator.named_buffers()}
    write_state(estimator, state)
    try:
        yield
    finally:
        write_state(estimator, {name: buffer.numpy() for name, buffer in own.items()})


@torch.no_grad()
def write_state(estimator: Estimator, state: State) -> None:
    """Sets the buffers, see `read_state`."""
    for name, buffer in estimator.named_buffers():
        buffer.copy_(torch.from_numpy(np.array(state[name])))
