"""Noise of its own for every process of `torch.distributed`.

Processes start from one seed, since they must start from the same weights, and resume from one state_dict, that of rank
0: their generators are alike, and so would be their noise, of which a larger batch is to have more. Here the generator
gives a key, and key and rank seed the noise of one draw. The generators move on alike, by one number a draw whatever
the size of the batch, so that what else is drawn from them stays in step; and the noise follows from their state, so
that it is the same where a state comes back: with a checkpoint of the run, or in `torch.utils.checkpoint`.
"""

from __future__ import annotations

import torch
import torch.distributed
from torch import Generator

_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that its multiples differ in their lower bits, of which alone PyTorch seeds the generator of the CPU."""


def generator_of_rank(generator: Generator | None, device: torch.device, rank: int | None = None) -> Generator | None:
    """The generator that this process draws its noise from, once.

    Args:
        generator: that of the user; None: the default one of the device.
        device: where noise is drawn if there is no generator.
        rank: None: the process's own. Processes that give the same draw the same.

    Returns:
        One of the draw's own, where `torch.distributed` runs several processes; else the given one.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return generator
    if torch.distributed.get_world_size() == 1:
        return generator
    if rank is None:
        rank = torch.distributed.get_rank()
    where = device if generator is None else generator.device
    key = int(torch.empty((), dtype=torch.int64, device=where).random_(generator=generator))
    return Generator(where).manual_seed((key + rank * _SPREAD) % 2**64)
