"""Masks among the context."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.errors import InputError


def as_mask(given: NDArray[Any], name: str, adapter: object) -> NDArray[np.bool_]:
    """(N, ...) zeros and ones of any dtype as a C-contiguous copy of bools.

    Whatever is not zero would be true otherwise: NaN, a probability, and the minus infinity of additive masks.

    Raises:
        InputError: other values than zeros and ones.
    """
    mask = np.array(given, dtype=bool, order="C")
    wrong = mask != given
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
        raise InputError(
            f"{adapter!r}: expected {name} to be a mask of zeros and ones, got {given[row][wrong[row]][0]}; "
            "threshold it first",
            row,
        )
    return mask
