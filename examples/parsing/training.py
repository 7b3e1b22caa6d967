"""Training of a parser."""

from __future__ import annotations

import argparse
import time

import torch

from examples.common.checkpoints import Checkpoint
from examples.common.progress import progress_bar
from examples.parsing.data import Data
from examples.parsing.evaluation import evaluate
from examples.parsing.losses import PLAIN, make_loss_of
from examples.parsing.model import Scorer
from examples.parsing.sentences import make_batch
from examples.parsing.trees import Trees


def train(
    scorer: Scorer,
    trees: Trees,
    method: str,
    data: Data,
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    title: str,
) -> tuple[list[dict[str, float]], float]:
    """Trains; returns the metrics on held-out sentences before and after each epoch, and the seconds of training."""
    loss_of = make_loss_of(method, trees, options.samples)
    optimizer = torch.optim.Adam(scorer.parameters(), lr=options.lr)
    batches = -(-len(data.train) // options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, total_steps=options.epochs * batches, pct_start=0.1
    )
    parts = {"scorer": scorer, "optimizer": optimizer, "schedule": schedule}
    if trees.estimator is not None:
        parts["estimator"] = trees.estimator
    values = checkpoint.restore(parts)
    curve: list[dict[str, float]] = values.get("curve") or [evaluate(scorer, data.batches, trees, cut=method == PLAIN)]
    seconds: float = values.get("seconds", 0.0)
    with progress_bar(title, total=options.epochs) as bar:
        bar.update(len(curve) - 1)
        while len(curve) <= options.epochs:
            start = time.perf_counter()
            scorer.train()
            for rows in torch.randperm(len(data.train)).split(options.batch_size):
                batch = make_batch([data.train[row] for row in rows.tolist()], data.vocabulary, options.device)
                loss = loss_of(scorer(batch), batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            seconds += time.perf_counter() - start
            curve.append(evaluate(scorer, data.batches, trees, cut=method == PLAIN))
            checkpoint.save(parts, curve=curve, seconds=seconds)
            bar.update()
            bar.set_postfix_str(f"attachment {curve[-1]['attachment']:.1%}")
    return curve, seconds
