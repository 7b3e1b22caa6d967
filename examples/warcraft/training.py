"""Training and evaluation of either network on Warcraft maps."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from tqdm import tqdm

from examples.common.checkpoints import Checkpoint
from examples.common.progress import progress_bar
from examples.warcraft.maps import Maps, cost_optimal, exact_match
from examples.warcraft.model import PlainModel, SolverModel

EVALUATION_BATCH = 100


@dataclass(frozen=True)
class Point:
    """A point of a learning curve.

    Attributes:
        epochs: passes over the training maps so far.
        seconds: spent on them, without evaluation.
        exact: share of maps whose predicted mask is the labelled path.
        optimal: share of maps whose predicted mask is a path as cheap as the labelled one.
        skipped: share of the solves since the last point, forward and backward, that were known without solving.
        solves: in training so far, forward and backward.
    """

    epochs: float
    seconds: float
    exact: float
    optimal: float
    skipped: float = math.nan
    solves: int = 0


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of epochs, or instead a time, so that two networks can have the same.

    Attributes:
        epochs: passes over the training maps.
        seconds: of training, in place of epochs; 0: by epochs.
    """

    epochs: int
    seconds: float = 0.0

    def share(self, epochs: float, seconds: float) -> float:
        """The share of the budget that is used up."""
        return seconds / self.seconds if self.seconds else epochs / self.epochs


def _steps(share: float) -> float:
    return 1.0 if share < 0.6 else 0.1 if share < 0.8 else 0.01


def _cycle(share: float) -> float:
    warm_up = 0.15
    return min(1.0, share / warm_up) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES = {"cycle": _cycle, "steps": _steps}
"""The learning rate, as a factor, by the share of the training that is done.

"steps" is the published one. In the few hundred steps of a short training, "cycle" (a warm-up, then a cosine) bears a
learning rate four times higher, and reaches more.
"""


class Training:
    """A model, its optimiser and how far it has come: what a resumed run needs to go on with the same numbers.

    Args:
        model: what is trained.
        device: where the network is.
        lr: learning rate of Adam, the largest of the schedule.
        schedule: one of `SCHEDULES`.
        batch_size: maps per step.
        seed: of the order of the maps.
        checkpoint: where the state is kept after each epoch, and from where it is taken up; None: nowhere.
    """

    def __init__(
        self,
        model: SolverModel | PlainModel,
        *,
        device: torch.device,
        lr: float,
        schedule: str,
        batch_size: int,
        seed: int,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.model = model.to(device)
        self.device = device
        self.lr, self.schedule = lr, SCHEDULES[schedule]
        self.batch_size = batch_size
        self.checkpoint = checkpoint
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        self.order = Generator().manual_seed(seed)
        self.history: list[Point] = []

    def fit(self, train: Maps, val: Maps | None, budget: Budget, *, title: str) -> None:
        """Trains until the budget is used up.

        Args:
            train: maps to learn from.
            val: maps to measure the learning curve on; None: it is not measured, and NaN.
            budget: in all, what was spent before a resume included.
            title: of the progress bar.

        Raises:
            ValueError: the checkpoint cannot be taken up.
        """
        if self.checkpoint and not self.history:
            saved = self.checkpoint.restore(self._parts())
            self.history = [Point(**point) for point in saved.get("history", [])]
        if not self.history:
            self.history.append(Point(0, 0, *self._curve(val)))
        with progress_bar(title, total=100) as bar:
            while budget.share(self.history[-1].epochs, self.history[-1].seconds) < 1:
                rows, known = self._solves()
                epochs, seconds = self._epoch(train, budget, bar)
                rows, known = self._solves()[0] - rows, self._solves()[1] - known
                skipped = known / rows if rows else math.nan
                solves = self.history[-1].solves + rows
                self.history.append(Point(epochs, seconds, *self._curve(val), skipped, solves))
                if self.checkpoint:
                    self.checkpoint.save(self._parts(), history=[asdict(point) for point in self.history])
            bar.update(100 - bar.n)

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "order": self.order,
        }  # the layer's noise is the model's

    def _epoch(self, train: Maps, budget: Budget, bar: tqdm[Any]) -> tuple[float, float]:
        """Trains for an epoch, or for what is left of the budget; returns epochs and seconds so far."""
        self.model.train()
        last, start = self.history[-1], time.perf_counter()
        epochs, seconds, seen = last.epochs, last.seconds, 0
        for rows in torch.randperm(len(train), generator=self.order).split(self.batch_size):
            share = budget.share(epochs, seconds)
            if share >= 1:
                break
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * self.schedule(share)
            paths = torch.from_numpy(train.paths[rows.numpy()]).to(self.device, torch.float32)
            loss = self.model.loss(self._input(train, rows), paths)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seen += len(rows)
            epochs = last.epochs + seen / len(train)
            seconds = last.seconds + time.perf_counter() - start
            bar.set_postfix_str(f"epoch {epochs:.1f}, loss {loss.item():.1f}, cost-optimal {last.optimal:.1%}")
            bar.update(int(100 * min(1.0, budget.share(epochs, seconds))) - bar.n)
        return epochs, seconds

    def _solves(self) -> tuple[int, int]:
        """Solves of both passes so far, and how many of them were known without solving."""
        if not isinstance(self.model, SolverModel):
            return 0, 0
        stats = self.model.layer.stats()
        return stats.instances, stats.counters["solves skipped as known"]

    @torch.no_grad()
    def predict(self, maps: Maps) -> Any:
        """Predicted masks, (N, k, k) uint8."""
        self.model.eval()
        masks = [self.model(self._input(maps, rows)) for rows in torch.arange(len(maps)).split(EVALUATION_BATCH)]
        return torch.cat(masks).to("cpu", torch.uint8).numpy()

    @torch.no_grad()
    def predict_costs(self, maps: Maps) -> Any:
        """Predicted costs, (N, k, k) float32, or None where the model predicts none."""
        if not isinstance(self.model, SolverModel):
            return None
        self.model.eval()
        return self.model.costs(self._input(maps, torch.arange(len(maps)))).cpu().numpy()

    def score(self, maps: Maps) -> tuple[float, float]:
        """The shares of maps with an exact match and with a cost-optimal path."""
        masks = self.predict(maps)
        return float(exact_match(masks, maps).mean()), float(cost_optimal(masks, maps).mean())

    def _curve(self, val: Maps | None) -> tuple[float, float]:
        return (math.nan, math.nan) if val is None else self.score(val)

    def _input(self, maps: Maps, rows: Tensor) -> Tensor:
        images = torch.from_numpy(maps.images[rows.numpy()]).to(self.device)  # NumPy takes a tensor of one for an int
        return images.permute(0, 3, 1, 2).float() / 255
