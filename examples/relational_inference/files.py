"""Files of motions: NumPy's .npz with `tracks` (N, T, n, D) and `influence` (N, n, n), zeros and ones."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.relational_inference.particles import Motions


def read_motions(file: Path) -> Motions:
    """Reads a file, of which nothing is unpickled.

    Raises:
        ValueError: it is not there, no such archive, truncated, or its arrays are not of these shapes and values; says
            in one line what was expected, and what came.
    """
    expected = f"{file}: expected a .npz of arrays tracks (N, T, n, D) and influence (N, n, n)"
    try:
        with file.open("rb") as opened:  # which NumPy leaves open where it is no archive
            loaded = np.load(opened, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise ValueError(f"{expected}, got one array of shape {loaded.shape}; write it by numpy.savez")
            with loaded as archive:
                if missing := {"tracks", "influence"} - set(archive.files):
                    raise ValueError(f"{expected}, got {', '.join(archive.files) or 'none'}, without {min(missing)}")
                tracks, influence = archive["tracks"], archive["influence"]
    except FileNotFoundError as error:
        raise ValueError(f"{expected}, found no such file") from error
    except (OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError(f"{expected}, got none, or a truncated one: {_line(error)}") from error
    except ValueError as error:
        if str(error).startswith(str(file)):
            raise
        raise ValueError(f"{expected} of numbers, not pickled: {_line(error)}") from error
    _check(tracks, influence, expected)
    return Motions(tracks.astype(np.float32), influence.astype(bool))


def _check(tracks: NDArray[Any], influence: NDArray[Any], expected: str) -> None:
    for name, array, axes in (("tracks", tracks, 4), ("influence", influence, 3)):
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{expected} of numbers, got {name} of {array.dtype}")
        if array.ndim != axes:
            raise ValueError(f"{expected}, got {name} of shape {array.shape}")
    count, steps, nodes, size = tracks.shape
    if influence.shape != (count, nodes, nodes):
        raise ValueError(f"{expected}, got tracks of shape {tracks.shape} and influence of shape {influence.shape}")
    if count < 10 or steps < 2 or nodes < 3 or size < 1:
        raise ValueError(f"{expected} with N >= 10, T >= 2, n >= 3 and D >= 1, got tracks of shape {tracks.shape}")
    for name, wrong in (
        ("finite tracks", ~np.isfinite(tracks).reshape(count, -1).all(1)),
        ("influence of zeros and ones", ~np.isin(influence, (0, 1)).reshape(count, -1).all(1)),
        ("no influence of a particle on itself", np.einsum("nii->ni", influence).any(1)),
    ):
        if wrong.any():
            raise ValueError(f"{expected}, with {name}, got other values in system {int(wrong.argmax())}")


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
