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
        self._known: ByAdapter[tuple[int, int]] = ByAdapter(lambda known: dropped.append(known[1]))
        self._dropped = dropped
        self._pickled: ByAdapter[tuple[int, bytes]] = ByAdapter()

    def pickled(self, adapter: SolverAdapter) -> bytes:
        """The adapter pickled, once for each revision: it may be large. Needs no lock, unlike `number`.

        Raises:
            AdapterError: it does not pickle.
        """
        revision, data = self._pickled.get(adapter) or (-1, b"")
        if revision != adapter.revision:
            data = pickled(adapter)
            self._pickled.set(adapter, (adapter.revision, data))
        return data

    def number(self, adapter: SolverAdapter) -> tuple[int, bytes]:
        """The adapter's number in this revision, and the adapter pickled."""
        data = self.pickled(adapter)
        revision, number = self._known.get(adapter) or (-1, -1)
        if revision != adapter.revision:
            if number >= 0:
                self._dropped.append(number)
            number = next(self._numbers)
            self._known.set(adapter, (adapter.revision, number))
        return number, data

    def dropped(self) -> list[int]:
        """The numbers of the adapters that are gone since the last call."""
        keys = self._dropped[:]
        del self._dropped[: len(keys)]
        return keys
