"""Compiled noise: random bits that a key and a counter determine, and quantiles for them from a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imle_solvers.compilation import compiled
from imle_solvers.noise.quantiles import CELLS, OCTAVES

_BLOCK = 1024  # counters at a time, so that their bits stay in the fastest cache

_MULTIPLIERS = np.uint32(0xD2511F53), np.uint32(0xCD9E8D57)
_WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_HALF = np.uint64(32)

# Of the bits of 2^31 as a float32, and 2^51 as a float64, which stand for a tail's probability of one half.
_TOP32 = np.uint32((127 + 31 - OCTAVES) * CELLS)
_TOP64 = np.uint64((1023 + 51 - OCTAVES) * CELLS)
_WITHIN32, _WITHIN64 = 23 - (CELLS.bit_length() - 1), 52 - (CELLS.bit_length() - 1)  # bits within a cell


@compiled
def random_bits(key: int, stream: int, first: int, bits: NDArray[np.uint32]) -> None:
    """Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011).

    Args:
        key: 64 bits.
        stream: 64 bits, the upper half of all counters.
        first: the lower half of the first counter.
        bits: (4, n), filled: a column is what a counter gives.
    """
    # Rows, not columns, are contiguous, so that LLVM takes several counters at once.
    for i in range(bits.shape[1]):
        counter = np.uint64(first) + np.uint64(i)
        a, b = np.uint32(counter), np.uint32(counter >> _HALF)
        c, d = np.uint32(stream), np.uint32(np.uint64(stream) >> _HALF)
        k, m = np.uint32(key), np.uint32(np.uint64(key) >> _HALF)
        for _ in range(10):
            one, other = np.uint64(_MULTIPLIERS[0]) * np.uint64(a), np.uint64(_MULTIPLIERS[1]) * np.uint64(c)
            a, c = np.uint32(other >> _HALF) ^ b ^ k, np.uint32(one >> _HALF) ^ d ^ m
            b, d = np.uint32(other), np.uint32(one)
            k, m = np.uint32(k + _WEYL[0]), np.uint32(m + _WEYL[1])
        bits[0, i], bits[1, i], bits[2, i], bits[3, i] = a, b, c, d


@compiled
def fill_float32(key: int, stream: int, table: NDArray[np.float32], noise: NDArray[np.float32]) -> None:
    """Fills an array with quantiles of uniform numbers of 32 bits.

    Args:
        key, stream: see `random_bits`.
        table: see `imle_solvers.noise.quantiles.quantile_table`.
        noise: (n,), filled.
    """
    # Doing all bits of a block before their quantiles lets LLVM vectorise both loops.
    bits = np.empty((4, _BLOCK), np.uint32)
    flat, entries = bits.ravel(), np.uint32(table.shape[1])
    quantiles = table.ravel()
    for start in range(0, len(noise), len(flat)):
        random_bits(key, stream, start // 4, bits)
        part = noise[start : start + len(flat)]
        for i in range(len(part)):
            # The first bit chooses the tail, the others are its probability.
            number = flat[i]
            tail = number >> np.uint32(31)
            probability = np.float32(np.int32(number & np.uint32(0x7FFFFFFF))) + np.float32(0.5)
            shape = np.float32(probability).view(np.uint32)
            # Unsigned, or Numba would look whether to count from the end.
            cell = np.uint64(tail * entries + (shape >> np.uint32(_WITHIN32)) - _TOP32)
            weight = np.float32(np.int32(shape & np.uint32((1 << _WITHIN32) - 1))) * np.float32(2.0**-_WITHIN32)
            edge = quantiles[cell]
            part[i] = edge + weight * (quantiles[cell + np.uint64(1)] - edge)


@compiled
def fill_float64(key: int, stream: int, table: NDArray[np.float64], noise: NDArray[np.float64]) -> None:
    """The same with uniform numbers of 52 bits."""
    bits = np.empty((4, _BLOCK), np.uint32)
    flat, entries = bits.ravel().view(np.uint64), np.uint64(table.shape[1])
    quantiles = table.ravel()
    for start in range(0, len(noise), len(flat)):
        random_bits(key, stream, start // 2, bits)
        part = noise[start : start + len(flat)]
        for i in range(len(part)):
            number = flat[i] >> np.uint64(12)
            tail = number >> np.uint64(51)
            probability = np.float64(np.int64(number & np.uint64((1 << 51) - 1))) + 0.5
            shape = np.float64(probability).view(np.uint64)
            cell = tail * entries + (shape >> np.uint64(_WITHIN64)) - _TOP64
            weight = np.float64(np.int64(shape & np.uint64((1 << _WITHIN64) - 1))) * 2.0**-_WITHIN64
            edge = quantiles[cell]
            part[i] = edge + weight * (quantiles[cell + np.uint64(1)] - edge)
