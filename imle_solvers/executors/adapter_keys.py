"""Adapters on their way to workers: each is sent once, and known by a number."""

from __future__ import annotations

import itertools
import sys

import cloudpickle

from imle_solvers.adapter import SolverAdapter
from imle_solvers.by_adapter import ByAdapter
from imle_solvers.errors import AdapterError


class AdapterKeys:
    """Numbers the adapters that were sent to workers, and notes those that are gone."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        dropped: list[int] = []
        self._known: ByAdapter[tuple[int, bytes]] = ByAdapter(lambda known: dropped.append(known[0]))
        self._dropped = dropped

    def number(self, adapter: SolverAdapter) -> tuple[int, bytes]:
        """The adapter's number, and the adapter pickled."""
        known = self._known.get(adapter)
        if known is None:
            try:
                if "__mp_main__" in sys.modules:  # the main script's name in what multiprocessing spawns
                    cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])
                pickled = cloudpickle.dumps(adapter)
            except Exception as error:
                problem = f"{adapter!r} cannot be sent to worker processes: {type(error).__name__}: {error}"
                raise AdapterError(f"{problem}. Make it picklable, or use num_workers=0") from error
            known = next(self._numbers), pickled
            self._known.set(adapter, known)
        return known

    def dropped(self) -> list[int]:
        """The numbers of the adapters that are gone since the last call."""
        keys = self._dropped[:]
        del self._dropped[: len(keys)]
        return keys
