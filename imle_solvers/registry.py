"""Adapters by name: registered in this process, or by installed packages through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from imle_solvers.adapter import SolverAdapter
from imle_solvers.contract import check_adapter_attributes
from imle_solvers.errors import AdapterError

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
        if taken is not None and _identity(taken) != _identity(factory):
            raise ValueError(f"an adapter called {name!r} is already registered; choose another name")
        if name in _installed():
            by = " and ".join(map(_package, _installed()[name]))
            raise ValueError(f"an adapter called {name!r} is already registered by {by}; choose another name")
        _registered[name] = factory
        return factory

    return register


def make_adapter(name: str, **kwargs: Any) -> SolverAdapter:
    """Makes the adapter registered as `name` with these arguments.

    Raises:
        ValueError: an unknown name; the message lists the known ones and the nearest match. Or a name that several
            installed packages register.
        AdapterError: the installed package that registers the name cannot be loaded.
        TypeError: what was registered makes no adapter, or one that cannot work. What it raises itself is raised, too.
    """
    factory = load_factory(name)
    adapter = factory(**kwargs)
    if not isinstance(adapter, SolverAdapter):
        raise TypeError(f"what is registered as {name!r}, {factory!r}, made no SolverAdapter, but {adapter!r}")
    check_adapter_attributes(adapter)
    return adapter


def load_factory(name: str) -> Callable[..., SolverAdapter]:
    """The class or function that is registered as `name`.

    Raises:
        ValueError, AdapterError: see `make_adapter`.
    """
    factory = _registered.get(name)
    if factory is not None:
        return factory
    if name in _installed():
        return _load(name, _installed()[name])
    known = available_adapters()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"unknown adapter {name!r}.{hint} Known adapters: {', '.join(known) or 'none'}. Import what registers one of "
        "your own before."
    )


def available_adapters() -> list[str]:
    """The names that `make_adapter` takes, sorted."""
    return sorted({*_registered, *_installed()})


def _installed() -> dict[str, list[EntryPoint]]:
    """By name the entry points of installed packages, of which there should be one for each."""
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        same_name = points.setdefault(point.name, [])
        if point.value not in [other.value for other in same_name]:
            same_name.append(point)
    return points


def _load(name: str, points: list[EntryPoint]) -> Callable[..., SolverAdapter]:
    if len(points) > 1:
        by = " and ".join(f"{_package(point)} (as {point.value})" for point in points)
        raise ValueError(
            f"several packages register an adapter called {name!r}: {by}; have all but one renamed or uninstalled, or "
            "use the class itself in place of its name"
        )
    point = points[0]
    whose = f"the adapter {name!r}, which {_package(point)} registers as {point.value},"
    try:
        factory = point.load()
    except Exception as error:
        raise AdapterError(
            f"{whose} cannot be loaded: {type(error).__name__}: {error}; repair or uninstall that package"
        ) from error
    if not callable(factory):
        raise AdapterError(f"{whose} is no class or function, but {factory!r}; repair or uninstall that package")
    made: Callable[..., SolverAdapter] = factory
    return made


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"the package {point.dist.name} {point.dist.version}"


def _identity(factory: Callable[..., SolverAdapter]) -> tuple[str, str]:
    return factory.__module__, getattr(factory, "__qualname__", repr(factory))  # a partial has no name
