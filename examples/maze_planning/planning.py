"""Mazes in the files of planning-datasets (omron-sinicx), as Neural A* reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.common.arrays import read_arrays
from examples.maze_planning.mazes import SIDE, Array, Mazes, demonstrate, distances, draw_source

SPLITS = ("train", "val", "test")
PARTS = ("maps", "goals", "policies", "distances")  # of each split, in this order: arr_0, arr_1, ...


def read(file: Path, split: str, count: int, seed: int) -> Mazes:
    """Reads a split; the image of a maze is its map, white where there is floor.

    Goals are those of the file. Starts and demonstrations are drawn; the file's policies are not used.

    Args:
        file: NAME.npz with 32 x 32 mazes: for each split maps (N, 32, 32), 1 for floor, goals (N, 1, 32, 32), one-hot,
            policies, and distances (N, 1, 32, 32), steps to the goal below zero.
        split: one of `SPLITS`.
        count: problems; more than there are mazes are the same mazes with other starts.
        seed: of starts and demonstrations.

    Raises:
        ValueError: it is not there, or not what it should be; says what, and of which maze. Nothing is unpickled.
    """
    maps, goals, given = _arrays(file, split)
    walls, target = maps == 0, goals.reshape(len(goals), -1).argmax(axis=1)
    used = min(count, len(walls))
    steps = [_steps(f"{file}: maze {row} of {split}", walls[row], int(target[row]), given[row]) for row in range(used)]
    rng = np.random.default_rng((seed, SPLITS.index(split)))
    rows = np.arange(count) % used
    source = np.array([draw_source(steps[row], rng) for row in rows], dtype=np.int64)
    images = np.where(walls[rows][..., None], 0, 255).astype(np.uint8).repeat(3, axis=3)
    return demonstrate(images, walls[rows], source, target[rows].astype(np.int64), rng)


def _steps(name: str, walls: Array, goal: int, given: Array) -> Array:
    """Steps to the goal of a maze, which has to be what the file says."""
    if walls.flat[goal]:
        raise ValueError(f"{name}: expected the goal on floor, got it in a wall, at {divmod(goal, SIDE)}")
    steps = distances(walls, goal)
    known = steps >= 0
    if known.sum() < 2:
        raise ValueError(f"{name}: expected a way from another cell to the goal, got none")
    if (steps[known] != -given.ravel()[known]).any():
        raise ValueError(f"{name}: expected distances to be the steps to the goal, below zero, got others")
    if (given.ravel()[~known] > -steps.max()).any():
        raise ValueError(f"{name}: expected distances of cells without a way to the goal below all others, got others")
    return steps


def _arrays(file: Path, split: str) -> tuple[Array, Array, Array]:
    """Maps, goals and distances of a split, of the shapes and values that they should have."""
    first = len(PARTS) * SPLITS.index(split)
    names = {part: f"arr_{first + index}" for index, part in enumerate(PARTS) if part != "policies"}
    try:
        stored = read_arrays(file, tuple(names.values()))
    except ValueError as error:
        raise ValueError(f"{file}: expected mazes as planning-datasets has them, arr_0 to arr_11, {error}") from error
    arrays = {part: stored[name] for part, name in names.items()}
    count = len(arrays["maps"]) if arrays["maps"].ndim else 0
    for part, array in arrays.items():
        shape = (count, SIDE, SIDE) if part == "maps" else (count, 1, SIDE, SIDE)
        if count == 0 or array.shape != shape or array.dtype.kind not in "fiub":
            raise ValueError(
                f"{file}: expected {part} of {split}, {names[part]}, to be numbers of shape {shape} with a maze or "
                f"more, got {array.dtype} {array.shape}; mazes have {SIDE} x {SIDE} cells here"
            )
        other = ~np.isin(array, (0, 1))
        if part != "distances" and other.any():
            maze = int(other.reshape(count, -1).any(axis=1).argmax())
            raise ValueError(
                f"{file}: maze {maze} of {split}: expected {part}, {names[part]}, to be 0 or 1, got {array[other][0]}"
            )
    found = arrays["goals"].reshape(count, -1).sum(axis=1)
    if (found != 1).any():
        maze = int((found != 1).argmax())
        raise ValueError(f"{file}: maze {maze} of {split}: expected one goal, got {int(found[maze])}")
    return arrays["maps"], arrays["goals"], arrays["distances"]
