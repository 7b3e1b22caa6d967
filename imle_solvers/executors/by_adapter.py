"""What is known of each adapter, for as long as it lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from imle_solvers.adapter import SolverAdapter

T = TypeVar("T")


class ByAdapter(Generic[T]):
    """A value for each adapter, dropped with the adapter, and with this.

    By id, not by equality: adapters may be dataclasses, which do not hash.

    Args:
        on_drop: told of each value whose adapter is gone.
    """

    def __init__(self, on_drop: Callable[[T], object] | None = None) -> None:
        self._entries: dict[int, tuple[weakref.ref[SolverAdapter], T]] = {}
        self._on_drop = on_drop

    def get(self, adapter: SolverAdapter) -> T | None:
        """The adapter's value, None if it has none."""
        entry = self._entries.get(id(adapter))
        return None if entry is None else entry[1]

    def set(self, adapter: SolverAdapter, value: T) -> None:
        """Sets the adapter's value."""
        key, this = id(adapter), weakref.ref(self)  # nothing that the adapter refers to may keep the values

        def drop(_: object) -> None:
            owner = this()
            if owner is not None:
                entry = owner._entries.pop(key)
                if owner._on_drop is not None:
                    owner._on_drop(entry[1])

        self._entries[key] = weakref.ref(adapter, drop), value

    def __len__(self) -> int:
        """How many adapters have one."""
        return len(self._entries)
