"""The published figures of --preset aimle-paper."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from examples.common.results import Column, Published, Row
from examples.discrete_vae.data import Images
from examples.discrete_vae.options import PRESETS
from examples.discrete_vae.training import Point

SOURCE = "torch-adaptive-imle, README, Discrete Variational Auto-Encoders"

STEPS = {"loss_1": 600, "loss_2": 1200, "loss_3": 1800, "loss_100": 60_000}
"""The published test losses, by the steps after which they were measured: epochs 1, 2, 3 and 100 of 600 steps."""

LOSSES = {"loss_1": 79.85607, "loss_2": 72.88469, "loss_3": 70.79888, "loss_100": 60.20955}

_TRAIN, _TEST = 60_000, 10_000


def columns(options: argparse.Namespace, images: Images) -> dict[str, Column]:
    """Of the losses that a run with the preset comes to; none without."""
    last = options.epochs * -(-len(images.train) // options.batch_size)
    reached = {name: steps for name, steps in STEPS.items() if options.preset and steps <= last}
    return {name: Column(f"test loss, {steps} steps", ".1f") for name, steps in reached.items()}


def losses(history: Sequence[Point], samples: int) -> dict[str, float]:
    """Of this run, at the first measurement after each of `STEPS` that it came to.

    The published test loss is the sum over samples of the reconstructions', and the divergence once, by the number of
    samples: the divergence counts for a tenth.
    """
    reached = {}
    for name, steps in STEPS.items():
        if point := next((point for point in history if point.steps >= steps), None):
            reached[name] = point.reconstruction + point.divergence / samples
    return reached


def published(options: argparse.Namespace, images: Images, rows: Iterable[Row]) -> list[Published]:
    """The figures, and in what their set-up is another than this run's; none without the preset."""
    if options.preset is None:
        return []
    here = vars(options)
    wanted = {name: value for name, value in PRESETS[options.preset].items() if name not in ("methods", "epochs")}
    differing = [f"{name} {value} (here {here[name]})" for name, value in wanted.items() if here[name] != value]
    for count, name, found in ((_TRAIN, "training", images.train), (_TEST, "test", images.test)):
        if len(found) != count:
            differing.append(f"{count} {name} images (here {len(found)})")
    reached = {name for row in rows for name in row.metrics}
    figures = {name: loss for name, loss in LOSSES.items() if name in reached}
    return [Published("aimle-central", figures, SOURCE, ", ".join(differing))]
