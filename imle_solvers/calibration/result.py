"""What a calibration found: trials, their table and picture, and the setting that it recommends."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed

from imle_solvers.calibration.settings import Setting, Units, apply_setting, described
from imle_solvers.estimators import Estimator
from imle_solvers.viz.matrices import plot_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_FIGURES = {
    "nonzero_entries": "entries",
    "nonzero_instances": "instances",
    "unchanged_targets": "unchanged",
    "noise_changed": "noise changed",
    "agreement": "agreement",
}
"""Those of `layer.diagnostics()` that the table has, and how it calls them."""


@dataclass(frozen=True)
class Trial:
    """What learning with a setting came to.

    Attributes:
        setting: what was tried.
        losses: of MAP states on the batch, after each move.
        figures: `layer.diagnostics()` of these moves.
    """

    setting: Setting
    losses: tuple[float, ...]
    figures: dict[str, float]

    @property
    def loss(self) -> float:
        """The mean of the losses after each move, infinite where one is not finite: the less, the better."""
        mean = math.fsum(self.losses) / len(self.losses)
        return mean if math.isfinite(mean) else math.inf


class Calibration:
    """All trials of a calibration. Printed, it is a table; `rich.print` has it in colours.

    Attributes:
        before: the loss of MAP states on the batch before any move.
        trials: a trial for each setting of the grid, in its order.
        best: the trial whose losses are least in the mean; None: none is below `before`.
    """

    def __init__(self, before: float, trials: list[Trial], estimator: Estimator, units: Units) -> None:
        self.before: float = before
        self.trials: list[Trial] = trials
        least = min(trials, key=lambda trial: trial.loss)
        self.best: Trial | None = least if least.loss < before else None
        self._estimator, self._units = estimator, units

    @property
    def estimator(self) -> Estimator:
        """A copy of the layer's estimator with the settings of `best`, or as it is where there is none."""
        with torch.inference_mode(False):
            estimator = copy.deepcopy(self._estimator)
        if self.best is not None:
            apply_setting(estimator, self.best.setting, self._units)
        return estimator

    def agree(self) -> None:
        """Takes what rank 0 of `torch.distributed` has found, trials and units; all its processes have to call it."""
        found: list[Any] = [self.before, self.trials, self.best and self.trials.index(self.best), self._units]
        torch.distributed.broadcast_object_list(found, src=0)
        self.before, self.trials, index, units = found
        self.best = None if index is None else self.trials[index]
        self._units = replace(units, spread=units.spread.to(self._units.spread))

    def apply(self) -> None:
        """Sets the estimator of the layer to `best`; without one it stays as it is, with a warning."""
        if self.best is None:
            warnings.warn(self._summary(), RuntimeWarning, stacklevel=2)
        else:
            apply_setting(self._estimator, self.best.setting, self._units)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws the loss of each setting, and marks the best one. Needs the extra `plot`.

        Args:
            axes: where to draw; None: in a figure of its own, `axes.figure`.

        Returns:
            The axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        betas = list(dict.fromkeys(trial.setting.beta for trial in self.trials))
        temperatures = list(dict.fromkeys(trial.setting.temperature for trial in self.trials))
        shape = len(temperatures), len(betas)
        losses = np.array([trial.loss for trial in self.trials]).reshape(shape)
        chosen = np.array([trial is self.best for trial in self.trials]).reshape(shape)
        label = f"loss, mean after 1 to {len(self.trials[0].losses)} moves (before: {self.before:.4g})"
        axes = plot_matrix(
            losses, chosen, rows="temperature, of theta's spread", columns="beta, of theta's length",
            hidden=~np.isfinite(losses), label=label, title="calibration", axes=axes,
        )  # fmt: skip
        axes.set_xticks(range(shape[1]), ["none" if beta is None else f"{beta:g}" for beta in betas])
        axes.set_yticks(range(shape[0]), ["none" if each is None else f"{each:g}" for each in temperatures])
        return axes

    def _summary(self) -> str:
        if self.best is None:
            return (
                f"calibrate: no setting brings the loss below {self.before:.4g}, which it has without any: the batch "
                "is solved already, or theta says too little about it; give another or a larger batch, or another grid"
            )
        drop = _share(self.before - self.best.loss, self.before)
        return f"recommended: {described(self.estimator)}, which lowers the loss by {drop} in the mean"

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        names = [name for name in _FIGURES if any(name in trial.figures for trial in self.trials)]
        rows = []
        for trial in self.trials:
            last = trial.losses[-1]
            rows.append(
                [
                    *("-" if each is None else f"{each:g}" for each in (trial.setting.beta, trial.setting.temperature)),
                    _share(self.before - trial.loss, self.before),
                    _share(self.before - last, self.before),
                    *(f"{trial.figures[name]:.2f}" if name in trial.figures else "" for name in names),
                    "best" if trial is self.best else "",
                ]
            )
        return ["beta", "temperature", "decrease", "at last", *(_FIGURES[name] for name in names), ""], rows

    def __str__(self) -> str:
        head, rows = self._rows()
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
        return "\n".join([*(line.rstrip() for line in lines), self._summary()])

    __repr__ = __str__

    def __rich__(self) -> Table:
        from rich.table import Table

        head, rows = self._rows()
        table = Table(title=f"calibration: loss {self.before:.4g} before", caption=self._summary())
        for name in head:
            table.add_column(name, justify="right")
        for row, trial in zip(rows, self.trials, strict=True):
            table.add_row(*row, style="bold green" if trial is self.best else None)
        return table


def _share(part: float, whole: float) -> str:
    if not math.isfinite(part):
        return "-"
    return f"{part / abs(whole):.1%}" if whole else f"{part:.3g}"
