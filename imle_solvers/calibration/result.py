"""What a calibration found, as a table and a picture, and applied."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed

from imle_solvers.calibration.settings import Setting, Units, apply_setting, described
from imle_solvers.calibration.trial import Trial, best_of
from imle_solvers.estimators import Estimator
from imle_solvers.layer import SolverLayer
from imle_solvers.solving.clamping import stacklevel
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
    "clamped_costs": "clamped",
}
"""Those of `layer.diagnostics()` that the table has, and how it calls them."""


class Calibration:
    """All trials of a calibration. Printed, it is a table; `rich.print` has it in colours.

    Columns: the setting; by which share of it the loss has fallen, in the mean over the second half of the moves, of
    the half of the batch that is judged, and of that which is learned, where the other half counts as before;
    `layer.diagnostics()` of the moves: the share of entries and of instances with a gradient, of targets that equal
    their sample, of samples that noise changed, the agreement of samples, the share of clamped costs.

    Attributes:
        before: the loss of MAP states on the batch before any move.
        trials: a trial for each setting of the grid, in its order.
        best: the trial that is recommended; None: none lowers the loss of either half by as much as 2 %.
        others: whether it is the loss of the half that is judged which it lowers, and not that of the other alone.
    """

    def __init__(self, before: float, trials: list[Trial], layer: SolverLayer, units: Units) -> None:
        self._layer: SolverLayer | None = layer
        self._found(before, trials, units)

    def _found(self, before: float, trials: list[Trial], units: Units) -> None:
        self.before: float = before
        self.trials: list[Trial] = trials
        by_others = best_of(before, trials, lambda trial: trial.loss)
        self.others: bool = by_others is not None
        self.best: Trial | None = by_others or best_of(before, trials, lambda trial: trial.own_loss)
        self._units = units
        if self._layer is not None:  # else they were found before, by the layer that a pickled copy has lost
            self._words = described(self.estimator_of(self._layer))

    def estimator_of(self, layer: SolverLayer) -> Estimator:
        """A copy of a layer's estimator with the settings of `best`, or as it is where there is none."""
        with torch.inference_mode(False):
            estimator = copy.deepcopy(layer.estimator)
        if self.best is not None:
            apply_setting(estimator, self.best.setting, self._units)
        return estimator

    def apply(self, layer: SolverLayer | None = None) -> None:
        """Sets a layer's estimator to `best`; without one it stays as it is, with a warning.

        A step and temperatures are arguments, and no part of a `state_dict`: whoever loads one makes the estimator
        with the same, as the printed recommendation has them, or applies this calibration, which can be pickled.

        Args:
            layer: the layer; None: the one that was calibrated.

        Raises:
            ValueError: none is given, and this is a copy that was pickled, which has none.
            TypeError: the layer's estimator has not what was calibrated.
        """
        layer = layer or self._layer
        if layer is None:
            raise ValueError("apply: expected a layer, since this calibration was pickled without its own; pass it")
        if self.best is None:
            warnings.warn(f"calibrate: {self._summary()}", RuntimeWarning, stacklevel=stacklevel())
        else:
            apply_setting(layer.estimator, self.best.setting, self._units)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layer": None}

    def agree(self) -> None:
        """Takes what rank 0 of `torch.distributed` has found, trials and units; all its processes have to call it."""
        found: list[Any] = [self.before, self.trials, self._units]
        torch.distributed.broadcast_object_list(found, src=0)
        self._found(*found)

    def state_dict(self) -> dict[str, Any]:
        """All that was found, in numbers, strings, lists and dicts of them."""
        return {"before": self.before, "trials": [asdict(trial) for trial in self.trials], "units": asdict(self._units)}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], layer: SolverLayer) -> Calibration:
        """What was found for a layer like this one."""
        trials = [
            Trial(Setting(**each["setting"]), tuple(each["losses"]), tuple(each["own_losses"]), dict(each["figures"]))
            for each in state["trials"]
        ]
        return cls(state["before"], trials, layer, Units(**state["units"]))

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
        losses = np.array([trial.loss if self.others else trial.own_loss for trial in self.trials]).reshape(shape)
        chosen = np.array([trial is self.best for trial in self.trials]).reshape(shape)
        label = f"loss, mean after the later moves (before: {self.before:.4g})"
        axes = plot_matrix(
            losses, chosen, rows="temperature, of theta's spread", columns="beta, of theta's length",
            hidden=~np.isfinite(losses), label=label, title="calibration", axes=axes,
        )  # fmt: skip
        axes.set_xticks(range(shape[1]), ["none" if beta is None else f"{beta:g}" for beta in betas])
        axes.set_yticks(range(shape[0]), ["none" if each is None else f"{each:g}" for each in temperatures])
        return axes

    def _summary(self) -> str:
        if self.best is not None:
            drop = _share(self.before - (self.best.loss if self.others else self.best.own_loss), self.before)
            alone = "" if self.others else ", but that of instances it did not learn from does not: take a larger batch"
            return f"recommended: {self._words}, by which the loss falls by {drop}{alone}"
        if not any(math.isfinite(trial.loss) for trial in self.trials):
            return "nothing is recommended, since the loss is not finite after a move with any setting; check loss_fn"
        return (
            f"nothing is recommended, since no setting lowers the loss of {self.before:.4g} by 2 %, not even of what "
            "is learned: the batch is solved already, or solutions do not follow theta, as check_adapter tells"
        )

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        names = [name for name in _FIGURES if any(name in trial.figures for trial in self.trials)]
        if not any(trial.figures.get("clamped_costs") for trial in self.trials):
            names = [name for name in names if name != "clamped_costs"]
        rows = [
            [
                *("-" if each is None else f"{each:g}" for each in (trial.setting.beta, trial.setting.temperature)),
                _share(self.before - trial.loss, self.before),
                _share(self.before - trial.own_loss, self.before),
                *(f"{trial.figures[name]:.2f}" if name in trial.figures else "" for name in names),
                "best" if trial is self.best else "",
            ]
            for trial in self.trials
        ]
        return ["beta", "temperature", "falls by", "own by", *(_FIGURES[name] for name in names), ""], rows

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
            table.add_column(name, justify="right", no_wrap=True)
        for row, trial in zip(rows, self.trials, strict=True):
            table.add_row(*row, style="bold green" if trial is self.best else None)
        return table


def _share(part: float, whole: float) -> str:
    if not math.isfinite(part):
        return "-"
    return f"{part / abs(whole):.1%}" if whole else f"{part:.3g}"
