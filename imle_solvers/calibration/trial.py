"""What learning with a setting came to, and which of several trials is the best."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from imle_solvers.calibration.settings import Setting

_LEAST = 0.02
"""By how much of it the loss must have fallen, in the mean, so that something can be recommended."""


@dataclass(frozen=True)
class Trial:
    """What learning with a setting came to.

    Attributes:
        setting: what was tried.
        losses: of MAP states after each move, of the half of the batch that is judged.
        own_losses: the same of the half that is learned.
        figures: `layer.diagnostics()` of these moves.
    """

    setting: Setting
    losses: tuple[float, ...]
    own_losses: tuple[float, ...]
    figures: dict[str, float]

    @property
    def loss(self) -> float:
        """The mean over the second half of the losses, infinite where one is not finite: the less, the better."""
        return _late_mean(self.losses)

    @property
    def own_loss(self) -> float:
        """The same of the half that is learned."""
        return _late_mean(self.own_losses)


def _late_mean(losses: tuple[float, ...]) -> float:
    late = losses[len(losses) // 2 :]
    mean = math.fsum(late) / len(late)
    return mean if math.isfinite(mean) else math.inf


def best_of(before: float, trials: list[Trial], loss: Callable[[Trial], float]) -> Trial | None:
    """The trial of least loss; its neighbours on the grid count by half, since they are alike but for chance."""
    place = {trial.setting: _place(trial.setting, trials) for trial in trials}

    def smooth(trial: Trial) -> float:
        here = place[trial.setting]
        weights = [
            (0.5 ** (abs(row - here[0]) + abs(column - here[1])), loss(other))
            for other in trials
            for row, column in [place[other.setting]]
            if max(abs(row - here[0]), abs(column - here[1])) <= 1 and math.isfinite(loss(other))
        ]
        return math.fsum(w * value for w, value in weights) / math.fsum(w for w, _ in weights)

    falls = [trial for trial in trials if before - loss(trial) > _LEAST * abs(before)]
    return min(falls, key=smooth, default=None)


def _place(setting: Setting, trials: list[Trial]) -> tuple[int, int]:
    """Where a setting is on the grid, in the order of temperatures and of betas."""
    temperatures = sorted({trial.setting.temperature or 0.0 for trial in trials})
    betas = sorted({trial.setting.beta or 0.0 for trial in trials})
    return temperatures.index(setting.temperature or 0.0), betas.index(setting.beta or 0.0)
