"""Instances as kernels take them: rows of theta, masks among the context. For all adapters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.errors import InputError

IndexArray = NDArray[np.uint32]


def take(thetas: NDArray[np.floating[Any]], adapter: object) -> NDArray[np.floating[Any]]:
    """Theta as (N, entries) for a kernel: C-contiguous and writable, copied only if it is not.

    A read-only array would be a type of its own to a kernel, which would be compiled for it again.

    Raises:
        InputError: theta is not finite, or so large that a sum of its entries might not be.
    """
    flat = thetas.reshape(len(thetas), -1)
    if not (flat.flags.c_contiguous and flat.flags.writeable):
        flat = flat.copy()
    most = np.finfo(np.float64).max / max(1, flat.shape[1])
    if flat.dtype == np.float32:  # of which no sum is too large
        sound = np.count_nonzero(np.isfinite(flat)) == flat.size
    else:
        sound = max(float(flat.max(initial=0)), -float(flat.min(initial=0))) < most
    if not sound:
        peaks = np.abs(flat).max(axis=1).astype(np.float64)
        row = int(np.argmax(~(peaks < most)))
        raise InputError(
            f"{adapter!r}: expected theta to be finite, and sums of it too, got values up to "
            f"{peaks[row]}; scale theta down, or find where it diverged",
            row,
        )
    return flat


def as_mask(given: Any, name: str, adapter: object) -> Any:
    """(N, ...) zeros and ones of any dtype, an array or a tensor, as a new one of bools.

    Whatever is not zero would be true otherwise: NaN, a probability, and the minus infinity of additive masks.

    Raises:
        InputError: other values than zeros and ones.
    """
    mask = given != 0
    wrong = mask != given
    if bool(wrong.any()):
        row = int((1 * wrong.reshape(len(wrong), -1).any(1)).argmax())
        raise InputError(
            f"{adapter!r}: expected {name} to be a mask of zeros and ones, got {given[row][wrong[row]][0]}; "
            "threshold it first",
            row,
        )
    return mask
