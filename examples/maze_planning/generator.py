"""A seeded generator of mazes of rooms, and of their images."""

from __future__ import annotations

import networkx as nx
import numpy as np
from scipy import ndimage

from examples.maze_planning.mazes import SIDE, Array, Mazes, demonstrate, distances, draw_source

ROOMS = (3, 4, 5)  # along a side
LOOPS = 0.15  # share of the walls between rooms that have a door although there is another way
# Mean colours, of which each maze has one of each, a little changed.
FLOORS = np.array([(196, 178, 140), (150, 150, 148), (172, 128, 88), (120, 150, 96)], dtype=np.float32)
WALLS = np.array([(126, 62, 50), (70, 74, 84), (40, 66, 44), (84, 60, 100)], dtype=np.float32)


def generate(count: int, seed: int | tuple[int, ...]) -> Mazes:
    """`count` mazes with a start, a target and a path each; the first mazes of a seed are the same for any count."""
    seeds = seed if isinstance(seed, tuple) else (seed,)
    images, walls, ends = [], [], []
    for number in range(count):
        rng = np.random.default_rng((number, *seeds))
        maze = draw_walls(rng)
        target = int(rng.choice(np.flatnonzero(~maze)))
        ends.append((draw_source(distances(maze, target), rng), target))
        walls.append(maze)
        images.append(paint(maze, rng))
    source, target_cells = np.array(ends, dtype=np.int64).T.copy()
    return demonstrate(np.stack(images), np.stack(walls), source, target_cells, np.random.default_rng(seeds))


def draw_walls(rng: np.random.Generator) -> Array:
    """The walls of a maze, (32, 32) bool: rooms, and doors along a random spanning tree and some more."""
    rooms = int(rng.choice(ROOMS))
    rows, columns = _lines(rooms, rng), _lines(rooms, rng)
    walls = np.zeros((SIDE, SIDE), dtype=bool)
    walls[rows[1:-1]] = True
    walls[:, columns[1:-1]] = True
    grid = nx.grid_2d_graph(rooms, rooms)
    for edge in grid.edges:
        grid.edges[edge]["weight"] = rng.random()
    doors = set(nx.minimum_spanning_edges(grid, data=False))
    doors |= {edge for edge in grid.edges if rng.random() < LOOPS}
    for (row, column), (other_row, _) in sorted(doors):
        if row == other_row:  # through the wall on the right of the first room
            walls[_door(rows[row], rows[row + 1], rng), columns[column + 1]] = False
        else:
            walls[rows[row + 1], _door(columns[column], columns[column + 1], rng)] = False
    return walls


def _lines(rooms: int, rng: np.random.Generator) -> Array:
    """Where walls are, with the borders, which are outside: increasing, from -1 to 32; rooms have 3 cells or more."""
    spare = SIDE - (rooms - 1) - 3 * rooms
    sizes = 3 + rng.multinomial(spare, np.full(rooms, 1 / rooms))
    lines: Array = np.concatenate([[-1], np.cumsum(sizes + 1) - 1])
    return lines


def _door(start: int, end: int, rng: np.random.Generator) -> slice:
    """Some cells between two lines: half of the doors are as wide as the room."""
    if rng.random() < 0.5:
        return slice(start + 1, end)
    width = int(rng.integers(1, 3))
    first = int(rng.integers(start + 1, end - width + 1))
    return slice(first, first + width)


def paint(walls: Array, rng: np.random.Generator) -> Array:
    """An image of a maze, (32, 32) bool -> (32, 32, 3) uint8: colours and light of its own, and grain."""
    floor, wall = (rng.choice(colours) + rng.normal(0, 8, 3) for colours in (FLOORS, WALLS))
    pixels = np.where(walls[..., None], wall, floor)
    shade = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 6, mode="nearest")
    shade *= 0.12 / shade.std()
    grain = rng.normal(0, 9, pixels.shape)
    image: Array = ((1 + shade)[..., None] * pixels + grain).clip(0, 255).astype(np.uint8)
    return image
