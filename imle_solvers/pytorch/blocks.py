"""How much of a tensor to work on at once where that takes temporaries."""

from __future__ import annotations

from torch import Tensor

_IN_CACHE, _ON_DEVICE = 2**16, 2**24


def rows_at_once(tensor: Tensor, entries: int = 1) -> int:
    """How many rows to take at once.

    Their temporaries stay in a processor's cache, and a batch of any size needs the memory of a block of them. On other
    devices, where each operation has its price, it is far more.

    Args:
        tensor: on the device in question.
        entries: of a row.
    """
    return max(1, (_IN_CACHE if tensor.device.type == "cpu" else _ON_DEVICE) // max(1, entries))
