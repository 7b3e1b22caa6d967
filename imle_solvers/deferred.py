"""What needs compiled kernels, made once they are, while a process of its own compiles them."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

_log = logging.getLogger(__name__)

_LOOK = 1.0
"""How often to look, in seconds, whether another program has filled the cache that it is compiling for."""

_NICE = 5
"""Whoever answers meanwhile goes first."""

_PROGRAM = "from imle_solvers.deferred import compile_kernel; compile_kernel()"

Result = TypeVar("Result")


class Deferred(Generic[Result]):
    """A result that needs kernels: None until they are compiled, which takes seconds when a machine first needs them.

    A process of its own compiles them, which fills Numba's cache. It finishes that when this program ends earlier, so
    that the next one finds them. There is one such process for a cache at a time, however many programs and workers
    wait for it. Where nothing can be cached, or no process can be had, kernels are compiled here, at once.

    Args:
        make: makes the result. It is called again, from its beginning, as long as kernels are missing.
    """

    def __init__(self, make: Callable[[], Result]) -> None:
        self._make: Callable[[], Result] | None = make
        self._result: Result | None = None
        self._under_way: Callable[[], bool] = lambda: False
        _unsettled.add(self)

    def get(self) -> Result | None:
        """The result, or None as long as it cannot be had without compiling."""
        make = self._make
        if make is not None and not self._under_way():
            from imle_solvers.compilation import NotInCacheError, from_cache  # loads Numba

            try:
                with from_cache():
                    result = make()
            except NotInCacheError as missing:
                under_way = _compile_elsewhere(missing.kernel, missing.types)
                if under_way is not None:
                    self._under_way = under_way
                    return None
                result = make()
            self._settle(result)
        return self._result

    @property
    def pending(self) -> bool:
        """Whether there is no result yet."""
        return self._make is not None

    def get_now(self) -> Result:
        """The result, for which kernels are compiled here, if need be."""
        if self._make is not None:
            self._settle(self._make())
        return cast(Result, self._result)

    def wait(self, until: float) -> None:
        """Returns once the result is there. It is made here, if need be, when time.monotonic() has come to `until`."""
        while self.get() is None and self.pending:
            time.sleep(0.05)
            if time.monotonic() >= until:
                self.get_now()

    def _settle(self, result: Result) -> None:
        self._result, self._make = result, None
        _unsettled.discard(self)


_unsettled: weakref.WeakSet[Deferred[Any]] = weakref.WeakSet()


def wait_for_kernels(seconds: float = 120.0) -> None:
    """Returns once nothing in this process waits for kernels: for measurements, and for tests.

    Args:
        seconds: after which this process compiles by itself what it has waited for.
    """
    until = time.monotonic() + seconds
    for deferred in list(_unsettled):
        deferred.wait(until)


_waiting: dict[tuple[Any, ...], threading.Thread] = {}
"""By kernel and types: who waits for the process that compiles it, for no process is to become a zombie."""

_lock = threading.Lock()


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _waiting.clear()  # a fork has none of the threads, and the processes are not its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _compile_elsewhere(kernel: Any, types: tuple[Any, ...]) -> Callable[[], bool] | None:
    """Says whether compiling is still under way; None where it cannot be done elsewhere, or was done in vain."""
    key = (kernel.py_func.__module__, kernel.py_func.__qualname__, types)
    folder = kernel.stats.cache_path
    if folder is None or not _can_start_python():
        return None
    with _lock:
        thread = _waiting.get(key)
        if thread is not None:
            return thread.is_alive if thread.is_alive() else None
        try:
            turn = _take_turn(folder)
        except BlockingIOError:
            until = time.monotonic() + _LOOK
            return lambda: time.monotonic() < until
        except OSError:
            return None
        try:
            thread = threading.Thread(target=_wait_for, args=(_start(key, turn),), name="imle-compile", daemon=True)
            thread.start()
        except (OSError, RuntimeError):  # no room for another process, or thread
            return None
        finally:
            os.close(turn)
        _waiting[key] = thread
    _log.info("%s is compiled by a process of its own; until then others do its work", ".".join(key[:2]))
    return thread.is_alive


def _can_start_python() -> bool:
    """Whether `sys.executable` is Python, and not a program that has it inside."""
    frozen = getattr(sys, "frozen", False) or sys.platform == "win32"
    return not frozen and "python" in os.path.basename(sys.executable or "").lower()


def _take_turn(folder: str) -> int:
    """A descriptor that locks the cache, until all copies of it are closed.

    Raises:
        BlockingIOError: it is another's turn.
        OSError: there is no such folder.
    """
    import fcntl  # not on Windows, where the rest of this package works

    os.makedirs(folder, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 3)  # a daemon may have closed its standard streams
    finally:
        os.close(opened)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass  # the file system has no locks, and each program compiles for all
    return descriptor


def _start(key: tuple[Any, ...], turn: int) -> subprocess.Popen[bytes]:
    import numba

    settings: Any = numba.config
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path if isinstance(entry, str))
    cache = {"NUMBA_CACHE_DIR": settings.CACHE_DIR} if settings.CACHE_DIR else {}
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, pickle.dumps(key).hex()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, **cache},
        pass_fds=[turn],
        start_new_session=True,  # Ctrl-C is not for it
    )


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    begin = time.monotonic()
    if process.wait() == 0:
        _log.info("compiling kernels took %.1f s; the cache keeps them", time.monotonic() - begin)


def compile_kernel() -> None:
    """What the process does: compiles the kernel that its argument names, into the cache."""
    os.nice(_NICE)
    gc.disable()  # a fifth of the time, for nothing
    module, name, types = pickle.loads(bytes.fromhex(sys.argv[1]))
    getattr(importlib.import_module(module), name).compile(types)
