"""Adapters on their way to workers: each is sent once, and known by a number."""

from __future__ import annotations

import itertools

from imle_solvers.adapter import SolverAdapter
from imle_solvers.executors.by_adapter import ByAdapter
from imle_solvers.executors.pickled import pickled


class AdapterKeys:
    """Numbers the adapters that were sent to workers, and notes those that are gone."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        dropped: list[int] = []
        self._known: ByAdapter[int] = ByAdapter(dropped.append)
        self._dropped = dropped
        self._pickled: ByAdapter[bytes] = ByAdapter()

    def pickled(self, adapter: SolverAdapter) -> bytes:
        """The adapter pickled, once and for all: it may be large. Needs no lock, unlike `number`.

        Raises:
            AdapterError: it does not pickle.
        """
        data = self._pickled.get(adapter)
        if data is None:
            data = pickled(adapter)
            self._pickled.set(adapter, data)
        return data

    def number(self, adapter: SolverAdapter) -> tuple[int, bytes]:
        """The adapter's number, and the adapter pickled."""
        data = self.pickled(adapter)
        number = self._known.get(adapter)
        if number is None:
            number = next(self._numbers)
            self._known.set(adapter, number)
        return number, data

    def dropped(self) -> list[int]:
        """The numbers of the adapters that are gone since the last call."""
        keys = self._dropped[:]
        del self._dropped[: len(keys)]
        return keys
