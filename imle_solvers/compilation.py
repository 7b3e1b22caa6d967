"""Just-in-time compilation of kernels, with and without a place to cache them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

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
