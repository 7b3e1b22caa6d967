"""A worker process as the parent holds it: started, talked to, ended."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from typing import Any

from imle_solvers.executors.cpus import ONE_THREAD
from imle_solvers.executors.processes.shared_batch import above_standard_streams

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 2.0
"""How long a worker may take to end by itself when it is told to."""


class WorkerProcess:
    """A process that runs `worker` beside this module, the connection to it, and the pipe whose end is its own.

    Args:
        memory: the file descriptor of the memory to share with it.

    Raises:
        OSError: there are no more processes, files or memory to be had.
    """

    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any]

    def __init__(self, memory: int) -> None:
        try:
            self._start(memory)
        except OSError as error:
            raise cannot_start(error) from error
        _log.info("worker process %d starts", self.process.pid)

    def _start(self, memory: int) -> None:
        # What can be imported here can be imported there; "" is a notebook's own folder. Imports ignore what is no str.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path if isinstance(entry, str))
        self._lifeline: list[int] = []
        self.connection, theirs = Pipe()
        try:
            self._lifeline += map(above_standard_streams, os.pipe())
            passed = above_standard_streams(os.dup(theirs.fileno()))
            descriptors = [passed, memory, self._lifeline[0]]
            # -P: the working directory is on the path only if it is on ours.
            command = [sys.executable, "-P", "-m", "imle_solvers.executors.processes.worker", *map(str, descriptors)]
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
                    pass_fds=descriptors,
                    start_new_session=True,  # Ctrl-C is for the parent alone, from the first moment on
                )
            finally:
                os.close(passed)
        except BaseException:
            self.release()
            raise
        finally:
            theirs.close()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    @property
    def how(self) -> str:
        """How it ended."""
        code = self.process.returncode
        if code >= 0:
            return f"with exit code {code}"
        try:
            return f"by {signal.Signals(-code).name}"
        except ValueError:  # most real-time signals have no name
            return f"by signal {-code}"

    def send(self, *message: Any) -> None:
        """Sends a message, see `imle_solvers.executors.processes.worker`.

        Raises:
            OSError: the process has ended.
        """
        self.connection.send_bytes(pickle.dumps(message, protocol=5))

    def receive(self) -> tuple[Any, ...]:
        """The next message.

        Raises:
            EOFError, OSError: the process has ended.
        """
        message: tuple[Any, ...] = pickle.loads(self.connection.recv_bytes())
        return message

    def kill(self) -> None:
        """Kills the process and the programs that its solver runs."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def ask_to_end(self) -> None:
        """Has the process end when it has solved what it is at."""
        # In so many words: the connection may have copies in forks of this process, and so no end.
        with contextlib.suppress(OSError):
            self.send("stop")

    def wait(self) -> None:
        """Waits for the end of the process, which is killed if that takes long."""
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # still solving
            self.kill()
            self.process.wait()

    def release(self) -> None:
        """Closes what the parent holds of it, which ends programs that it left running. May be called again."""
        self.connection.close()
        # The writing end first: while the other is there, the kernel tells the group, even if the process has ended.
        while self._lifeline:
            os.close(self._lifeline.pop())


def cannot_start(error: OSError) -> OSError:
    """The error for users whose system has no room for a worker."""
    return OSError(
        error.errno, f"a worker process cannot start ({error.strerror}); use fewer, threads, or num_workers=0"
    )
