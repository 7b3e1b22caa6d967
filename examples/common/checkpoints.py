"""Checkpoints: all that a training needs to go on with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from examples.common.files import write_whole

Settings = Mapping[str, Any]


class Checkpoint:
    """Where one training keeps its state, and from where it takes it up. `Run.checkpoint` makes it.

        parts = {"model": model, "optimizer": optimizer, "order": generator, "stopping": stopping}
        history = checkpoint.restore(parts).get("history", [])      # {} where the training is new
        while len(history) < options.epochs and not stopping.stop:
            ...
            checkpoint.save(parts, history=history)                 # after each epoch

    Parts have `state_dict` and `load_state_dict`, or are random generators; what else is saved are numbers, strings,
    tensors, and lists and dicts of them. The state of torch's own random generators is a part always, so that nothing
    that is drawn after a save differs in a resumed run.

    Args:
        file: of this training.
        settings: what decides the numbers of the run; files of others are refused.
        resume: whether to take up what is in the file.
        device: of the training.
    """

    def __init__(self, file: Path, settings: Settings, *, resume: bool, device: str = "cpu") -> None:
        self.file, self.settings, self.resume, self.device = file, settings, resume, torch.device(device)

    def check(self) -> bool:
        """Whether there is something to take up.

        Raises:
            ValueError: the file is not a checkpoint, or of other settings.
        """
        return self.resume and self.file.is_file() and self._load() is not None

    def save(self, parts: Mapping[str, Any], **values: Any) -> None:
        """Writes parts and values, whole or not at all."""
        state = {
            "settings": dict(self.settings),
            "parts": {name: _state_of(part) for name, part in parts.items()},
            "values": values,
            "random": torch.get_rng_state(),
            "random on device": self._on_device(),
        }
        write_whole(self.file, lambda path: torch.save(state, path))

    def restore(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Puts parts in the state of the file and returns its values; for a new training nothing, and {}.

        Raises:
            ValueError: the file is not a checkpoint, or of other settings.
        """
        if not (self.resume and self.file.is_file()):
            return {}
        state = self._load()
        for name, part in parts.items():
            saved = state["parts"][name]
            if isinstance(part, Generator):
                part.set_state(saved.cpu())
            else:
                part.load_state_dict(saved)
        torch.set_rng_state(state["random"].cpu())
        if self.device.type == "cuda" and state["random on device"] is not None:
            torch.cuda.set_rng_state(state["random on device"].cpu(), self.device)
        values: dict[str, Any] = state["values"]
        return values

    def _on_device(self) -> Any:
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None

    def _load(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(self.file, weights_only=True, map_location=self.device)
            saved = state["settings"]
            if not {"parts", "values", "random"} <= state.keys():
                raise KeyError("parts")
        except Exception as error:  # torch raises many kinds, and none says which file
            raise ValueError(f"{self.file} is not a checkpoint of this program; remove it") from error
        check_settings(self.file, saved, self.settings)
        return state


def check_settings(file: Path, saved: Settings, here: Settings) -> None:
    """Compares the settings of a file with those of this run.

    Raises:
        ValueError: they differ; says in what.
    """
    names = [name for name in {**here, **saved} if saved.get(name) != here.get(name)]
    if names:
        there = ", ".join(f"{name} = {saved.get(name)}" for name in names)
        now = ", ".join(f"{name} = {here.get(name)}" for name in names)
        raise ValueError(f"--resume: {file} was saved with {there}, this run has {now}; give the same options")


def _state_of(part: Any) -> Any:
    return part.get_state() if isinstance(part, Generator) else part.state_dict()
