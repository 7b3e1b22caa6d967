"""Networks for the Warcraft maps: one that predicts costs and leaves the path to a solver, one that predicts paths."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from examples.common.methods import make_loss
from examples.warcraft.methods import differences, estimator, hamming
from examples.warcraft.resnet import resnet18
from imle_adapters import ShortestPathAdapter
from imle_solvers import Executor, SolverLayer


class SolverModel(nn.Module):
    """The front of ResNet18 predicts costs of tiles; the layer finds the cheapest path and teaches the network.

    Args:
        size: tiles along a side, k.
        method: one of `examples.common.methods.METHODS`.
        samples: perturbed paths per map in training.
        beta: lambda of I-MLE.
        temperature: of the noise, in units of cost.
        workers: threads that solve; None: one for each CPU.
        executor: solves in place of threads; None: none.
        seed: of the noise.
    """

    def __init__(
        self,
        size: int,
        *,
        method: str = "imle",
        samples: int,
        beta: float,
        temperature: float,
        workers: int | None,
        executor: Executor | None = None,
        seed: int,
    ) -> None:
        super().__init__()
        self.size, self.method, self.samples = size, method, samples
        self.front = resnet18(stages=1)
        self.layer = SolverLayer(
            ShortestPathAdapter.grid(size, size),
            estimator=estimator(method, beta=beta, temperature=temperature),
            executor=executor,
            num_workers=workers if executor is None else None,
            generator=Generator().manual_seed(seed),
        )

    def costs(self, images: Tensor) -> Tensor:
        """Costs of tiles, (B, 3, 8k, 8k) -> (B, k, k)."""
        # Features come out of a ReLU, so that their mean is a cost, never below zero, without more ado.
        return functional.adaptive_max_pool2d(self.front(images), self.size).mean(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Cheapest paths by the predicted costs, (B, 3, 8k, 8k) -> (B, k, k)."""
        paths: Tensor = self.layer(self.costs(images))
        return paths

    def loss(self, images: Tensor, paths: Tensor) -> Tensor:
        """What training minimises, (B, 3, 8k, 8k), (B, k, k) -> ()."""
        apart = differences(self.method)
        loss = make_loss(self.method, self.layer, lambda *masks: apart(*masks).sum((1, 2)), samples=self.samples)
        return loss(self.costs(images), paths)


class PlainModel(nn.Module):
    """A whole ResNet18 that predicts, for each tile, whether the path touches it. Knows nothing of paths."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.network = resnet18(stages=4)
        self.head = nn.Linear(512, size * size)

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, 8k, 8k) -> (B, k, k)."""
        features = functional.adaptive_avg_pool2d(self.network(images), 1).flatten(1)
        logits: Tensor = self.head(features).view(-1, self.size, self.size)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Tiles more likely on the path than not, (B, 3, 8k, 8k) -> (B, k, k) of 0 and 1. They need not be a path."""
        return (self.logits(images) > 0).to(images.dtype)

    def loss(self, images: Tensor, paths: Tensor) -> Tensor:
        distance: Tensor = hamming(torch.sigmoid(self.logits(images)), paths).sum((1, 2)).mean()
        return distance
