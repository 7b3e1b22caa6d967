"""Maps in files, in the layout in which the real ones are published."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from examples.warcraft.maps import TILE, Array, Maps, check_labels

ROOTS = ("warcraft_shortest_path_oneskin", "warcraft_shortest_path")
CONTENTS = ("maps", "vertex_weights", "shortest_paths")


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
    if root.is_file():
        raise FileNotFoundError(f"expected the folder of the maps, got the file {root}")
    found = ", ".join(sorted(path.name for path in root.iterdir())) or "nothing" if root.is_dir() else "no such folder"
    raise FileNotFoundError(f"expected {', '.join(map(str, folders[:-1]))} or {folders[-1]}; found in {root}: {found}")


def _read_parts(folder: Path, split: str, content: str) -> Array:
    whole = folder / _file_name(split, content, None)
    parts = (folder / _file_name(split, content, number) for number in itertools.count())
    files = [whole] if whole.is_file() else list(itertools.takewhile(Path.is_file, parts))
    if not files:
        found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise FileNotFoundError(f"expected {whole.name} or {_file_name(split, content, 0)} in {folder}; found {found}")
    return np.concatenate([_load(file) for file in files])


def _load(file: Path) -> Array:
    try:
        array: Array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{file}: expected an array of numbers as NumPy saves it; it is cut short, or another file"
        ) from error
    return array


def _file_name(split: str, content: str, part: int | None) -> str:
    return f"{split}_{content}.npy" if part is None else f"{split}_{content}_part{part}.npy"
