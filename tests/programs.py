"""Programs that tests start, to see what they and their worker processes do and leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="looks at processes in /proc")

PATIENCE = 180.0
"""Seconds after which something is taken to hang; nothing here needs more than a few."""

PRELUDE = """
import os, resource, signal, subprocess, sys, threading, time
import numpy as np
from imle_solvers import ProcessExecutor, ThreadExecutor, WorkerDiedError
from tests.solvers import function_adapter, identity, slow

def solve(executor, seconds=0.0, rows=4):
    thetas = np.full((rows, 2), seconds)
    thetas[:, 1] = np.arange(rows)
    return np.array_equal(executor.solve(function_adapter(slow), thetas).values, thetas)

def pids(executor):
    return [process.pid for process in executor._pool.processes]

def say(*words):
    print(*words, flush=True)
"""


class Program:
    """A running Python program, and whatever it starts.

    It carries a mark in its environment, which all that it starts inherits, so that nothing left behind goes unseen.
    """

    def __init__(self, folder, text, *arguments, launcher=(), **environment):
        self.mark = f"IMLE_TEST_PROGRAM={uuid.uuid4()}"
        self.output, self.errors = folder / "output", folder / "errors"
        (folder / "program.py").write_text(PRELUDE + textwrap.dedent(text))
        name, value = self.mark.split("=")
        path = os.pathsep.join(entry for entry in sys.path if entry)
        # Python 3.12 warns of forks beside threads, which is what some of these are about.
        ours = {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore::DeprecationWarning", name: value}
        # Not pipes, which would not end before what is left behind.
        with self.output.open("w") as output, self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [*launcher, sys.executable, str(folder / "program.py"), *arguments],
                cwd=folder,
                env={**os.environ, **ours, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def line(self, number=0):
        """A line of output, once it is there."""
        wait_until(lambda: self.output.read_text().count("\n") > number or self.process.poll() is not None)
        assert self.output.read_text().count("\n") > number, self.errors.read_text()
        return self.output.read_text().split("\n")[number]

    def end(self):
        """Its exit code, output and errors, and that it left nothing."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"hangs; so far: {self.output.read_text()}{self.errors.read_text()}")
        assert self.nothing_left()
        return code, self.output.read_text(), self.errors.read_text()

    def nothing_left(self, seconds=5.0):
        return wait_until(lambda: not self.running(), seconds)

    def running(self):
        """The processes, dead ones aside, that carry the mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended just now
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


def wait_until(holds, seconds=PATIENCE):
    """Whether something comes to hold within some seconds."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def pids(executor):
    """The processes of a `ProcessExecutor`, or of the actors of a `RayExecutor` that have started."""
    if hasattr(executor, "_actors"):
        return executor._actors.process_ids if executor._actors else []
    return [process.pid for process in executor._pool.processes]


def kill(*process_ids):
    for pid in process_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(process_ids, seconds=5.0):
    """Whether all these processes end within some seconds."""
    return wait_until(lambda: not any(map(alive, process_ids)), seconds)
