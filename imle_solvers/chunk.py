"""Solving a chunk of a batch with an adapter's native state: what workers of every kind do."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.by_adapter import ByAdapter
from imle_solvers.errors import AdapterError
from imle_solvers.status import Status


class States(threading.local):
    """The native states that adapters built in this thread, each dropped with its adapter."""

    def __init__(self) -> None:
        self._states: ByAdapter[tuple[Any]] = ByAdapter()

    def of(self, adapter: SolverAdapter) -> Any:
        """The state of `adapter` in this thread, built at the first call."""
        known = self._states.get(adapter)
        if known is None:
            known = (build_state(adapter),)  # which may be None
            self._states.set(adapter, known)
        return known[0]


def build_state(adapter: SolverAdapter) -> Any:
    """The adapter's native state; what goes wrong is an `AdapterError`."""
    try:
        return adapter.build()
    except Exception as error:
        problem = f"{adapter!r} could not build its state: {type(error).__name__}: {error}"
        raise AdapterError(problem) from error


def solve_chunk(adapter: SolverAdapter, state: Any, thetas: FloatArray, context: Context, start: int) -> Solutions:
    """Solves consecutive rows, the first of which is row `start` of the batch, and checks what comes back."""
    try:
        solved = adapter.solve_batch(state, thetas, context)
    except AdapterError as error:
        error.of_part(range(start, start + len(thetas)))
        raise
    except Exception as error:
        problem = f"{adapter!r} failed on rows {start} to {start + len(thetas) - 1}"
        raise AdapterError(f"{problem}: {type(error).__name__}: {error}") from error
    _check_solutions(adapter, solved, len(thetas))
    # Of the same dtypes whatever the adapter made, so that every executor returns the same.
    solved.values = solved.values.astype(thetas.dtype, copy=False)
    solved.statuses = solved.statuses.astype(np.uint8)
    return solved


def _check_solutions(adapter: SolverAdapter, solved: Any, rows: int) -> None:
    if not isinstance(solved, Solutions):
        raise AdapterError(f"{adapter!r}: solve_batch must return Solutions, got {type(solved).__name__}")
    expected = {"solutions": (solved.values, (rows, *adapter.solution_shape)), "statuses": (solved.statuses, (rows,))}
    for name, (array, shape) in expected.items():
        if not isinstance(array, np.ndarray):
            raise AdapterError(f"{adapter!r}: expected {name} in an array, got {type(array).__name__}")
        if array.shape != shape:
            raise AdapterError(f"{adapter!r}: expected {name} of shape {shape}, got {array.shape}")
        if array.dtype.kind not in "biuf":
            raise AdapterError(f"{adapter!r}: expected {name} of real numbers, got {array.dtype}")
    if np.count_nonzero(solved.statuses):  # OPTIMAL is 0
        unknown = ~np.isin(solved.statuses, list(Status))
        if unknown.any():
            raise AdapterError(f"{adapter!r}: statuses must be codes of Status, got {solved.statuses[unknown][0]}")
