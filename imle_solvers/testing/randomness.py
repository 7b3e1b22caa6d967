"""The global generators of random numbers, which are their user's and not an adapter's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_GENERATORS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[int], Any]]] = {
    "random": (random.getstate, random.setstate, random.seed),
    "numpy.random": (np.random.get_state, np.random.set_state, np.random.seed),
    "torch": (torch.get_rng_state, torch.set_rng_state, torch.default_generator.manual_seed),
}
"""By module: how to get the state, set it, and seed it."""


def global_states() -> dict[str, Any]:
    """The states, to be given to `restore`."""
    return {name: get() for name, (get, _, _) in _GENERATORS.items()}


def restore(states: dict[str, Any]) -> set[str]:
    """Sets the states, and says which generators had another one."""
    moved = {name for name, (get, _, _) in _GENERATORS.items() if not _same(get(), states[name])}
    for name in moved:
        _GENERATORS[name][1](states[name])
    return moved


def seed_all(seed: int, others: dict[str, int] | None = None) -> None:
    """Seeds all with `seed`, but those that `others` names with theirs."""
    for name, (_, _, set_seed) in _GENERATORS.items():
        set_seed((others or {}).get(name, seed))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return bool(np.array_equal(one, other))
