"""What a call is given: theta, keys and context, as callbacks take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from imle_solvers.host.arrays import DTYPES
from imle_solvers.host.plan import HostPlan

Array = Any
"""A `jax.Array`, or what traces one. Any, since types are checked where JAX need not be installed, too."""


def theta_of(theta: Any, name: str = "theta") -> Array:
    """Theta, or what has its dtypes, as an array.

    Raises:
        TypeError: it is none of a floating dtype of at least 16 bits.
    """
    array = jnp.asarray(theta)
    if array.dtype.name not in DTYPES:
        raise TypeError(
            f"{name}: expected a floating dtype of at least 16 bits, got {array.dtype.name}; convert it with "
            f"{name}.astype(jnp.float32)"
        )
    return array


def values_of(theta: Any) -> NDArray[Any]:
    """Theta as numpy's array.

    Raises:
        TypeError: see `theta_of`; or it is traced, and has no values yet.
    """
    array = theta_of(theta)
    if isinstance(array, jax.core.Tracer):
        raise TypeError(f"theta: expected values, got {array}, which is traced; call it outside of jit, grad and vmap")
    return np.asarray(array)


def words_of(key: Any) -> Array:
    """The words of a key, (W,) uint32, whichever way it was made.

    Raises:
        TypeError: it is no key.
        ValueError: it is several.
    """
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed and dtype != jnp.uint32:
        raise TypeError(
            f"key: expected a key of jax.random, got {key!r}; make one by jax.random.key(0), and split it for each step"
        )
    words = jax.random.key_data(key) if typed else jnp.asarray(key)
    if words.ndim != 1:
        raise ValueError(
            f"key: expected one key, got keys of shape {tuple(key.shape)}; a batch takes one, as its instances have "
            "noise of their own in any case, or map over theta and keys by jax.vmap"
        )
    return words


def context_of(context: Mapping[str, Any]) -> dict[str, Array]:
    """Context as arrays.

    Raises:
        TypeError: values that are no numbers.
    """
    return {
        name: array_of(values, f"context {name!r}", "; leave it out where there is none" if values is None else "")
        for name, values in context.items()
    }


def array_of(values: Any, name: str, advice: str = "") -> Array:
    """Numbers as an array.

    Raises:
        TypeError: they are none.
    """
    try:
        return jnp.array(values)  # a copy, which JAX leaves out: it does not map over numpy's arrays as they are
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an array or lists of numbers, got {values!r}{advice}") from None


def batched(plan: HostPlan, theta: Array, context: dict[str, Array]) -> tuple[Array, dict[str, Array], bool]:
    """Checks shapes, and gives a single theta an axis of one.

    Returns:
        Theta, (B, *instance_shape); context, with a leading axis of B or as it is declared for all instances; whether
        theta was a single one.

    Raises:
        ValueError: see `SolverLayer.forward`.
    """
    shapes = {name: (array.shape, array.dtype.name) for name, array in context.items()}
    if not plan.check(theta.shape, shapes):
        return theta, context, False
    shared = plan.adapter.context
    return (
        theta[None],
        {name: array if array.shape == shared[name] else array[None] for name, array in context.items()},
        True,
    )
