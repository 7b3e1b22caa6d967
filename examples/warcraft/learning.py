"""What trainings of all front ends share: how long they take, the learning rate, the learning curve, the metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from examples.common.progress import progress_bar
from examples.warcraft.maps import Array, Maps, cost_optimal, exact_match
from imle_solvers import Stats

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


class Learning(ABC):
    """A network, and a solver if it has one, that are trained; each front end has its own.

    Attributes:
        history: the learning curve so far; its first point is before the training.
    """

    history: list[Point]

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
        if not self.history:
            self.history = self._restore() or [Point(0, 0, *self._curve(val))]
        with progress_bar(title, total=100) as bar:
            while budget.share(self.history[-1].epochs, self.history[-1].seconds) < 1:
                rows, known = self._solves()
                epochs, seconds = self._epoch(train, budget, bar)
                rows, known = self._solves()[0] - rows, self._solves()[1] - known
                skipped = known / rows if rows else math.nan
                solves = self.history[-1].solves + rows
                self.history.append(Point(epochs, seconds, *self._curve(val), skipped, solves))
                self._save()
            bar.update(100 - bar.n)

    def score(self, maps: Maps) -> tuple[float, float]:
        """The shares of maps with an exact match and with a cost-optimal path."""
        masks = self.predict(maps)
        return float(exact_match(masks, maps).mean()), float(cost_optimal(masks, maps).mean())

    @abstractmethod
    def predict(self, maps: Maps) -> Array:
        """Predicted masks, (N, k, k) uint8."""

    @abstractmethod
    def predict_costs(self, maps: Maps) -> Array | None:
        """Predicted costs, (N, k, k) float32, or None where the model predicts none."""

    @abstractmethod
    def stats(self) -> Stats | None:
        """What the solver has done, or None where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Ends the solver's workers."""

    @abstractmethod
    def _epoch(self, train: Maps, budget: Budget, bar: tqdm[Any]) -> tuple[float, float]:
        """Trains for an epoch, or for what is left of the budget; returns epochs and seconds so far."""

    def _restore(self) -> list[Point]:
        """Takes up an earlier training, and returns its history; empty where there is none."""
        return []

    def _save(self) -> None:  # noqa: B027 - not all front ends do
        """Keeps what `_restore` takes up."""

    def _solves(self) -> tuple[int, int]:
        """Solves of both passes so far, and how many of them were known without solving."""
        stats = self.stats()
        return (stats.instances, stats.counters["solves skipped as known"]) if stats else (0, 0)

    def _curve(self, val: Maps | None) -> tuple[float, float]:
        return (math.nan, math.nan) if val is None else self.score(val)


def show(bar: tqdm[Any], budget: Budget, epochs: float, seconds: float, text: str) -> None:
    """Sets a progress bar to the share of the budget that is used up."""
    bar.set_postfix_str(f"epoch {epochs:.1f}, {text}")
    bar.update(int(100 * min(1.0, budget.share(epochs, seconds))) - bar.n)
