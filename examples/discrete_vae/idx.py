"""Images in IDX files, the format of MNIST: a magic number, the size of each axis, and the bytes of all pixels."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x0803
"""Of unsigned bytes in three axes: images, rows, columns."""

_OTHERS = {0x0801: "labels, where images are expected"}
_HEAD = struct.Struct(">4I")
_GZIP = b"\x1f\x8b"


def read_idx(file: Path) -> NDArray[np.uint8]:
    """Reads the images of an IDX file, compressed by gzip or not, whatever its name.

    Returns:
        (N, height, width), at least one image of at least one pixel.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a file, or not a whole one.
    """
    content = file.read_bytes()
    if content[:2] == _GZIP:
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{file}: expected a whole gzip file, got a damaged one ({error}); get it anew") from error
    if len(content) < _HEAD.size:
        raise ValueError(f"{file}: expected an IDX file of images, got {len(content)} bytes, less than its head has")
    magic, count, height, width = _HEAD.unpack_from(content)
    if magic != MAGIC:
        got = _OTHERS.get(magic, f"a file that begins with {content[:8]!r}")
        raise ValueError(f"{file}: expected an IDX file of images (magic number {MAGIC}), got {got}")
    if 0 in (count, height, width):
        raise ValueError(f"{file}: expected images, got {count} of {height} x {width} pixels")
    expected = _HEAD.size + count * height * width
    if len(content) != expected:
        raise ValueError(
            f"{file}: expected {expected} bytes for {count} images of {height} x {width}, as its head says, got "
            f"{len(content)}; get it anew"
        )
    return np.frombuffer(content, np.uint8, offset=_HEAD.size).reshape(count, height, width)
