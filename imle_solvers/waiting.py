"""Waiting for solvers: what takes long is said once, and Ctrl-C is heard."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_LONG = 10.0
"""After how many seconds without news a wait is mentioned."""

_PERIOD = 1.0
"""How often the watch looks, in seconds. It ends when it has seen nobody wait for as long."""

excuses: list[Callable[[], bool]] = []
"""Say whether something else than a solver is at work, such as a compiler: that counts as news."""

LOOK = 0.1
"""How many seconds to wait at a time: the system may give a signal to any thread, which does not wake the main one."""

STOPPING = 0.8
"""How many seconds a solver may take to stop, until it is left to itself."""

RETRY = 0.02
"""A solver that was told to stop before it had begun has not heard: it is told again after so many seconds."""


class Interrupted(BaseException):
    """Carries an exception of a signal handler, such as a TimeoutError, past those who take it for a solver's.

    Attributes:
        error: the exception, which the executor raises in place of this.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error: Exception = error


class Waiting:
    """A wait that is logged once, as a warning, if for ten seconds nothing is heard of what is waited for.

    Args:
        describe: says what is waited for, and what the user can do about it; called only then.
    """

    def __init__(self, describe: Callable[[], str]) -> None:
        self._describe = describe
        self.told: bool = False
        """Whether it was mentioned, or is not to be."""

    def __enter__(self) -> Waiting:
        self._since = self._heard = time.monotonic()
        _watch.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _watch.remove(self)

    def news(self) -> None:
        """Takes note that it goes forward."""
        self._heard = time.monotonic()

    def look(self) -> None:
        """Says that it takes long, if it does."""
        now = time.monotonic()
        if any(excuse() for excuse in excuses):
            self._heard = now
        if not self.told and now - self._heard >= _LONG:
            self.told = True
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - (now - self._since)))
            _log.warning("since %s: %s", since, self._describe())


def _daemon(run: Callable[[], None], name: str) -> threading.Thread:
    return threading.Thread(target=run, name=name, daemon=True)


def _starts(thread: threading.Thread) -> bool:
    """Starts it, where the system has room for another thread."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


class _Watch:
    """A thread that looks at all waits now and then, and ends when there are none."""

    def __init__(self) -> None:
        self._waits: dict[int, Waiting] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, wait: Waiting) -> None:
        self._waits[id(wait)] = wait
        if self._thread is None:
            with self._lock:
                if self._thread is None and _starts(thread := _daemon(self._run, "imle-watch")):
                    self._thread = thread

    def remove(self, wait: Waiting) -> None:
        self._waits.pop(id(wait), None)

    def _run(self) -> None:
        while True:
            time.sleep(_PERIOD)
            for wait in list(self._waits.values()):
                wait.look()
                del wait  # which would keep its executor alive until the next look
            with self._lock:
                if not self._waits:
                    self._thread = None
                    if not self._waits:  # one that came meanwhile saw this thread, and started no other
                        return
                    self._thread = threading.current_thread()


_watch = _Watch()


def _watch_anew() -> None:
    global _watch
    _watch = _Watch()  # a fork has none of the threads, and locks as they were


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch_anew)


def call_interruptibly(work: Callable[[], Result], stop: Callable[[], Any], what: str) -> Result:
    """Calls what spends its time outside Python, so that an interrupt ends it.

    Python sees Ctrl-C, and calls handlers of signals, in the main thread only and between two of its own instructions.
    So from the main thread the work is done in another one, beside it; in any other it is called as it is.

    Args:
        work: what to call. It must not care in which thread.
        stop: has the work end soon, from another thread; called again and again until it has.
        what: names the work, for the log, where it does not end.

    Raises:
        BaseException: what the work raised; or what a signal handler raised, as KeyboardInterrupt, within a second.
            Work that does not stop then goes on in a thread of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    done = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    if not _starts(_daemon(run, "imle-solve")):
        return work()
    try:
        while not done.wait(LOOK):
            pass
    except BaseException:
        stop_within(lambda: done.wait(RETRY), stop, what)
        raise
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()  # or the error would hold its own frame
    return results[0]


def stop_within(ended: Callable[[], bool], stop: Callable[[], Any], what: str, note: str = "") -> bool:
    """Has work in other threads stop, and waits for that for a second.

    Args:
        ended: waits a moment, and says whether all of it has.
        stop: see `call_interruptibly`.
        what: likewise.
        note: what else is to be said, if it does not stop.

    Returns:
        Whether it has ended.
    """
    until = time.monotonic() + STOPPING
    while time.monotonic() < until:
        stop()
        if ended():
            return True
    _log.warning("%s cannot be stopped, and goes on in the background until it is done%s", what, note)
    return False
