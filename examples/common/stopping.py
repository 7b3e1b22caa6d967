"""Early stopping."""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import nn


class EarlyStopping:
    """Keeps the best weights so far, and says when to stop: `patience` epochs after the last improvement.

    A part of a checkpoint, by `state_dict` and `load_state_dict`:

        stopping = EarlyStopping(options.patience)
        ...
        stopping.update(validation_loss, model)     # after each epoch; `stopping.stop` ends the training
        ...
        stopping.restore(model)                     # the best weights

    Args:
        patience: epochs without improvement after which to stop; None: never.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.best = math.inf
        self.waited = 0
        self._weights: dict[str, Any] = {}

    @property
    def stop(self) -> bool:
        """Whether there was no improvement for so long that training should end."""
        return self.patience is not None and self.waited >= self.patience

    def update(self, loss: float, model: nn.Module) -> None:
        """Takes note of an epoch: its validation loss, less is better, and NaN no improvement."""
        if loss < self.best:
            self.best, self.waited, self._weights = loss, 0, copy.deepcopy(model.state_dict())
        else:
            self.waited += 1

    def restore(self, model: nn.Module) -> None:
        """Gives the model its best weights, if there were any."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"best": self.best, "waited": self.waited, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave."""
        self.best, self.waited, self._weights = state["best"], state["waited"], state["weights"]
