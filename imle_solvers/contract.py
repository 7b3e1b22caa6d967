"""What every adapter must have, checked when a layer or `make_adapter` gets it, and not in the middle of training."""

from __future__ import annotations

import inspect
import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from imle_solvers.adapter import Parallelism, Shape, SolverAdapter, check_sense


def check_adapter_attributes(adapter: SolverAdapter) -> None:
    """Raises if `adapter` lacks what every adapter must have, or has it in a form that would fail later.

    Shapes are made tuples.

    Raises:
        TypeError: not an adapter; an attribute of the wrong kind, such as a shape that is not of ints; a method
            that is none, does not take what it is called with, or is not overridden.
        ValueError: no sense, or one that is neither "min" nor "max"; a negative number of ones, or side of a shape.
    """
    if not isinstance(adapter, SolverAdapter):
        raise TypeError(f"expected a SolverAdapter, got {_what_to_make_of(adapter)}")
    name = type(adapter).__name__
    check_sense(getattr(adapter, "sense", None), name)
    for attribute in ("instance_shape", "solution_shape"):
        given = getattr(adapter, attribute, None)
        shape = as_shape(given, f"{name}.{attribute}")
        if shape is not given:
            object.__setattr__(adapter, attribute, shape)  # it may be a frozen dataclass
    if not isinstance(adapter.parallelism, Parallelism):
        kinds = ", ".join(map(str, Parallelism))
        raise TypeError(f"{name}.parallelism must be one of {kinds}, got {adapter.parallelism!r}")
    context = _checked_context(name, adapter.context)
    if context is not adapter.context:
        object.__setattr__(adapter, "context", context)
    _check_num_ones(name, adapter.num_ones)
    if isinstance(adapter.revision, bool) or not isinstance(adapter.revision, int):
        raise TypeError(f"{name}.revision must be an int, got {adapter.revision!r}")
    _check_methods(name, adapter)


def _what_to_make_of(other: Any) -> str:
    if isinstance(other, type):
        return f"the class {other.__name__}; make one by {other.__name__}(...)"
    if callable(other):
        return f"{type(other).__name__}; wrap a plain function with FunctionAdapter(fn, sense=..., instance_shape=...)"
    if isinstance(other, str):
        return f"{other!r}; imle_solvers.make_adapter({other!r}, ...) makes the adapter of that name"
    return f"{type(other).__name__}; give it to an adapter first, one of imle_adapters or of your own"


def as_shape(shape: Any, name: str) -> tuple[int, ...]:
    """A shape as a tuple; n stands for (n,).

    Raises:
        TypeError: it is not made of ints; `name` is whose it is.
        ValueError: one of them is below 0.
    """
    if type(shape) is tuple and all(type(side) is int and side >= 0 for side in shape):
        return shape
    sides = (shape,) if isinstance(shape, int | np.integer) else shape
    try:
        result = tuple(map(operator.index, sides))
    except TypeError:
        result = None
    if result is None or any(isinstance(side, bool) for side in sides):
        raise TypeError(f"{name} must be a tuple of ints, got {shape!r}")
    if min(result, default=0) < 0:
        raise ValueError(f"{name} must not be negative, got {shape!r}")
    return result


def check_takes(
    function: Any, name: str, positional: Iterable[str], keywords: Iterable[str] = (), hint: str = ""
) -> None:
    """Raises `TypeError` unless a function can be called with these arguments.

    Args:
        function: the function; those that do not tell what they take, as many of C do not, are let through.
        name: what it is called.
        positional: what its arguments by position are called here.
        keywords: the names of its arguments by name.
        hint: what to do about it.
    """
    if not callable(function):
        raise TypeError(f"{name} must be a method, got {function!r}")
    try:
        # What a decorator's wrapper takes, and not what it wraps, which it may call with other arguments.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*positional, **dict.fromkeys(keywords))
    except TypeError as error:
        call = ", ".join((*positional, *(f"{keyword}=..." for keyword in keywords)))
        raise TypeError(f"{name} is called with ({call}), but takes {signature}: {error}{hint}") from None


def _checked_context(name: str, context: Any) -> Mapping[str, Shape | None]:
    """The context with its shapes made tuples; the same object where they are."""
    if not isinstance(context, Mapping):
        raise TypeError(
            f'{name}.context must map names to shapes for one instance (None: any), such as {{"capacity": ()}}, '
            f"got {context!r}"
        )
    shapes = {}
    for key, shape in context.items():
        if not isinstance(key, str):
            raise TypeError(f"{name}.context must map names to shapes for one instance, got {{{key!r}: {shape!r}}}")
        shapes[key] = None if shape is None else as_shape(shape, f"{name}.context: the shape of {key!r}")
    return context if shapes == context else shapes


def _check_num_ones(name: str, num_ones: Any) -> None:
    if num_ones is None:
        return
    if isinstance(num_ones, bool) or not isinstance(num_ones, numbers.Real):
        raise TypeError(f"{name}.num_ones must be a number or None, got {num_ones!r}")
    if not 0 <= float(num_ones) < math.inf:
        raise ValueError(f"{name}.num_ones must be finite and at least 0, got {num_ones!r}")


def _check_methods(name: str, adapter: SolverAdapter) -> None:
    if not callable(adapter.is_binary) and not isinstance(adapter.is_binary, bool | np.bool_):
        raise TypeError(f"{name}.is_binary must be True, False or a method of the context, got {adapter.is_binary!r}")
    if callable(adapter.is_binary):
        check_takes(adapter.is_binary, f"{name}.is_binary", ["context"])
    if adapter.parallelism is Parallelism.DEVICE:
        if not _overrides(adapter, "solve_tensors"):
            raise TypeError(f"{name} has Parallelism.DEVICE, but does not override solve_tensors")
        check_takes(adapter.solve_tensors, f"{name}.solve_tensors", ["thetas", "context"])
        return
    check_takes(adapter.build, f"{name}.build", [])
    check_takes(adapter.check, f"{name}.check", ["thetas", "context"])
    check_takes(adapter.clamped, f"{name}.clamped", ["thetas", "context"])
    if _overrides(adapter, "solve_batch"):  # which may have another use for the name of solve
        check_takes(adapter.solve_batch, f"{name}.solve_batch", ["state", "thetas", "context"])
    elif _overrides(adapter, "solve"):
        check_takes(adapter.solve, f"{name}.solve", ["state", "theta"], adapter.context)
    else:
        hint = ""
        if _overrides(adapter, "solve_tensors"):
            hint = "; it overrides solve_tensors, which is for adapters with parallelism = Parallelism.DEVICE"
        raise TypeError(f"{name} overrides neither solve nor solve_batch{hint}")


def _overrides(adapter: SolverAdapter, method: str) -> bool:
    return getattr(getattr(adapter, method), "__func__", None) is not getattr(SolverAdapter, method)
