"""Archives of arrays, NumPy's .npz, of which nothing is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(file: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of these names.

    Args:
        file: NAME.npz.
        names: of all that are needed.

    Raises:
        ValueError: there is no such file, it is no archive or a damaged one, has no array of a name, or one of objects;
            says in a line what was found.
    """
    if not file.is_file():
        beside = sorted(path.name for path in file.parent.glob("*.npz")) if file.parent.is_dir() else []
        raise ValueError(f"found no such file; beside it: {', '.join(beside) or 'no .npz'}")
    try:
        with file.open("rb") as opened:
            if not zipfile.is_zipfile(opened):
                raise ValueError("got a file that is no .npz, or the beginning of one; write it by numpy.savez")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as archive:
                for name in names:
                    if name not in archive:
                        found = ", ".join(archive.files) or "nothing"
                        raise ValueError(f"found no {name} in it but {found}")
                return {name: _read(archive, name) for name in names}
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"got a damaged file: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def _read(archive: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(archive[name])
    except (ValueError, TypeError, AttributeError) as error:  # what NumPy says tells how to unpickle it
        raise ValueError(f"got Python objects, or a damaged array, as {name}; write numbers by numpy.savez") from error
