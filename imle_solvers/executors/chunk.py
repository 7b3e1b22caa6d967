"""Solving a chunk of a batch with an adapter's native state: what workers of every kind do."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter, check_finite_solutions, check_gaps
from imle_solvers.errors import AdapterError
from imle_solvers.executors.by_adapter import ByAdapter
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


def load_adapter(data: bytes) -> SolverAdapter:
    """The adapter, as it was pickled for workers; what goes wrong is an `AdapterError`."""
    try:
        adapter: SolverAdapter = pickle.loads(data)
    except Exception as error:
        problem = (
            f"a worker could not load the adapter: {type(error).__name__}: {error}. Workers import the modules that "
            "an adapter refers to: they must be importable from sys.path, or be the main script or notebook"
        )
        raise AdapterError(problem) from error
    return adapter


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
        solved = _checked(adapter, adapter.solve_batch(state, thetas, context), thetas)
    except AdapterError as error:
        error.of_part(range(start, start + len(thetas)))
        raise
    except Exception as error:
        problem = f"{adapter!r} failed on rows {start} to {start + len(thetas) - 1}"
        raise AdapterError(f"{problem}: {type(error).__name__}: {error}") from error
    return solved


def _checked(adapter: SolverAdapter, solved: Any, thetas: FloatArray) -> Solutions:
    """What `solve_batch` returned, of the same dtypes whatever it made, so that every executor returns the same."""
    if not isinstance(solved, Solutions):
        raise AdapterError(f"{adapter!r}: solve_batch must return Solutions, got {type(solved).__name__}")
    rows = len(thetas)
    expected = {"solutions": (solved.values, (rows, *adapter.solution_shape)), "statuses": (solved.statuses, (rows,))}
    if solved.gaps is not None:
        expected["gaps"] = (solved.gaps, (rows,))
    for name, (array, shape) in expected.items():
        if not isinstance(array, np.ndarray):
            raise AdapterError(f"{adapter!r}: expected {name} in an array, got {type(array).__name__}")
        if array.shape != shape:
            raise AdapterError(f"{adapter!r}: expected {name} of shape {shape}, got {array.shape}")
        if array.dtype.kind not in "biuf":
            raise AdapterError(f"{adapter!r}: expected {name} of real numbers, got {array.dtype}")
    check_codes(adapter, solved.statuses)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
        solved.values = solved.values.astype(thetas.dtype, copy=False)
    solved.statuses = solved.statuses.astype(np.uint8)
    check_finite_solutions(adapter, solved.values, solved.statuses)
    if solved.gaps is not None:
        solved.gaps = solved.gaps.astype(np.float64)
        check_gaps(adapter, solved.gaps, solved.statuses)
    return solved


def check_codes(adapter: SolverAdapter, statuses: NDArray[Any]) -> None:
    """Raises `AdapterError` for the first of these numbers that is no code of `Status`.

    Args:
        adapter: which returned them.
        statuses: (N,).
    """
    if statuses.dtype.kind == "b":
        wrong = np.ones(len(statuses), dtype=bool)  # False would be OPTIMAL, and True FEASIBLE
    elif np.count_nonzero(statuses):  # OPTIMAL is 0
        wrong = ~np.isin(statuses, list(Status))
    else:
        return
    if wrong.any():
        row = int(wrong.argmax())
        raise AdapterError(f"{adapter!r}: statuses must be codes of Status, got {statuses[row]}", row)
