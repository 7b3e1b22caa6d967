"""Adapters by name: registered in this process, or by installed packages through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from imle_solvers.adapter import SolverAdapter

ENTRY_POINT_GROUP = "imle_solvers.adapters"

Factory = TypeVar("Factory", bound=Callable[..., SolverAdapter])

_registered: dict[str, Callable[..., SolverAdapter]] = {}


def register_adapter(name: str) -> Callable[[Factory], Factory]:
    """Registers an adapter class, or a function that makes an adapter, as `name`. Use as a decorator.

    Raises:
        ValueError: `name` is taken by something else. The same definition run again (a notebook cell) replaces
            itself.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"register_adapter: expected a non-empty name, got {name!r}")

    def register(factory: Factory) -> Factory:
        taken = _registered.get(name)
        if (taken is not None and _identity(taken) != _identity(factory)) or name in _installed():
            raise ValueError(f"an adapter called {name!r} is already registered; choose another name")
        _registered[name] = factory
        return factory

    return register


def make_adapter(name: str, **kwargs: Any) -> SolverAdapter:
    """Makes the adapter registered as `name` with these arguments.

    Raises:
        ValueError: an unknown name; the message lists the known ones and the nearest match.
    """
    if name in _registered:
        return _registered[name](**kwargs)
    installed = _installed()
    if name in installed:
        adapter: SolverAdapter = installed[name].load()(**kwargs)
        return adapter
    known = available_adapters()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"unknown adapter {name!r}.{hint} Known adapters: {', '.join(known) or 'none'}.")


def available_adapters() -> list[str]:
    """The names that `make_adapter` takes, sorted."""
    return sorted({*_registered, *_installed()})


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _identity(factory: Callable[..., SolverAdapter]) -> tuple[str, str]:
    return factory.__module__, getattr(factory, "__qualname__", repr(factory))  # a partial has no name
