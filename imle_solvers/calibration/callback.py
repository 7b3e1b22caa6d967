"""Calibration in the course of training, in a loop of one's own or by Lightning."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch.distributed

from imle_solvers.calibration.result import Calibration
from imle_solvers.layer import SolverLayer


class CalibrationCallback:
    """Calibrates before some steps of a training, and sets the layer's estimator to what is recommended.

        callback = CalibrationCallback(
            layer, lambda model, batch: calibrate(layer, model(batch[0]), lambda z: loss(z, batch[1])), steps=(0, 1000)
        )
        for step, batch in enumerate(loader):
            callback(step, model, batch)
            ...

    With Lightning: `Trainer(callbacks=[callback.lightning()])`, where the model is the module, and checkpoints hold
    what was found. Elsewhere, save `callback.state_dict()` with the training's state: a step and temperatures are no
    part of the layer's. Of processes of `torch.distributed`, all of which have to call it, each calibrates on its
    batch, and all take what rank 0 finds.

    Args:
        layer: whose estimator is set.
        run: makes a `Calibration` from the model and a batch.
        steps: before which it runs, counted from 0.

    Attributes:
        calibrations: by step, what was found.
    """

    def __init__(
        self, layer: SolverLayer, run: Callable[[Any, Any], Calibration], steps: Iterable[int] | int = (0,)
    ) -> None:
        if not isinstance(layer, SolverLayer):
            raise TypeError(f"layer: expected a SolverLayer, got {layer!r}")
        self.layer = layer
        self.run = run
        self.steps: frozenset[int] = frozenset([steps] if isinstance(steps, int) else steps)
        self.calibrations: dict[int, Calibration] = {}

    def __call__(self, step: int, model: Any, batch: Any) -> Calibration | None:
        """Calibrates and applies, if it is time to, and it has not been done yet.

        Raises:
            TypeError: `run` returned no `Calibration`.
        """
        if step not in self.steps or step in self.calibrations:
            return None
        calibration = self.run(model, batch)
        if not isinstance(calibration, Calibration):
            raise TypeError(f"run: expected what calibrate() returns, got {calibration!r}")
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            calibration.agree()
        calibration.apply(self.layer)
        self.calibrations[step] = calibration
        return calibration

    def state_dict(self) -> dict[str, Any]:
        """What was found, in numbers, strings, lists and dicts of them."""
        return {"calibrations": {step: found.state_dict() for step, found in self.calibrations.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what was found, and sets the layer's estimator to the last of it."""
        found = {
            int(step): Calibration.from_state_dict(each, self.layer) for step, each in state["calibrations"].items()
        }
        self.calibrations = dict(sorted(found.items()))
        for calibration in self.calibrations.values():
            if calibration.best is not None:
                calibration.apply(self.layer)

    def lightning(self) -> Any:
        """The same as a callback of Lightning, `lightning.pytorch` where that is imported, else `pytorch_lightning`.

        Raises:
            ImportError: neither is installed.
        """
        name = "lightning.pytorch" if "lightning.pytorch" in sys.modules else "pytorch_lightning"
        base: Any = importlib.import_module(name).Callback
        calibrate_at = self

        class Calibrate(base):  # type: ignore[misc]
            def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
                calibrate_at(trainer.global_step, module, batch)

            def state_dict(self) -> dict[str, Any]:
                return calibrate_at.state_dict()

            def load_state_dict(self, state: dict[str, Any]) -> None:
                calibrate_at.load_state_dict(state)

        return Calibrate()
