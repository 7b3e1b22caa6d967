"""One thread for torch's operations, in this thread of the process and in no other.

A callback runs beside the threads of its front end, on all cores, and torch's would wait for them: its small operations
take many times as long. `torch.set_num_threads` is no way out, since it also decides for threads that start later, and
for MKL in all of them: those are the user's. What OpenMP is told holds for the thread that tells it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes in the calling thread alone, where it is built with OpenMP, as all its packages are."""
    set_threads = _setter()
    usual = torch.get_num_threads()  # also has torch set up this thread, which it would do within otherwise
    if usual == 1 or set_threads is None:
        yield
        return
    set_threads(1)
    try:
        yield
    finally:
        set_threads(usual)


@functools.cache
def _setter() -> Callable[[int], Any] | None:
    """The function of the very OpenMP that torch uses, of which a process may have several; None: it uses none."""
    try:
        setter: Callable[[int], Any] = ctypes.CDLL(torch._C.__file__).omp_set_num_threads
    except (AttributeError, OSError):
        return None
    return setter
