"""Noise from the keys of other libraries: words of 32 bits, all of which count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Generator


def generator_of(words: NDArray[Any]) -> Generator:
    """The generator that noise of this key is drawn from: `SolverLayer(adapter, generator=...)` draws the same.

    Args:
        words: (W,) unsigned integers of 32 bits.
    """
    # Mixed, since PyTorch seeds its generator of the CPU by the lower 32 bits alone.
    seed = int(np.random.SeedSequence(np.asarray(words, dtype=np.uint32).tolist()).generate_state(1, np.uint64)[0])
    return Generator().manual_seed(seed)
