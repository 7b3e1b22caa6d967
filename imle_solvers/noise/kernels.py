"""Compiled noise: random bits that a key and a counter determine, and quantiles for them from a table.

Arrays have one dimension, and are neither cut nor reshaped, and constants are worked out here: a layer's first answer
waits until this is compiled. Indices are unsigned, or Numba would look whether to count from the end.
"""

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
_WITHIN32 = np.uint32(23 - (CELLS.bit_length() - 1))  # bits within a cell
_WITHIN64 = np.uint64(52 - (CELLS.bit_length() - 1))
_MASK32, _MASK64 = np.uint32(2 ** int(_WITHIN32) - 1), np.uint64(2 ** int(_WITHIN64) - 1)
_STEP32, _STEP64 = np.float32(2.0 ** -int(_WITHIN32)), 2.0 ** -int(_WITHIN64)
_SIGN32, _SIGN64 = np.uint32(31), np.uint64(51)  # the place of the bit that chooses the tail
_REST32, _REST64 = np.uint32(2**31 - 1), np.uint64(2**51 - 1)  # the others, which are its probability
_ONE, _LEFT, _HALF32 = np.uint64(1), np.uint64(12), np.float32(0.5)


@compiled
def random_bits(key: int, stream: int, first: int, bits: NDArray[np.uint32]) -> None:
    """Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011).

    Args:
        key: 64 bits.
        stream: 64 bits, the upper half of all counters.
        first: the lower half of the first counter.
        bits: (4 * n,), filled: of each quarter an entry is what a counter gives, so that LLVM takes several at once.
    """
    size = np.uint64(len(bits) // 4)
    for place in range(size):
        i = np.uint64(place)
        counter = np.uint64(first) + i
        a, b = np.uint32(counter), np.uint32(counter >> _HALF)
        c, d = np.uint32(stream), np.uint32(np.uint64(stream) >> _HALF)
        k, m = np.uint32(key), np.uint32(np.uint64(key) >> _HALF)
        for _ in range(10):
            one, other = np.uint64(_MULTIPLIERS[0]) * np.uint64(a), np.uint64(_MULTIPLIERS[1]) * np.uint64(c)
            a, c = np.uint32(other >> _HALF) ^ b ^ k, np.uint32(one >> _HALF) ^ d ^ m
            b, d = np.uint32(other), np.uint32(one)
            k, m = np.uint32(k + _WEYL[0]), np.uint32(m + _WEYL[1])
        bits[i], bits[size + i], bits[size + size + i], bits[size + size + size + i] = a, b, c, d


@compiled
def fill_float32(key: int, stream: int, table: NDArray[np.float32], noise: NDArray[np.float32]) -> None:
    """Fills an array with quantiles of uniform numbers of 32 bits.

    Args:
        key, stream: see `random_bits`.
        table: see `imle_solvers.noise.quantiles.quantile_table`.
        noise: (n,), filled.
    """
    # Doing all bits of a block before their quantiles lets LLVM vectorise both loops.
    bits = np.empty(4 * _BLOCK, np.uint32)
    for start in range(0, len(noise), len(bits)):
        random_bits(key, stream, start // 4, bits)
        for i in range(np.uint64(min(len(bits), len(noise) - start))):
            number = bits[i]
            tail = number >> _SIGN32
            probability = np.float32(np.int32(number & _REST32)) + _HALF32
            shape = np.float32(probability).view(np.uint32)
            cell = np.uint64((shape >> _WITHIN32) - _TOP32)
            weight = np.float32(np.int32(shape & _MASK32)) * _STEP32
            edge = table[tail, cell]
            noise[np.uint64(start) + np.uint64(i)] = edge + weight * (table[tail, cell + _ONE] - edge)


@compiled
def fill_float64(key: int, stream: int, table: NDArray[np.float64], noise: NDArray[np.float64]) -> None:
    """The same with uniform numbers of 52 bits."""
    bits = np.empty(4 * _BLOCK, np.uint32)
    pairs = bits.view(np.uint64)
    for start in range(0, len(noise), len(pairs)):
        random_bits(key, stream, start // 2, bits)
        for i in range(np.uint64(min(len(pairs), len(noise) - start))):
            number = pairs[i] >> _LEFT
            tail = number >> _SIGN64
            probability = np.float64(np.int64(number & _REST64)) + 0.5
            shape = np.float64(probability).view(np.uint64)
            cell = (shape >> _WITHIN64) - _TOP64
            weight = np.float64(np.int64(shape & _MASK64)) * _STEP64
            edge = table[tail, cell]
            noise[np.uint64(start) + np.uint64(i)] = edge + weight * (table[tail, cell + _ONE] - edge)
