"""An engine in a process of its own, for processes that have TensorFlow, or may have it one day.

TensorFlow and OR-Tools each bring a protobuf, and a process cannot have both in any order (OR-Tools 9.15, TensorFlow
2.21): with MathOpt in it TensorFlow cannot be imported; with TensorFlow in it MathOpt, CP-SAT, also a model that
waits to be collected, and parameters of GLOP end it. SCIP, CBC and the compiled search do not mind. Keras imports
TensorFlow now and then, whatever its backend.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from imle_adapters.ilp.engines.engine import Claim, Engine, Outcome
from imle_adapters.ilp.program import Bounds
from imle_adapters.ilp.spec import Floats

_SERVE = "from imle_adapters.ilp.engines.outside import serve; serve()"


def tensorflow_is_here() -> bool:
    """Whether this process has imported TensorFlow."""
    return "tensorflow" in sys.modules


def tensorflow_may_come() -> bool:
    """Whether this process has imported TensorFlow, or could."""
    try:
        return tensorflow_is_here() or importlib.util.find_spec("tensorflow") is not None
    except ValueError:  # somebody put something else in its place
        return True


class OutsideEngine:
    """An engine in another process, which is started anew where it ended in a solve.

    Args:
        make: makes the engine there; what can be pickled.

    Raises:
        OSError: there are no more processes to be had.
        RuntimeError: the other process ended at once.
        Exception: what the engine raises when it is made.
    """

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._start()

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None, *limits: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds, and within what other limits the engine takes."""
        if self._stopped:
            return Outcome(Claim.FAILED, None)
        try:
            if self._process is None:
                self._start()
            if self._stopped:  # meanwhile
                raise EOFError
            outcome: Outcome = self._ask((costs, bounds, seconds, *limits))
            return outcome
        except (OSError, EOFError, pickle.UnpicklingError):  # the process ended
            self._end()
            return Outcome(Claim.FAILED, None)
        except BaseException:  # its answer would be taken for the next one's
            self._end()
            raise

    def stop(self) -> None:
        """Ends `minimize` in another thread."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def _start(self) -> None:
        # What can be imported here can be imported there; "" is a notebook's own folder.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path if isinstance(entry, str))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the parent alone
        )
        self._finalizer = weakref.finalize(self, _close, self._process)
        process = self._process
        try:
            refused = self._ask(self._make)
        except (EOFError, OSError) as error:
            self._end()
            raise RuntimeError(
                f"the process of a solver that cannot be in one with TensorFlow ended with exit code "
                f"{process.returncode} as it started; what it wrote to stderr says why"
            ) from error
        except BaseException:
            self._end()
            raise
        if refused is not None:
            self._end()
            raise refused

    def _ask(self, question: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(question, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def _end(self) -> None:
        self._process = None
        self._finalizer()


def _close(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not sent cannot be
                pipe.close()


def serve() -> None:
    """The other process: loads a program, and solves until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # solvers print
    questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions,), daemon=True).start()

    def answer(what: Any) -> None:
        pickle.dump(what, answers)
        answers.flush()

    try:
        engine: Engine = questions.get()()
    except Exception as error:
        answer(error)
        return
    answer(None)
    while True:
        answer(engine.minimize(*questions.get()))


def _listen(questions: queue.SimpleQueue[Any]) -> None:
    """Hears in the middle of a solve, too, that the parent has ended, and ends with it."""
    try:
        while True:
            questions.put(pickle.load(sys.stdin.buffer))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)
