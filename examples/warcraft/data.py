"""Warcraft maps: a seeded generator of look-alikes, and the file layout in which the real ones are published.

The real maps (Vlastelica et al., ICLR 2020; Edmond, doi 10.17617/3.YJCQ5S) are grids of k x k tiles of 8 x 8 pixels.
A tile is of one of five kinds of terrain, each with its cost; the label is a cheapest path from the upper left to the
lower right corner, to all 8 neighbours, which pays for every tile that it touches, both ends included.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer

SIZES = (12, 18, 24, 30)
SPLITS = ("train", "val", "test")
TILE = 8  # pixels along the side of a tile
CANVAS = 320  # pixels along the side of a texture, more than those of the largest map
TERRAIN = ("grass", "dirt", "forest", "water", "rock")
TERRAIN_COSTS = np.array([0.8, 1.2, 5.3, 7.7, 9.2])
# How often each terrain occurs in real maps, and its mean colour there.
TERRAIN_FREQUENCIES = np.array([0.36, 0.43, 0.05, 0.11, 0.06]) / 1.01
TERRAIN_RGB = np.array([(48, 81, 10), (105, 65, 6), (17, 80, 8), (11, 53, 98), (75, 74, 74)], dtype=np.float32)

ROOTS = ("warcraft_shortest_path_oneskin", "warcraft_shortest_path")
CONTENTS = ("maps", "vertex_weights", "shortest_paths")
TOLERANCE = 1e-6  # of the cost of a path; costs are whole tenths, so that paths of different cost are far apart

Array = NDArray[Any]


@dataclass(frozen=True)
class Maps:
    """N maps of k x k tiles.

    Attributes:
        images: (N, 8k, 8k, 3) uint8.
        costs: (N, k, k) float64, whole tenths.
        paths: (N, k, k) uint8, 1 on a cheapest path.
    """

    images: Array
    costs: Array
    paths: Array

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Maps:
        return Maps(self.images[rows], self.costs[rows], self.paths[rows])


# --- Paths ---


def cheapest_paths(costs: Array) -> Array:
    """A cheapest path of each grid of costs, (N, k, k) -> (N, k, k) uint8."""
    with SolverLayer(ShortestPathAdapter.grid(*costs.shape[1:])) as layer:
        paths = layer.map(torch.from_numpy(costs))
    return np.asarray(paths, dtype=np.uint8)


def path_costs(costs: Array, masks: Array) -> Array:
    """The sum of the costs of the marked tiles, (N, k, k), (N, k, k) -> (N,)."""
    sums: Array = (costs * masks).sum(axis=(1, 2))
    return sums


def connects(masks: Array) -> Array:
    """Whether the marked tiles join the upper left corner to the lower right one, (N, k, k) -> (N,) bool."""
    within_each_map = np.zeros((3, 3, 3))
    within_each_map[1] = 1  # all 8 neighbours, none of them in another map
    regions, _ = ndimage.label(masks, within_each_map)
    joined: Array = (regions[:, 0, 0] == regions[:, -1, -1]) & (regions[:, 0, 0] > 0)
    return joined


def exact_match(masks: Array, maps: Maps) -> Array:
    """Whether a predicted mask is the labelled path, tile by tile: (N,) bool. Ties make this stricter than need be."""
    matches: Array = (masks == maps.paths).all(axis=(1, 2))
    return matches


def cost_optimal(masks: Array, maps: Maps) -> Array:
    """Whether a predicted mask is a path, by the true costs as cheap as the label: (N,) bool.

    What joins the corners at no more than the best cost is a cheapest path, and nothing but that; so this is a test of
    any mask, also of a network's that need not be a path.
    """
    best = path_costs(maps.costs, maps.paths)
    optimal: Array = connects(masks) & (path_costs(maps.costs, masks) <= best + TOLERANCE)
    return optimal


def check_labels(maps: Maps) -> None:
    """Raises `ValueError` unless every label is a cheapest path. Any of several equally cheap ones will do."""
    best = path_costs(maps.costs, cheapest_paths(maps.costs))
    labelled = path_costs(maps.costs, maps.paths)
    wrong = ~connects(maps.paths) | (abs(labelled - best) > TOLERANCE)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{wrong.sum()} of {len(maps)} labels are not cheapest paths; the first is that of map {first}, which "
            f"costs {labelled[first]:.1f} where {best[first]:.1f} is best"
        )


# --- The generator ---


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


# --- Files ---


def write(root: Path, split: str, maps: Maps, parts: int = 1) -> None:
    """Writes a split in the published layout: ROOT/12x12/train_maps.npy and so on.

    With more than one of the `parts`, it is train_maps_part0.npy, train_maps_part1.npy.
    """
    size = maps.costs.shape[-1]
    folder = root / f"{size}x{size}"
    folder.mkdir(parents=True, exist_ok=True)
    arrays = (maps.images, maps.costs.astype(np.float16), maps.paths)
    for content, array in zip(CONTENTS, arrays, strict=True):
        for number, part in enumerate(np.array_split(array, parts)):
            np.save(folder / _file_name(split, content, number if parts > 1 else None), part, allow_pickle=False)


def read(root: Path, size: int, split: str) -> Maps:
    """Reads a split of the published archive and checks it.

    Args:
        root: the archive's root folder, or the folder that holds it.
        size: k.
        split: "train", "val" or "test".

    Raises:
        FileNotFoundError: files are missing; says which were expected and which are there.
        ValueError: a file is not what it should be, or a label is not a cheapest path.
    """
    folder = _find_folder(root, size)
    images, costs, paths = (_read_parts(folder, split, content) for content in CONTENTS)
    side = TILE * size
    for content, array, shape in zip(
        CONTENTS, (images, costs, paths), ((side, side, 3), *[(size, size)] * 2), strict=True
    ):
        if array.shape != (len(images), *shape):
            expected = (len(images), *shape)
            raise ValueError(f"{folder}: expected {split}_{content} of shape {expected}, got {array.shape}")
    # float16 holds 0.8 as 0.79980.
    maps = Maps(images, costs.astype(np.float64).round(1), paths.astype(np.uint8))
    try:
        check_labels(maps)
    except ValueError as error:
        raise ValueError(f"{folder}: {split}_shortest_paths: {error}") from error
    return maps


def _find_folder(root: Path, size: int) -> Path:
    name = f"{size}x{size}"
    folders = [parent / name for parent in (root, *(root / child for child in ROOTS))]
    for folder in folders:
        if folder.is_dir():
            return folder
    found = ", ".join(sorted(path.name for path in root.iterdir())) or "nothing" if root.is_dir() else "no such folder"
    raise FileNotFoundError(f"expected {', '.join(map(str, folders[:-1]))} or {folders[-1]}; found in {root}: {found}")


def _read_parts(folder: Path, split: str, content: str) -> Array:
    whole = folder / _file_name(split, content, None)
    parts = (folder / _file_name(split, content, number) for number in itertools.count())
    files = [whole] if whole.is_file() else list(itertools.takewhile(Path.is_file, parts))
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise FileNotFoundError(f"expected {whole.name} or {_file_name(split, content, 0)} in {folder}; found {found}")
    return np.concatenate([np.load(file, allow_pickle=False) for file in files])


def _file_name(split: str, content: str, part: int | None) -> str:
    return f"{split}_{content}.npy" if part is None else f"{split}_{content}_part{part}.npy"
