"""The certificate of `imle_solvers.estimators.certificate`, compiled: in place, and no further than its answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from imle_solvers.compilation import compiled

_STRIP = 16
"""Entries between looks whether that was enough: a vector of them takes as long as one."""

Array = NDArray[np.floating[Any]]


def _fused(typing: Any, factor: Any, other: Any, added: Any) -> Any:
    """A product and a sum, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    if isinstance(factor, types.Float) and factor == other == added:
        return factor(factor, other, added), generate
    return None


_fma: Any = intrinsic(_fused)


@compiled
def mark_known(
    target: Array,
    values: Array,
    scores: Array,
    noise: Array,
    temperature: float,
    noisy: bool,
    fused: bool,
    known: NDArray[np.bool_],
) -> int:
    """Marks the rows whose step favours the solution in every entry.

    Args:
        target: (B, M, n), the scores to solve; this and the others C-contiguous, of one dtype.
        values: (B, M, n), solutions of zeros and ones.
        scores: (B, n); with the noise times its temperature, those that were solved.
        noise: (B, M, n); not looked at unless `noisy`.
        temperature: of the noise.
        noisy: whether there is noise.
        fused: whether noise times temperature was added with one rounding.
        known: (B, M), filled.

    Returns:
        How many they are.
    """
    batch, draws, entries = target.shape
    scale, turn, one = noise.dtype.type(temperature), noise.dtype.type(-2), noise.dtype.type(1)
    count = 0
    for instance in range(batch):
        for draw in range(draws):
            favoured, start = True, 0
            while favoured and start < entries:
                stop = min(entries, start + _STRIP)
                for i in range(start, stop):
                    before = scores[instance, i]
                    if noisy and fused:
                        before = _fma(scale, noise[instance, draw, i], before)
                    elif noisy:
                        before = before + scale * noise[instance, draw, i]
                    # A step that favours is nowhere positive, turned around where the solution is one. Neither is
                    # one that is not finite; its NaN must come out.
                    turned = (turn * values[instance, draw, i] + one) * (target[instance, draw, i] - before)
                    favoured &= (turned <= 0) & (turned > -np.inf)
                start = stop
            known[instance, draw] = favoured
            count += favoured
    return count
