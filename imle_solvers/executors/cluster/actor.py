"""The program of a Ray actor: holds adapters and their native states, solves chunks.

Actors import this module before they have the driver's path, and before libraries are told to keep to one thread, so
that at its top it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imle_solvers.adapter import FloatArray, SolverAdapter

Answer = tuple[Any, ...]


class SolverActor:
    """One worker of a `RayExecutor`. Its methods run one after another, in the order in which they were called.

    Args:
        path: the driver's `sys.path`. What of it exists here comes first, as it does there.
        environment: variables that libraries read when they are imported.
    """

    def __init__(self, path: Sequence[str], environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        here = [entry for entry in path if os.path.exists(entry)]
        sys.path[:] = here + [entry for entry in sys.path if entry not in here]
        self._solvers: dict[int, tuple[SolverAdapter, Any]] = {}

    def process_id(self) -> int:
        """The actor's process; an answer says that it has been placed."""
        return os.getpid()

    def load(self, key: int, pickled: bytes) -> Answer:
        """Takes an adapter and builds its state.

        Args:
            key: the adapter's number.
            pickled: the adapter.

        Returns:
            ("loaded",), or ("failed", *packed error).
        """
        from imle_solvers.errors import AdapterError
        from imle_solvers.executors.chunk import build_state, load_adapter
        from imle_solvers.executors.remote_error import pack

        try:
            adapter = load_adapter(pickled)
            self._solvers[key] = adapter, build_state(adapter)
        except AdapterError as error:
            return "failed", *pack(error)
        return ("loaded",)

    def forget(self, keys: Iterable[int]) -> None:
        """Drops adapters and their states."""
        for key in keys:
            self._solvers.pop(key, None)

    def solve(self, key: int, thetas: FloatArray, context: Mapping[str, Any], start: int) -> Answer:
        """Solves a chunk.

        Args:
            key: the number of an adapter that was loaded.
            thetas, context: the chunk's.
            start: the chunk's first row in the batch.

        Returns:
            ("solved", seconds, values, statuses, counters, gaps), or ("failed", *packed error).
        """
        import numpy as np

        from imle_solvers.errors import AdapterError
        from imle_solvers.executors.chunk import solve_chunk
        from imle_solvers.executors.remote_error import pack

        adapter, state = self._solvers[key]
        begin = time.perf_counter()
        # Ray's arrays are read-only, and an adapter may overwrite what it is given.
        thetas = np.array(thetas, order="C")
        context = {name: np.array(array) for name, array in context.items()}
        try:
            solved = solve_chunk(adapter, state, thetas, context, start)
        except AdapterError as error:
            return "failed", *pack(error)
        return "solved", time.perf_counter() - begin, solved.values, solved.statuses, solved.counters, solved.gaps
