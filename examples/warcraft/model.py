"""Networks for the Warcraft maps: one that predicts costs and leaves the path to a solver, one that predicts paths."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from examples.common.methods import PASSING_ON, make_estimator, make_loss
from examples.warcraft.resnet import resnet18
from imle_adapters import ShortestPathAdapter
from imle_solvers import Executor, SolverLayer, SumOfGamma


def hamming(predicted: Tensor, paths: Tensor) -> Tensor:
    """The number of tiles in which soft or hard masks and paths differ, (B, k, k) twice -> (B,).

    The loss is its mean. As in the paper, lambda acts on the gradient of this mean: the target's costs are lambda / B
    lower on the label, and higher on the predicted path. With lambda 20 and batches of 70, that is 0.29.
    """
    return (predicted * (1 - paths) + (1 - predicted) * paths).sum((1, 2))


def squared(predicted: Tensor, paths: Tensor) -> Tensor:
    """The same number as `hamming` for masks of 0 and 1, but with a gradient that is zero where the mask is right."""
    return (predicted - paths).square().sum((1, 2))


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
            estimator=make_estimator(
                method,
                noise=SumOfGamma(k="auto"),
                beta=beta,
                temperature=temperature,
                # Some hundred steps are too few to find beta from 0 with the published eta of 1e-4.
                aimle={"initial_beta": 0.5, "step": 1e-3, "target_norm": 6.0},
                density_temperature=10 * temperature,
                projection="norm",  # paths differ in length, so that their mean means something
            ),
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
        distance = squared if self.method in PASSING_ON else hamming
        loss = make_loss(self.method, self.layer, distance, samples=self.samples)
        return loss(self.costs(images), paths)


PLAIN = "none"
"""In place of a method: a plain network without a layer."""


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
        return hamming(torch.sigmoid(self.logits(images)), paths).mean()
