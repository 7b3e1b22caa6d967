"""Training on mazes."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Generator

from examples.common.checkpoints import Checkpoint
from examples.common.progress import progress_bar
from examples.maze_planning.mazes import Mazes, optimal
from examples.maze_planning.model import Model, predict

WARM_UP = 0.1  # share of the steps


def train(
    model: Model,
    mazes: Mazes,
    validation: Mazes,
    options: argparse.Namespace,
    seed: int,
    checkpoint: Checkpoint,
    title: str,
) -> tuple[list[float], float]:
    """Trains on mazes; returns the shares of optimal paths before and after each epoch, and the seconds of training."""
    batches = math.ceil(len(mazes) / options.batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cycle(options.epochs * batches))
    order = Generator().manual_seed(seed)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "order": order}
    values = checkpoint.restore(parts)
    curve: list[float] = values.get("curve") or [_score(model, validation)]
    seconds: float = values.get("seconds", 0.0)
    with progress_bar(title, total=options.epochs * batches) as bar:
        bar.update((len(curve) - 1) * batches)
        while len(curve) <= options.epochs:
            model.train()
            start = time.perf_counter()
            for rows in torch.randperm(len(mazes), generator=order).split(options.batch_size):
                loss = model.loss(mazes[rows.numpy()])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
            seconds += time.perf_counter() - start
            curve.append(_score(model, validation))
            bar.set_postfix_str(f"optimal {curve[-1]:.1%}")
            checkpoint.save(parts, curve=curve, seconds=seconds)
    return curve, seconds


def _score(model: Model, mazes: Mazes) -> float:
    return float(optimal(predict(model, mazes)[0], mazes).mean())


def _cycle(steps: int) -> Callable[[int], float]:
    """The learning rate as a factor: a warm-up, then a cosine."""

    def factor(step: int) -> float:
        share = step / steps
        return min(1.0, (share + 1 / steps) / WARM_UP) * (1 + math.cos(math.pi * min(1.0, share))) / 2

    return factor
