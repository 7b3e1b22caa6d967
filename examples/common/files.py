"""Files that are there whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Writes a file by `write(path)`; an interrupted run leaves the file of before, not half of a new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    write(partial)
    partial.replace(file)
