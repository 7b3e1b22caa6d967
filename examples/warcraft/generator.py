"""A seeded generator of maps that look like the real ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from examples.warcraft.maps import TILE, Array, Maps, cheapest_paths

CANVAS = 320  # pixels along the side of a texture, more than those of the largest map
TERRAIN = ("grass", "dirt", "forest", "water", "rock")
TERRAIN_COSTS = np.array([0.8, 1.2, 5.3, 7.7, 9.2])
# How often each terrain occurs in real maps, and its mean colour there.
TERRAIN_FREQUENCIES = np.array([0.36, 0.43, 0.05, 0.11, 0.06]) / 1.01
TERRAIN_RGB = np.array([(48, 81, 10), (105, 65, 6), (17, 80, 8), (11, 53, 98), (75, 74, 74)], dtype=np.float32)


def generate(count: int, size: int, seed: int | tuple[int, ...]) -> Maps:
    """`count` maps of `size` x `size` tiles; the first maps of a seed are the same for any count."""
    batches = list(_generate_batches(count, size, seed))
    images = np.concatenate([images for images, _ in batches])
    costs = TERRAIN_COSTS[np.concatenate([terrain for _, terrain in batches])]
    return Maps(images, costs, cheapest_paths(costs))


def _generate_batches(count: int, size: int, seed: int | tuple[int, ...]) -> Iterator[tuple[Array, Array]]:
    batch = 128  # bounds the memory; part of what the seed means
    canvases = _canvases()
    for number, start in enumerate(range(0, count, batch)):
        rng = np.random.default_rng((number, size, *(seed if isinstance(seed, tuple) else (seed,))))
        terrain = _terrain(batch, size, rng)[: count - start]
        yield _paint(terrain, canvases, rng), terrain


def _terrain(count: int, size: int, rng: np.random.Generator) -> Array:
    """Kinds of terrain, (count, size, size) indices: rivers, woods and rocks in meadows and dirt.

    Each kind is where a smooth Gaussian field is below or above a quantile, so that it is as frequent as it should be.
    """
    grass, _, forest, water, rock = TERRAIN_FREQUENCIES
    land = 1 - water
    ground, height, river = (_smooth(rng, (count, size, size), scale) for scale in (1.2, 1.2, 4.5))
    terrain = np.where(ndtr(ground) < grass / (land - forest - rock), 0, 1)
    terrain[ndtr(height) < forest / land] = 2
    terrain[ndtr(height) > 1 - rock / land] = 4
    # A river winds along a contour. Divided by its slope, a field is the distance to the contour, and rivers are of
    # one width; without, flat places would be lakes of half a map. The quantile is that of a Gaussian over a
    # Rayleigh variable, of which each component has the variance 1 / (2 scale^2).
    slope = np.hypot(*np.gradient(river, axis=(1, 2))) * 4.5 * np.sqrt(2)
    terrain[abs(river) < slope * water / np.sqrt(1 - water**2)] = 3
    return terrain


def _smooth(rng: np.random.Generator, shape: tuple[int, int, int], scale: float) -> Array:
    """Gaussian fields of variance one, correlated over about `scale` along the last two axes."""
    margin = 2 * int(np.ceil(3 * scale))  # else opposite borders, which the filter joins, would be alike
    count, height, width = shape
    noise = rng.standard_normal((count, height + margin, width + margin), dtype=np.float32)
    field = ndimage.gaussian_filter(noise, (0, scale, scale), mode="wrap")
    impulse = np.zeros((1, *noise.shape[1:]))
    impulse[0, 0, 0] = 1
    deviation = np.sqrt((ndimage.gaussian_filter(impulse, (0, scale, scale), mode="wrap") ** 2).sum())
    smooth: Array = field[:, :height, :width] / deviation
    return smooth


def _canvases() -> tuple[Array, Array]:
    """What all maps are cut from, the same for all seeds, as one tile set is.

    Returns:
        Textures of the kinds of terrain, (5, 320, 320, 3) float32, and displacements in pixels, (8, 320, 320) int.
    """
    rng = np.random.default_rng(0)
    # (fine, coarse) variation of brightness, in levels of 255.
    variation = {"grass": (9, 7), "dirt": (10, 8), "forest": (18, 10), "water": (5, 8), "rock": (20, 14)}
    textures = []
    for kind, colour in zip(TERRAIN, TERRAIN_RGB, strict=True):
        fine, coarse = variation[kind]
        light = fine * _smooth(rng, (1, CANVAS, CANVAS), 0.8) + coarse * _smooth(rng, (1, CANVAS, CANVAS), 3.0)
        textures.append(colour + light[0, :, :, None] * colour / colour.max())  # light, and no other hue
    wobbles = np.rint(1.3 * _smooth(rng, (8, CANVAS, CANVAS), 1.5)).astype(np.int64)
    return np.stack(textures).astype(np.float32), wobbles


def _paint(terrain: Array, canvases: tuple[Array, Array], rng: np.random.Generator) -> Array:
    """Images of terrain, (N, k, k) -> (N, 8k, 8k, 3) uint8, with ragged, blended borders and light of their own."""
    textures, wobbles = canvases
    count, size = terrain.shape[:2]
    side = TILE * size
    row, column = np.mgrid[:side, :side]
    images = np.empty((count, side, side, 3), dtype=np.uint8)
    for image, tiles in zip(images, terrain, strict=True):
        top, left = rng.integers(CANVAS - side, size=2)
        window = slice(top, top + side), slice(left, left + side)
        pixels = np.zeros((side, side, 3), dtype=np.float32)
        # Two layers with borders of their own: where they disagree, they blend.
        for down, right in rng.permutation(len(wobbles))[:4].reshape(2, 2):
            y = (row + wobbles[down][window]).clip(0, side - 1) // TILE
            x = (column + wobbles[right][window]).clip(0, side - 1) // TILE
            pixels += 0.5 * textures[tiles[y, x], row + top, column + left]
        light = rng.uniform(0.85, 1.15)
        grain = 4 * rng.standard_normal((side, side, 1), dtype=np.float32)
        image[:] = (light * pixels + grain).clip(0, 255)
    return images
