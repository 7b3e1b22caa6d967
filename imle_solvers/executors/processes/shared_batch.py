"""A batch in memory that the parent and its workers share, so that messages carry indices only."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ALIGNMENT = 64
THETAS, VALUES, STATUSES = "thetas", "values", "statuses"


@dataclass(frozen=True)
class Layout:
    """Where the arrays of a batch lie in shared memory. Small, and sent with each batch.

    Attributes:
        fields: name -> (offset in bytes, shape, dtype).
        size: bytes in all.
    """

    fields: Mapping[str, tuple[int, tuple[int, ...], str]]
    size: int

    @classmethod
    def of(cls, thetas: Array, context: Mapping[str, Array], solution_shape: tuple[int, ...]) -> Layout:
        """Lays out thetas, context, and room for solutions of theta's dtype and for statuses.

        Raises:
            TypeError: a context array of a dtype that holds Python objects.
        """
        shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            THETAS: (thetas.shape, thetas.dtype),
            VALUES: ((len(thetas), *solution_shape), thetas.dtype),
            STATUSES: ((len(thetas),), np.dtype(np.uint8)),
        }
        for name, array in context.items():
            if array.dtype.hasobject:
                raise TypeError(f"context {name!r}: expected numbers, got an array of {array.dtype}")
            shapes[_context_field(name)] = (array.shape, array.dtype)
        fields, end = {}, 0
        for name, (shape, dtype) in shapes.items():
            fields[name] = (end, shape, dtype.str)
            end += -(-math.prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        return cls(fields, max(end, 1))

    def context_names(self) -> list[str]:
        """The names of the context arrays."""
        return [name.removeprefix("context ") for name in self.fields if name.startswith("context ")]


def _context_field(name: str) -> str:
    return f"context {name}"


class SharedMemory:
    """Memory without a name, behind a file descriptor that workers inherit. It is gone with its last user.

    Args:
        descriptor: of the parent's memory, in a worker; None: makes new memory.

    Raises:
        OSError: there is nowhere to make it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor: int = _new_file() if descriptor is None else descriptor
        self._map: mmap.mmap | None = None

    def grow(self, size: int) -> None:
        """Makes room, in the parent. What was there before may be lost; the workers follow by themselves.

        Raises:
            OSError: there is not so much memory.
        """
        before = os.fstat(self.descriptor).st_size
        if before < size:
            # Twice over, so that batches that grow bit by bit do not grow the memory each time; and reserved at once,
            # since running out of it in the middle of a batch would be a signal, not an error.
            reserve = getattr(os, "posix_fallocate", None)
            wanted = max(size, 2 * before)
            try:
                if reserve is None:
                    os.ftruncate(self.descriptor, wanted)
                else:
                    reserve(self.descriptor, 0, wanted)
                self._map = mmap.mmap(self.descriptor, wanted)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self.descriptor, before)
                raise OSError(
                    error.errno,
                    f"no room for a batch of {size / 1e6:.1f} MB in memory shared with worker processes "
                    f"({error.strerror}); solve smaller batches, or use threads or num_workers=0",
                ) from error

    def array(self, layout: Layout, name: str) -> Array:
        """One array of a batch, in place."""
        if self._map is None or len(self._map) < layout.size:
            # A map that is still in use by an array lives as long as the array.
            self._map = mmap.mmap(self.descriptor, os.fstat(self.descriptor).st_size)
        offset, shape, dtype = layout.fields[name]
        return np.ndarray(shape, np.dtype(dtype), self._map, offset)

    def context(self, layout: Layout, name: str) -> Array:
        """One context array of a batch, in place."""
        return self.array(layout, _context_field(name))

    def close(self) -> None:
        """Lets go of the memory."""
        self._map = None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _new_file() -> int:
    if hasattr(os, "memfd_create"):
        return above_standard_streams(os.memfd_create("imle-solvers"))
    # Elsewhere a file that was deleted while it was open.
    with tempfile.TemporaryFile() as file:
        return above_standard_streams(os.dup(file.fileno()))


def above_standard_streams(descriptor: int) -> int:
    """The same file by a number that is none of the standard streams', which a daemon may have closed."""
    import fcntl  # not on Windows, where the rest of this package works

    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)
