"""The program that a worker process runs: `python -m imle_solvers.worker FD`.

It speaks over one connection, given as an inherited file descriptor. Each message is a pickled tuple:

    parent to worker                                worker to parent
    ("adapter", key, pickled adapter)               -
    ("forget", key)                                 -
    ("solve", key, start, thetas, context)          ("solved", Solutions) or
                                                    ("failed", problem, row, traceback, pickled cause)

The connection's end is the worker's end: it comes with `close()` and with the death of the parent alike.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from imle_solvers.adapter import Context, FloatArray, SolverAdapter
from imle_solvers.chunk import States, solve_chunk
from imle_solvers.errors import AdapterError


def serve(connection: Connection[Any, Any]) -> None:
    """Answers messages until the connection ends."""
    adapters: dict[int, bytes | SolverAdapter] = {}
    states = States()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            kind, key, *rest = pickle.loads(connection.recv_bytes())
            if kind == "adapter":
                adapters[key] = rest[0]
            elif kind == "forget":
                adapters.pop(key, None)
            else:
                connection.send_bytes(pickle.dumps(_solve(adapters, key, states, *rest), protocol=5))


def _solve(
    adapters: dict[int, bytes | SolverAdapter],
    key: int,
    states: States,
    start: int,
    thetas: FloatArray,
    context: Context,
) -> tuple[Any, ...]:
    try:
        adapter = adapters[key]
        if isinstance(adapter, bytes):  # unpickled here and not on arrival, so that a failure has somebody to go to
            adapter = adapters[key] = _load(adapter)
        return "solved", solve_chunk(adapter, states.of(adapter), thetas, context, start)
    except AdapterError as error:
        return "failed", error.problem, error.row, traceback.format_exc(), _pickled(error.__cause__)


def _load(data: bytes) -> SolverAdapter:
    try:
        adapter: SolverAdapter = pickle.loads(data)
    except Exception as error:
        problem = (
            f"a worker could not load the adapter: {type(error).__name__}: {error}. Workers import the modules that "
            "an adapter refers to: they must be importable from sys.path, or be the main script or notebook"
        )
        raise AdapterError(problem) from error
    return adapter


def _pickled(cause: BaseException | None) -> bytes | None:
    """The cause as the parent will be able to load it, None if it will not."""
    try:
        data = pickle.dumps(cause)
        pickle.loads(data)
    except Exception:
        return None
    return data


def main() -> None:
    """Serves the connection whose file descriptor is the first argument."""
    # Ctrl-C goes to the whole foreground group; what it means is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
