"""Training and evaluation of either network on Warcraft maps, in PyTorch."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Generator, Tensor
from tqdm import tqdm

from examples.common.checkpoints import Checkpoint
from examples.warcraft.learning import EVALUATION_BATCH, SCHEDULES, Budget, Learning, Point, show
from examples.warcraft.maps import Array, Maps
from examples.warcraft.model import PlainModel, SolverModel
from imle_solvers import Stats


class Training(Learning):
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

    def _restore(self) -> list[Point]:
        saved = self.checkpoint.restore(self._parts()) if self.checkpoint else {}
        return [Point(**point) for point in saved.get("history", [])]

    def _save(self) -> None:
        if self.checkpoint:
            self.checkpoint.save(self._parts(), history=[asdict(point) for point in self.history])

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "order": self.order,
        }  # the layer's noise is the model's

    def _epoch(self, train: Maps, budget: Budget, bar: tqdm[Any]) -> tuple[float, float]:
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
            show(bar, budget, epochs, seconds, f"loss {loss.item():.1f}, cost-optimal {last.optimal:.1%}")
        return epochs, seconds

    def stats(self) -> Stats | None:
        return self.model.layer.stats() if isinstance(self.model, SolverModel) else None

    def close(self) -> None:
        if isinstance(self.model, SolverModel):
            self.model.layer.close()

    @torch.no_grad()
    def predict(self, maps: Maps) -> Array:
        self.model.eval()
        masks = [self.model(self._input(maps, rows)) for rows in torch.arange(len(maps)).split(EVALUATION_BATCH)]
        predicted: Array = torch.cat(masks).to("cpu", torch.uint8).numpy()
        return predicted

    @torch.no_grad()
    def predict_costs(self, maps: Maps) -> Array | None:
        if not isinstance(self.model, SolverModel):
            return None
        self.model.eval()
        costs: Array = self.model.costs(self._input(maps, torch.arange(len(maps)))).cpu().numpy()
        return costs

    def _input(self, maps: Maps, rows: Tensor) -> Tensor:
        images = torch.from_numpy(maps.images[rows.numpy()]).to(self.device)  # NumPy takes a tensor of one for an int
        return images.permute(0, 3, 1, 2).float() / 255
