"""The systems to learn from and to be judged by, as `--data` says."""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import torch

from examples.relational_inference.files import read_motions
from examples.relational_inference.particles import KINDS, Motions, generate
from examples.relational_inference.training import Systems


class Data(NamedTuple):
    """Systems in units of their whole range.

    Attributes:
        train, test: systems.
        directed: whether some particle acts on another one that does not act on it.
    """

    train: Systems
    test: Systems
    directed: bool


def load(options: argparse.Namespace, seed: int) -> Data:
    """Generates systems, or reads them from a file, of which a tenth, the last ones, are held out.

    Tracks are scaled to -1 to 1, by the range of those to learn from, all numbers of a kind (positions, velocities)
    alike, as published.

    Raises:
        ValueError: see `read_motions`.
    """
    if options.data in KINDS:
        rng = np.random.default_rng(seed)
        motions = generate(options.data, options.systems + options.test, options.steps, rng, options.nodes)
        count = options.systems
    else:
        motions = read_motions(options.data)
        count = len(motions.tracks) - max(1, len(motions.tracks) // 10)
    systems = _scaled(motions, count, options.device)
    directed = bool((motions.influence != motions.influence.transpose(0, 2, 1)).any())
    return Data(Systems(*(part[:count] for part in systems)), Systems(*(part[count:] for part in systems)), directed)


def _scaled(motions: Motions, count: int, device: str) -> Systems:
    tracks = torch.from_numpy(motions.tracks)
    kinds = tracks.split(2, dim=-1)
    scaled = []
    for kind in kinds:
        low, high = kind[:count].amin(), kind[:count].amax()
        scaled.append((kind - low) * 2 / (high - low).clamp(min=1e-12) - 1)
    return Systems(torch.cat(scaled, -1).to(device), torch.from_numpy(motions.influence).float().to(device))
