"""Files of motions: NumPy's .npz with `tracks` (N, T, n, D) and `influence` (N, n, n), zeros and ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.common.arrays import read_arrays
from examples.relational_inference.particles import Motions


def read_motions(file: Path) -> Motions:
    """Reads a file, of which nothing is unpickled.

    Raises:
        ValueError: it is not there, no such archive, truncated, or its arrays are not of these shapes and values; says
            in one line what was expected, and what came.
    """
    expected = f"{file}: expected a .npz of arrays tracks (N, T, n, D) and influence (N, n, n)"
    try:
        arrays = read_arrays(file, ("tracks", "influence"))
    except ValueError as error:
        raise ValueError(f"{expected}, {error}") from error
    tracks, influence = arrays["tracks"], arrays["influence"]
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
        ("an influence in every system", ~influence.reshape(count, -1).any(1)),
        ("particles that move", (tracks == tracks[:, :1]).reshape(count, -1).all(1)),
    ):
        if wrong.any():
            raise ValueError(f"{expected}, with {name}, got other values in system {int(wrong.argmax())}")
