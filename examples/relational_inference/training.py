"""Training by the evidence lower bound, and how well interactions are found."""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from examples.common.checkpoints import Checkpoint
from examples.common.progress import progress_bar
from examples.relational_inference.latents import Relaxed, Solved, make_latent
from examples.relational_inference.model import Decoder, Encoder
from examples.relational_inference.particles import ALONE


class Systems(NamedTuple):
    """N systems, as tensors.

    Attributes:
        tracks: (N, T, n, D), from -1 to 1.
        influence: (N, n, n) zeros and ones, [i, j] one where j acts on i.
    """

    tracks: Tensor
    influence: Tensor


class Model(nn.Module):
    """Encoder, latent interactions and decoder.

    Args:
        systems: whose sizes it is for.
        method: one of `latents.METHODS`.
        directed: whether interactions are.
        options: `hidden`, `ahead`, `variance`, `step`.
    """

    def __init__(self, systems: Systems, method: str, directed: bool, options: argparse.Namespace) -> None:
        super().__init__()
        _, steps, nodes, size = systems.tracks.shape
        self.encoder, self.decoder = (
            Encoder(steps * size, options.hidden),
            Decoder(size, options.hidden, options.data not in ALONE),
        )
        self.latent: Solved | Relaxed = make_latent(method, nodes, directed=directed, step=options.step)
        self.ahead, self.variance = options.ahead, options.variance

    def bound(self, tracks: Tensor, scores: Tensor, influence: Tensor) -> Tensor:
        """(B,) the evidence lower bound of each system, over its particles, without the normal density's constant."""
        wrong = (self.decoder(tracks, influence, self.ahead) - tracks[:, 1:]).square().sum((1, 2, 3))
        bound: Tensor = -(wrong / (2 * self.variance) + self.latent.divergence(scores)) / tracks.shape[2]
        return bound


class Score(NamedTuple):
    """Of held-out systems: the bound, and shares of pairs, by one sample each; precision also by the MAP state."""

    elbo: float
    accuracy: float
    precision: float
    recall: float
    map_precision: float


def evaluate(model: Model, systems: Systems) -> Score:
    """Scores a model. Precision and recall are means over systems, as published."""
    model.eval()
    bounds, shares = [], []
    with torch.no_grad():
        for rows in torch.arange(len(systems.tracks)).split(250):
            tracks, truth = systems.tracks[rows], systems.influence[rows]
            scores = model.encoder(tracks)
            drawn = model.latent(scores)
            bounds.append(model.bound(tracks, scores, drawn))
            shares.append(
                torch.stack([*edge_shares(drawn, truth), edge_shares(model.latent.mode(scores), truth)[1]], 1)
            )
    means = torch.cat(shares).double().mean(0).tolist()
    return Score(torch.cat(bounds).double().mean().item(), *means)


def edge_shares(found: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) accuracy, precision and recall over ordered pairs of particles, of (B, n, n) zeros and ones.

    The precision of a system where nothing is found is 0.
    """
    nodes = truth.shape[1]
    right = (found * truth).sum((1, 2))
    wrong = (found - truth).abs().sum((1, 2))
    return (
        1 - wrong / (nodes * (nodes - 1)),
        right / found.sum((1, 2)).clamp(min=1),
        right / truth.sum((1, 2)).clamp(min=1),
    )


def train(
    model: Model,
    learned_from: Systems,
    held_out: Systems,
    title: str,
    options: argparse.Namespace,
    checkpoint: Checkpoint,
) -> tuple[list[Score], float]:
    """Trains, and returns the scores before and after each epoch, and the seconds that it took."""
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    batches = -(-len(learned_from.tracks) // options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, total_steps=options.epochs * batches, pct_start=0.1
    )
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    restored = checkpoint.restore(parts)
    scores = [Score(*score) for score in restored.get("scores", [])] or [evaluate(model, held_out)]
    seconds = float(restored.get("seconds", 0.0))
    with progress_bar(title, total=options.epochs * batches) as bar:
        bar.update((len(scores) - 1) * batches)
        while len(scores) <= options.epochs:
            start = time.perf_counter()
            model.train()
            for rows in torch.randperm(len(learned_from.tracks)).split(options.batch_size):
                tracks = learned_from.tracks[rows]
                scored = model.encoder(tracks)
                # The sum, not the mean: lambda is then the same for any batch.
                loss = -model.bound(tracks, scored, model.latent(scored)).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
            seconds += time.perf_counter() - start
            scores.append(evaluate(model, held_out))
            checkpoint.save(parts, scores=[list(score) for score in scores], seconds=seconds)
            bar.set_postfix_str(f"ELBO {scores[-1].elbo:.1f}, precision {scores[-1].precision:.1%}")
    return scores, seconds
