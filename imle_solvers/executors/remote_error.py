"""Errors of adapters on their way from a worker to its parent."""

from __future__ import annotations

import contextlib
import pickle
import traceback

from imle_solvers.errors import AdapterError

Packed = tuple[str, int | None, str, bytes | None]
"""What was wrong, the row, the traceback, and the cause, pickled, or None where that cannot be loaded again."""


def pack(error: AdapterError) -> Packed:
    """The error that is being handled, in a form that the parent can load whatever it is."""
    try:
        cause = pickle.dumps(error.__cause__)
        pickle.loads(cause)
    except Exception:
        return error.problem, error.row, traceback.format_exc(), None
    return error.problem, error.row, traceback.format_exc(), cause


def unpack(problem: str, row: int | None, trace: str, cause: bytes | None) -> AdapterError:
    """The error as it was, with the worker's traceback in its notes."""
    error = AdapterError(problem, row)
    error.add_note(f"Traceback in the worker:\n{trace}")
    # It may be of a module that only the worker could import.
    with contextlib.suppress(Exception):
        error.__cause__ = pickle.loads(cause) if cause is not None else None
    return error


def first_of(known: AdapterError | None, new: AdapterError) -> AdapterError:
    """Of two errors in a batch the one in the first row, in order and not in time: every run reports the same."""
    return new if known is None or (new.row or 0) < (known.row or 0) else known
