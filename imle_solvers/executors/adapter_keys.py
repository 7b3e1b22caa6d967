"""Adapters on their way to workers: each is sent once, and known by a number."""

from __future__ import annotations

import itertools
import sys
import weakref

import cloudpickle

from imle_solvers.adapter import SolverAdapter
from imle_solvers.errors import AdapterError


class AdapterKeys:
    """Numbers the adapters that were sent to workers, and notes those that are gone."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._known: dict[int, tuple[int, bytes]] = {}
        self._dropped: list[int] = []

    def number(self, adapter: SolverAdapter) -> tuple[int, bytes]:
        """The adapter's number, and the adapter pickled."""
        if id(adapter) not in self._known:
            try:
                if "__mp_main__" in sys.modules:  # the main script's name in what multiprocessing spawns
                    cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])
                pickled = cloudpickle.dumps(adapter)
            except Exception as error:
                problem = f"{adapter!r} cannot be sent to worker processes: {type(error).__name__}: {error}"
                raise AdapterError(f"{problem}. Make it picklable, or use num_workers=0") from error
            self._known[id(adapter)] = next(self._numbers), pickled
            weakref.finalize(adapter, self._forget, id(adapter)).atexit = False
        return self._known[id(adapter)]

    def _forget(self, adapter_id: int) -> None:
        self._dropped.append(self._known.pop(adapter_id)[0])

    def dropped(self) -> list[int]:
        """The numbers of the adapters that are gone since the last call."""
        keys = self._dropped[:]
        del self._dropped[: len(keys)]
        return keys
