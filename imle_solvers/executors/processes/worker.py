"""The program of a worker process: `python -m imle_solvers.executors.processes.worker CONNECTION MEMORY LIFELINE`.

The arguments are inherited file descriptors. Arrays lie in the shared memory; over the connection go small pickled
tuples:

    parent to worker                          worker to parent
    -                                         ("ready",), once, at the start
    ("adapter", key, pickled adapter)         -
    ("forget", key)                           -
    ("build", key)                            -
    ("solve", key, pickled layout, start,     ("started",) when the state is there, if it is to be announced, then
        stop, announce)
                                              ("solved", seconds, counters) or
                                              ("failed", *packed error)
    ("stop",)                                 -

The lifeline is a pipe into which nobody writes: it ends with the parent, however that dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import pickle
import select
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from imle_solvers.adapter import SolverAdapter
from imle_solvers.errors import AdapterError
from imle_solvers.executors.chunk import States, load_adapter, solve_chunk
from imle_solvers.executors.processes.shared_batch import STATUSES, THETAS, VALUES, Layout, SharedMemory
from imle_solvers.executors.remote_error import pack


def serve(connection: Connection[Any, Any], memory: SharedMemory) -> None:
    """Answers messages until one says stop, or the connection ends."""
    adapters: dict[int, bytes | SolverAdapter] = {}
    states = States()
    with contextlib.suppress(EOFError, ConnectionError):
        _send(connection, "ready")
        while True:
            kind, *rest = pickle.loads(connection.recv_bytes())
            if kind == "adapter":
                adapters[rest[0]] = rest[1]
            elif kind == "forget":
                adapters.pop(rest[0], None)
            elif kind == "build":
                with contextlib.suppress(AdapterError):  # it will come up again, when there is somebody to tell
                    _state(adapters, states, *rest)
            elif kind == "solve":
                _send(connection, *_solve(connection, memory, adapters, states, *rest))
            else:
                return


def _solve(
    connection: Connection[Any, Any],
    memory: SharedMemory,
    adapters: dict[int, bytes | SolverAdapter],
    states: States,
    key: int,
    layout: bytes,
    start: int,
    stop: int,
    announce: bool,
) -> tuple[Any, ...]:
    try:
        adapter, state = _state(adapters, states, key)
        if announce:
            _send(connection, "started")
        begin = time.perf_counter()
        where = _layout(layout)
        thetas = memory.array(where, THETAS)[start:stop]
        context = {name: memory.context(where, name)[start:stop] for name in where.context_names()}
        solved = solve_chunk(adapter, state, thetas, context, start)
        memory.array(where, VALUES)[start:stop] = solved.values
        memory.array(where, STATUSES)[start:stop] = solved.statuses
        return "solved", time.perf_counter() - begin, solved.counters, solved.gaps
    except AdapterError as error:
        return "failed", *pack(error)


@functools.lru_cache(maxsize=1)
def _layout(pickled: bytes) -> Layout:
    layout: Layout = pickle.loads(pickled)  # the same for all chunks of a batch
    return layout


def _state(adapters: dict[int, bytes | SolverAdapter], states: States, key: int) -> tuple[SolverAdapter, Any]:
    adapter = adapters[key]
    if isinstance(adapter, bytes):  # unpickled here and not on arrival, so that a failure has somebody to go to
        adapter = adapters[key] = load_adapter(adapter)
    return adapter, states.of(adapter)


def _send(connection: Connection[Any, Any], *message: Any) -> None:
    connection.send_bytes(pickle.dumps(message, protocol=5))


def _end_with(lifeline: int) -> None:
    """Has the kernel end this process when the lifeline ends.

    By a signal, whose default is to end the process, so that it works in the middle of a solve too, whatever that
    solve does with the GIL.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    # To the whole group: programs that solvers run end, too.
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()  # select does not take descriptors beyond 1023
    poll.register(lifeline)
    if poll.poll(0):  # it ended before
        sys.exit()


def _yield_to_parent() -> None:
    """Keeps this process, when it is woken, from pushing aside the parent, which may have other workers to wake."""
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # not allowed in every sandbox
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> None:
    """Serves the connection and memory whose file descriptors are the arguments."""
    # Ctrl-C goes to the whole foreground group; what it means is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection, memory, lifeline = map(int, sys.argv[1:4])
    for descriptor in (connection, memory, lifeline):  # what a solver runs must not keep the connection open
        os.set_inheritable(descriptor, False)
    _yield_to_parent()
    _end_with(lifeline)
    serve(Connection(connection), SharedMemory(memory))


if __name__ == "__main__":
    main()
