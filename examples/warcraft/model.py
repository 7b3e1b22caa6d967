"""Networks for the Warcraft maps: one that predicts costs and leaves the path to a solver, one that predicts paths."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from examples.warcraft.methods import make_estimator
from examples.warcraft.resnet import resnet18
from imle_adapters import ShortestPathAdapter
from imle_solvers import Executor, FenchelYoungLoss, SolverLayer

SQUARED = ("aimle-central", "identity", "ste", "perturbed")
"""Methods that never come to rest with a gradient that is not zero where the path is right.

They hand it on as it is, or step along it both ways. The others step away from it, and find the same path again.
"""


def hamming(predicted: Tensor, paths: Tensor) -> Tensor:
    """The number of tiles in which soft or hard masks and paths differ, averaged over the batch: (B, k, k) twice -> ().

    As in the paper, lambda acts on the gradient of this mean: the target's costs are lambda / B lower on the label, and
    higher on the predicted path. With lambda 20 and batches of 70, that is 0.29.
    """
    return (predicted * (1 - paths) + (1 - predicted) * paths).sum((1, 2)).mean()


def squared(predicted: Tensor, paths: Tensor) -> Tensor:
    """The same number as `hamming` for masks of 0 and 1, but with a gradient that is zero where the mask is right."""
    return (predicted - paths).square().sum((1, 2)).mean()


class SolverModel(nn.Module):
    """The front of ResNet18 predicts costs of tiles; the layer finds the cheapest path and teaches the network.

    Args:
        size: tiles along a side, k.
        method: one of `METHODS`.
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
            estimator=make_estimator(method, beta=beta, temperature=temperature),
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
        if self.method == "fenchel-young":
            loss: Tensor = FenchelYoungLoss(self.layer, self.samples)(self.costs(images), paths)
            return loss
        # The mean of samples hands the gradient to each of them unscaled, so that lambda means the same for any number.
        distance = squared if self.method in SQUARED else hamming
        return distance(self.layer.marginals(self.costs(images), self.samples), paths)


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
        return hamming(torch.sigmoid(self.logits(images)), paths)
