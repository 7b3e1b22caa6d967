"""Calls from compiled programs to the host, by whichever of JAX's ways is fastest where it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import io_callback
from jax.extend.backend import backends

from imle_solvers.jax.varying import axes_of, varying

try:
    from jax.experimental.buffer_callback import buffer_callback
except ImportError:  # it is experimental
    buffer_callback = None


def call_host(function: Callable[..., Any], results: Any, *arguments: Any, has_effect: bool = False) -> Any:
    """Has the host compute, from arrays that `as_numpy` makes numpy's.

    Args:
        function: gives numpy arrays; equal for calls that are alike, which JAX compiles once. Nothing of JAX is called
            within it: on one core it could wait for the very thread that calls.
        results: what it gives, as trees of `jax.ShapeDtypeStruct`.
        arguments: trees of arrays; mapped ones have the axes of maps in front, all of them.
        has_effect: whether it is to run once, and also where nobody wants its results.
    """
    if has_effect:
        given = io_callback(function, results, *arguments)
    elif _is_in_place():
        given = buffer_callback(_InPlace(function), results, vmap_method="broadcast_all")(*arguments)
    else:
        given = jax.pure_callback(function, results, *arguments, vmap_method="broadcast_all")
    return varying(given, axes_of(arguments))


def as_numpy(tree: Any) -> Any:
    """Arguments of a call as numpy arrays. They are JAX's: not to be written to, nor kept."""
    return jax.tree.map(_frozen, tree)


def _frozen(array: Any) -> np.ndarray[Any, Any]:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class _InPlace:
    """The function, for `buffer_callback`, with results where JAX wants them."""

    function: Callable[..., Any]

    def __call__(self, _: Any, results: Any, *arguments: Any) -> None:
        jax.tree.map(_write, results, self.function(*arguments))


def _write(result: Any, given: Any) -> None:
    np.asarray(result)[...] = given


@functools.cache
def _is_in_place() -> bool:
    """Whether calls share JAX's memory, in a twelfth of the time of `pure_callback`.

    Not where there is more than one CPU: a GPU's memory is not the host's, and of arrays that are sharded without
    `shard_map` each device would solve all.
    """
    if buffer_callback is None:
        return False
    return [device.platform for backend in backends().values() for device in backend.devices()] == ["cpu"]
