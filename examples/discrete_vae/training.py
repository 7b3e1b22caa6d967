"""Training, and what a network is worth on images that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from examples.common.checkpoints import Checkpoint
from examples.common.progress import progress_bar
from examples.discrete_vae.codes import Codes
from examples.discrete_vae.data import Images
from examples.discrete_vae.model import DiscreteVAE, reconstruction_loss

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Point:
    """A point of a learning curve.

    Attributes:
        steps: of training so far.
        reconstruction: cross-entropy of held-out images, in nats an image, the mean over samples.
        divergence: of their codes.
    """

    steps: int
    reconstruction: float
    divergence: float

    @property
    def nelbo(self) -> float:
        """The negative evidence lower bound, in nats an image."""
        return self.reconstruction + self.divergence


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        lr: learning rate of Adam.
        kl_weight: of the divergence in the loss; 1: the N-ELBO is what is trained.
        device: of the network.
    """

    epochs: int
    batch_size: int
    lr: float
    kl_weight: float
    device: str


class Training(nn.Module):
    """A network, its codes, and how far they have come.

    Args:
        network: what is trained.
        codes: how its codes are drawn.
        plan: of the training.
    """

    def __init__(self, network: DiscreteVAE, codes: Codes, plan: Plan) -> None:
        super().__init__()
        self.network, self.codes, self.plan = network, codes, plan
        self.to(plan.device)
        self.optimizer = torch.optim.Adam(network.parameters(), plan.lr)
        self.history: list[Point] = []

    def fit(self, images: Images, checkpoint: Checkpoint, title: str) -> None:
        """Trains, from the checkpoint on if there is one; measures before the first epoch and after each."""
        parts: dict[str, Any] = {"network": self.network, "codes": self.codes, "optimizer": self.optimizer}
        self.history = [Point(**point) for point in checkpoint.restore(parts).get("history", [])]
        groups = -(-len(images.train) // self.plan.batch_size)
        with progress_bar(title, total=self.plan.epochs * groups) as bar:
            bar.update(max(0, len(self.history) - 1) * groups)
            while len(self.history) <= self.plan.epochs:
                if self.history:
                    self._epoch(images, bar.update)
                self.history.append(self.evaluate(images))
                bar.set_postfix_str(f"N-ELBO {self.history[-1].nelbo:.1f}")
                checkpoint.save(parts, history=[asdict(point) for point in self.history])

    def loss(self, batch: Tensor, progress: float) -> Tensor:
        """What training minimises, (B, pixels) -> (), at this share of the training."""
        scores = self.network.encode(batch)
        losses = reconstruction_loss(self.network.decode(self.codes.draw_to_train(scores, progress)), batch)
        of_samples = losses.sum(1) if self.codes.averaging else losses.mean(1)
        return (of_samples + self.plan.kl_weight * self.codes.divergence(scores)).mean()

    def _epoch(self, images: Images, on_step: Callable[[], object]) -> None:
        epoch = len(self.history) - 1
        groups = torch.randperm(len(images.train)).split(self.plan.batch_size)
        for index, rows in enumerate(groups):
            progress = (epoch + index / len(groups)) / self.plan.epochs
            loss = self.loss(images.batch(images.train[rows], self.plan.device), progress)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            on_step()

    @torch.no_grad()
    def evaluate(self, images: Images) -> Point:
        """Measures on the held-out images, with codes of 0 and 1 that are drawn as in training."""
        totals = torch.zeros(2, dtype=torch.float64)
        for rows in images.test.split(EVALUATION_BATCH):
            batch = images.batch(rows, self.plan.device)
            scores = self.network.encode(batch)
            losses = reconstruction_loss(self.network.decode(self.codes.draw(scores)), batch)
            totals += torch.stack([losses.mean(1).sum(), self.codes.divergence(scores).sum()]).cpu()
        steps = len(self.history) * -(-len(images.train) // self.plan.batch_size)
        return Point(steps, *(totals / len(images.test)).tolist())

    @torch.no_grad()
    def reconstruct(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """A code for each image, (B, rows, columns), and what it is decoded to, (B, pixels) from 0 to 1."""
        codes = self.codes.draw(self.network.encode(batch))[:, 0]
        return codes, self.decode(codes)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Images of codes, (B, rows, columns) -> (B, pixels) from 0 to 1."""
        return torch.sigmoid(self.network.decode(codes))
