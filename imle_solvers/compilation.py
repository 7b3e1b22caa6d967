"""Just-in-time compilation of kernels, with and without a place to cache them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numba
from numba.core import event

from imle_solvers import waiting

_log = logging.getLogger(__name__)

_LONG = 1.0
"""From how many seconds on compiling is logged."""

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiles a kernel at its first call; it releases the GIL, so threads run it side by side.

    The machine code is cached on disk, so that only the first process on a machine pays for compiling. Numba looks
    for `NUMBA_CACHE_DIR`, then for the package's own folder, then for the user's cache folder; where none of them
    can be written, each process compiles for itself.
    """
    try:
        kernel = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # "cannot cache function": no folder to write to
        kernel = numba.njit(nogil=True)(function)
    return cast(Function, kernel)


def inner(function: Function) -> Function:
    """Compiles what only kernels call, without the entries for Python and C, which take longer than the rest."""
    options: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, numba.njit(**options)(function))


class NotInCacheError(Exception):
    """A kernel would have to be compiled.

    Attributes:
        kernel: Numba's dispatcher.
        types: of the arguments that it was called with.
    """

    def __init__(self, kernel: Any, types: tuple[Any, ...]) -> None:
        super().__init__(kernel, types)
        self.kernel: Any = kernel
        self.types: tuple[Any, ...] = types


_thread = threading.local()


@contextlib.contextmanager
def from_cache() -> Iterator[None]:
    """Within it, this thread compiles nothing: a kernel that is not in the cache raises `NotInCacheError`."""
    _thread.compiles = False
    try:
        yield
    finally:
        _thread.compiles = True


class _Compiling(event.Listener):
    """Knows whether anything is being compiled. A wait for that is no long solve."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0  # functions that kernels call are compiled while these are
        self._since = 0.0

    def __bool__(self) -> bool:
        return self._depth > 0

    def on_start(self, event: Any) -> None:
        with self._lock:
            if self._depth == 0:
                self._since = time.monotonic()
            self._depth += 1
        if not getattr(_thread, "compiles", True):  # Numba tells of an end, too
            raise NotInCacheError(event.data["dispatcher"], event.data["args"])

    def on_end(self, event: Any) -> None:
        with self._lock:
            self._depth -= 1
            seconds = time.monotonic() - self._since
        if self._depth == 0 and seconds > _LONG:
            _log.info("compiling kernels took %.1f s; the cache keeps them for the next program", seconds)


_compiling = _Compiling()
event.register("numba:compile", _compiling)  # type: ignore[no-untyped-call]
waiting.excuses.append(lambda: bool(_compiling))
