"""One palette for all frames of an animation, so that a colour is the same in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_SIZE = 255  # GIF has 256; Pillow takes one for what does not change from frame to frame
_OF_MAPS, _GREYS = 176, 16  # the others are those that are most common
_NEAR = 4.0  # of 255: as far apart, colours look the same


def in_one_palette(frames: Sequence[Pixels], maps: Sequence[Any]) -> tuple[list[Pixels], Pixels]:
    """Replaces each colour by the nearest of a palette that all frames share.

    Args:
        frames: (H, W, 3) each.
        maps: matplotlib's colour maps, whose colours the palette holds evenly, both ends among them.

    Returns:
        For each frame (H, W) indices; and the palette, (255, 3) at most.
    """
    parts = [np.unique(_pack(frame), return_counts=True) for frame in frames]
    colours, places = np.unique(np.concatenate([part for part, _ in parts]), return_inverse=True)
    counts = np.bincount(places, np.concatenate([count for _, count in parts]))
    palette = np.linspace(0, 255, _GREYS).round().astype(np.int64)[:, None].repeat(3, 1)
    for each in maps:
        shares = np.linspace(0, 1, _OF_MAPS // len(maps))
        palette = np.concatenate([palette, each(shares, bytes=True)[:, :3].astype(np.int64)])
    _, distances = _nearest(colours, palette)
    far = distances > _NEAR
    palette = np.concatenate([palette, _most_common(colours[far], counts[far], _SIZE - len(palette))])
    indices, _ = _nearest(colours, palette)
    return [indices[np.searchsorted(colours, _pack(frame))] for frame in frames], palette.astype(np.uint8)


def _most_common(colours: Numbers, counts: NDArray[Any], most: int) -> Numbers:
    """Of each group of like colours the most common; of these again."""
    ordered = colours[np.argsort(-counts, kind="stable")]
    _, first = np.unique(ordered & 0xF8F8F8, return_index=True)
    return _unpack(ordered[np.sort(first)[:most]])


def _nearest(colours: Numbers, palette: Numbers) -> tuple[Pixels, NDArray[np.float64]]:
    """Indices of the palette's nearest colours, and how far these are."""
    indices, distances = np.empty(len(colours), np.uint8), np.empty(len(colours))
    for start in range(0, len(colours), 4096):  # of which the distances take some MB
        part = slice(start, start + 4096)
        squares = np.square(_unpack(colours[part])[:, None] - palette).sum(2)
        indices[part] = squares.argmin(1)
        distances[part] = np.sqrt(squares.min(1))
    return indices, distances


def _pack(pixels: Pixels) -> Numbers:
    """(*, 3) -> (*), a number for each colour."""
    wide = pixels.astype(np.int64)
    packed: Numbers = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def _unpack(colours: Numbers) -> Numbers:
    return np.stack([colours >> 16, (colours >> 8) & 255, colours & 255], -1)
