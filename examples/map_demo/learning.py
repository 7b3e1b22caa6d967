"""Learns a map from one path over it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from examples.common.checkpoints import Checkpoint
from examples.common.methods import make_estimator, make_loss
from examples.common.progress import progress_bar
from examples.map_demo.maps import cheapest, hamming
from examples.map_demo.sampling import NOISE
from examples.map_demo.settings import Setting, settings_of
from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer, SumOfGamma


@dataclass(frozen=True)
class Learned:
    """A map that was learned in one setting.

    Attributes:
        setting: temperatures and samples.
        wrong: of the cheapest path of the map, without noise, how many cells are not as on the gold path: before the
            first step and after each.
        shown: T steps, see `shown_steps`.
        costs: (T, H, W), the map at these.
    """

    setting: Setting
    wrong: list[int]
    shown: list[int]
    costs: Tensor

    @property
    def steps(self) -> float:
        """After how many steps the path was the gold one for the first time; NaN: it never was."""
        return float(self.wrong.index(0)) if 0 in self.wrong else math.nan


def shown_steps(steps: int, most: int) -> list[int]:
    """The steps that are shown of a training, from 0 to the last; closer at first, when most happens."""
    shares = np.linspace(0, 1, min(most, steps + 1)) ** 2
    return [int(step) for step in np.unique(np.rint(steps * shares).astype(int))]


def first_map(shape: Sequence[int], seed: int) -> Tensor:
    """The random map that a training starts from: (1, H, W), costs uniform from 0.5 to 1.5."""
    return torch.rand(1, *shape, generator=Generator().manual_seed(seed)) + 0.5


def learn(
    method: str,
    seed: int,
    adapter: ShortestPathAdapter,
    gold: Tensor,
    options: argparse.Namespace,
    checkpoint: Checkpoint,
) -> list[Learned]:
    """Learns the map in all settings that the method tells apart.

    Args:
        method: one of `examples.common.methods.METHODS`.
        seed: of the first map and the noise.
        adapter: of paths.
        gold: (H, W), the one path that is known.
        options: of the command line.
        checkpoint: keeps what was learned after each setting.
    """
    saved = checkpoint.restore({}).get("learned", [])
    learned = [Learned(Setting(*setting), wrong, shown, costs.cpu()) for setting, wrong, shown, costs in saved]
    settings = settings_of(method, options.temperatures, options.samples)
    with progress_bar(f"learning, {method}, seed {seed}", total=len(settings)) as bar:
        bar.update(len(learned))
        for setting in settings[len(learned) :]:
            learned.append(_learn(method, seed, setting, adapter, gold, options))
            state = [[list(each.setting), each.wrong, each.shown, each.costs] for each in learned]
            checkpoint.save({}, learned=state)
            bar.update()
            reached = sum(not math.isnan(each.steps) for each in learned)
            bar.set_postfix_str(f"{reached} of {len(learned)} settings reach the gold path")
    return learned


def _learn(
    method: str, seed: int, setting: Setting, adapter: ShortestPathAdapter, gold: Tensor, options: argparse.Namespace
) -> Learned:
    assert adapter.num_ones is not None  # a grid's is 1.3 times its side
    estimator = make_estimator(
        method,
        beta=options.beta,
        temperature=setting.input,
        target_temperature=setting.target,
        noise=NOISE,
        density_temperature=setting.input * SumOfGamma(k=adapter.num_ones, terms=NOISE.terms).std,  # normal, as wide
        density_samples=1,  # each of the layer's samples is one draw
    )
    layer = SolverLayer(adapter, estimator=estimator, num_workers=0, generator=Generator().manual_seed(seed))
    costs = torch.nn.Parameter(first_map(gold.shape, seed).to(options.device))
    target = gold.unsqueeze(0).to(options.device)
    loss = make_loss(method, layer, hamming, samples=setting.samples, score_samples=setting.samples)
    optimizer = torch.optim.Adam([costs], lr=options.lr)
    maps = [costs.detach().cpu().clone()]
    for _ in range(options.steps):
        optimizer.zero_grad()
        loss(costs, target).backward()
        optimizer.step()
        with torch.no_grad():
            costs.clamp_(min=0.0)  # costs below zero would all be alike to the solver, and some never come back
        maps.append(costs.detach().cpu().clone())
    every = torch.cat(maps)
    wrong = hamming(cheapest(adapter, every), gold).int().tolist()
    shown = shown_steps(options.steps, options.frames)
    return Learned(setting, wrong, shown, every[shown])
