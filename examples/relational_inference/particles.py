"""Particles that move as a hidden tree of interactions has them move: generators of trees and of motions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_adapters import MaxSpanningTreeAdapter

Array = NDArray[np.float64]

SPRING, BOX, SPEED, SPREAD, EVERY, SUBSTEPS = 0.1, 5.0, 0.5, 0.5, 0.5, 50


class Motions(NamedTuple):
    """N systems of n particles.

    Attributes:
        tracks: (N, T, n, D) float32, positions (and velocities) of each particle over T steps.
        influence: (N, n, n) bool, [i, j] true where j acts on i.
    """

    tracks: NDArray[np.float32]
    influence: NDArray[np.bool_]


def random_trees(count: int, nodes: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(count, nodes, nodes) symmetric adjacency of spanning trees of greatest score, for scores from Gumbel(0, 1).

    The prior of Paulus et al. (Gradient estimation with stochastic softmax tricks, NeurIPS 2020, section 6).
    """
    tails, heads = np.triu_indices(nodes, 1)
    adapter = MaxSpanningTreeAdapter.from_edges(list(zip(tails.tolist(), heads.tolist(), strict=True)))
    scores = rng.gumbel(size=(count, len(tails)))
    chosen = adapter.solve_batch(adapter.build(), scores, {}).values.astype(bool)
    trees = np.zeros((count, nodes, nodes), dtype=bool)
    trees[:, tails, heads] = trees[:, heads, tails] = chosen
    return trees


def directed_from(trees: NDArray[np.bool_], roots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, n, n) of symmetric trees (N, n, n) what leads away from the roots (N,): [i, j] true where j is i's parent."""
    nodes = trees.shape[1]
    parents = np.zeros_like(trees)
    reached = np.arange(nodes) == roots[:, None]
    for _ in range(nodes - 1):
        new = trees & reached[:, None, :] & ~reached[:, :, None]
        parents |= new
        reached |= new.any(axis=2)
    return parents


def layout_motions(trees: NDArray[np.bool_], steps: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Drawing each tree by forces: Fruchterman and Reingold (Software: Practice and Experience 21, 1991).

    Nodes repel each other by k^2 / d, those with an edge attract each other by d^2 / k, with k = n^(-1/2) and d their
    distance. A node goes where the sum of forces has it go, as far as that is long, but no further than a temperature:
    a tenth of the picture's extent at first, which falls linearly. The first places are standard normal. As in the data
    of Paulus et al. (2020).

    Args:
        trees: (N, n, n).
        steps: T.
        rng: of the first places.

    Returns:
        (N, T, n, 2).
    """
    count, nodes, _ = trees.shape
    k = nodes**-0.5
    place = rng.normal(size=(count, nodes, 2))
    hottest = 0.1 * np.ptp(place, axis=1).max(axis=1)[:, None, None]
    tracks = [place]
    for step in range(1, steps):
        apart = place[:, :, None] - place[:, None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 0.01)
        force = np.einsum("nij,nijd->nid", k**2 / distance**2 - trees * distance / k, apart)
        length = np.maximum(np.linalg.norm(force, axis=-1, keepdims=True), 0.01)
        place = place + force / length * np.minimum(length, hottest * (1 - step / (steps + 1)))
        tracks.append(place)
    return np.stack(tracks, 1).astype(np.float32)


def spring_motions(influence: NDArray[np.bool_], steps: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Particles in a box, each pulled by the springs of those that act on it: Kipf et al. (ICML 2018, section 5.1).

    The force is 0.1 times the distance, the box has walls 5 from its middle, which reflect; first places are normal
    with standard deviation 0.5, speeds 0.5. Integrated by leapfrog in steps of 0.01, and seen every 0.5, five times
    as rarely as there, since there are 10 or 20 steps here and 49 there.

    Args:
        influence: (N, n, n), [i, j] true where j pulls i.
        steps: T.
        rng: of first places and velocities.

    Returns:
        (N, T, n, 4), positions and velocities.
    """
    count, nodes, _ = influence.shape
    place = rng.normal(scale=SPREAD, size=(count, nodes, 2))
    speed = rng.normal(size=(count, nodes, 2))
    speed *= SPEED / np.linalg.norm(speed, axis=-1, keepdims=True)
    pull = SPRING * (influence - influence.sum(axis=2)[:, :, None] * np.eye(nodes))  # minus a Laplacian
    small = EVERY / SUBSTEPS
    tracks = [np.concatenate([place, speed], axis=-1)]
    for _ in range(steps - 1):
        for _ in range(SUBSTEPS):
            speed = speed + small / 2 * (pull @ place)
            place = place + small * speed
            outside = np.abs(place) > BOX
            place = np.where(outside, np.sign(place) * 2 * BOX - place, place)
            speed = np.where(outside, -speed, speed)
            speed = speed + small / 2 * (pull @ place)
        tracks.append(np.concatenate([place, speed], axis=-1))
    return np.stack(tracks, 1).astype(np.float32)


def generate(kind: str, count: int, steps: int, rng: np.random.Generator, nodes: int = 10) -> Motions:
    """Systems of one of `KINDS`."""
    trees = random_trees(count, nodes, rng)
    if kind == "layout":
        return Motions(layout_motions(trees, steps, rng), trees)
    if kind == "leaders":
        trees = directed_from(trees, rng.integers(nodes, size=count))
    return Motions(spring_motions(trees, steps, rng), trees)


ALONE = ("springs", "leaders")
"""Kinds in which pairs without an edge do not interact."""

KINDS = ("layout", "springs", "leaders")
"""Graph layout; springs between the nodes of a tree; the same, felt by the child, not by the parent."""
