"""Reading files of lines, compressed or not, with errors of one line."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_lines(file: Path, expected: str) -> list[str]:
    """The lines of a UTF-8 file, without their ends; of one whose name ends in .gz, decompressed.

    Args:
        file: to read.
        expected: what should be in it, for errors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated, not compressed, not UTF-8, or empty.
    """
    if not file.is_file():
        raise FileNotFoundError(f"expected {expected}, found no file at {file}")
    data = file.read_bytes()
    if file.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except EOFError as error:
            raise ValueError(f"{file}: expected {expected}, got a truncated gzip file; fetch it again") from error
        except (OSError, zlib.error) as error:
            raise ValueError(f"{file}: expected {expected} compressed by gzip, got something else: {error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{data[error.start]:02x} in line {line}"
        raise ValueError(f"{file}: expected {expected} in UTF-8, got {wrong}; convert the file") from error
    if not text.strip():
        raise ValueError(f"{file}: expected {expected}, got an empty file")
    # Not splitlines, which also splits at characters that occur within texts.
    return [line.removesuffix("\r") for line in text.rstrip("\n").split("\n")]


def find(folder: Path, name: str) -> Path:
    """`folder / name`, or the same with .gz where that is what there is."""
    plain, packed = folder / name, folder / f"{name}.gz"
    return packed if packed.is_file() and not plain.is_file() else plain


def read_vectors(file: Path) -> dict[str, NDArray[Any]]:
    """Word vectors as text, a word and its numbers in each line, as those of GloVe; a head as of word2vec is left out.

    Raises:
        FileNotFoundError, ValueError: as `read_lines`; a line is not a word and as many numbers as the first has.
    """
    lines = read_lines(file, "word vectors")
    head = re.fullmatch(r"\d+ (\d+)", lines[0].strip()) if len(lines) > 1 else None
    start, size = (1, int(head[1])) if head else (0, len(lines[0].rstrip().split(" ")) - 1)
    vectors = {}
    for number, line in enumerate(lines[start:], start + 1):
        word, *numbers = line.rstrip().rsplit(" ", size) if size > 0 else [line]
        try:
            vector = np.array(numbers, dtype=np.float32)
        except ValueError:
            vector = np.zeros(0, np.float32)
        if size < 1 or len(vector) != size or not np.isfinite(vector).all():
            raise ValueError(f"{file}, line {number}: expected a word and {max(size, 1)} numbers, got {line[:60]!r}")
        vectors[word] = vector
    return vectors
