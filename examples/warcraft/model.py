"""Networks for the Warcraft maps: one that predicts costs and leaves the path to a solver, one that predicts paths."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from imle_adapters import ShortestPathAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    Estimator,
    Executor,
    FenchelYoungLoss,
    Identity,
    Normal,
    PerturbedOptimizer,
    SolverLayer,
    StraightThrough,
    SumOfGamma,
    Target,
)


class ResidualBlock(nn.Module):
    """The basic block of ResNet18 (He et al., CVPR 2016): (B, C, H, W) -> (B, C', H/stride, W/stride)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.body(features) + self.shortcut(features), inplace=True)


def resnet18(stages: int) -> nn.Sequential:
    """The first `stages` of ResNet18's four: (B, 3, H, W) -> (B, 64 * 2^(stages-1), H / 2^(stages+1), ...)."""
    network = nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    channels = 64
    for stage in range(stages):
        width = 64 * 2**stage
        network.append(ResidualBlock(channels, width, stride=1 if stage == 0 else 2))
        network.append(ResidualBlock(width, width, stride=1))
        channels = width
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def hamming(predicted: Tensor, paths: Tensor) -> Tensor:
    """The number of tiles in which soft or hard masks and paths differ, averaged over the batch: (B, k, k) twice -> ().

    As in the paper, lambda acts on the gradient of this mean: the target's costs are lambda / B lower on the label, and
    higher on the predicted path. With lambda 20 and batches of 70, that is 0.29.
    """
    return (predicted * (1 - paths) + (1 - predicted) * paths).sum((1, 2)).mean()


def squared(predicted: Tensor, paths: Tensor) -> Tensor:
    """The same number as `hamming` for masks of 0 and 1, but with a gradient that is zero where the mask is right."""
    return (predicted - paths).square().sum((1, 2)).mean()


METHODS = ("imle", "aimle", "aimle-central", "blackbox", "identity", "ste", "perturbed", "fenchel-young")
"""Ways to differentiate the layer; they share the network, the maps, the noise and the number of wrong tiles as loss.

All but "fenchel-young", whose loss compares costs with paths.
"""

SQUARED = ("aimle-central", "identity", "ste", "perturbed")
"""Methods that never come to rest with a gradient that is not zero where the path is right.

They hand it on as it is, or step along it both ways. The others step away from it, and find the same path again.
"""


def make_estimator(method: str, *, beta: float, temperature: float) -> Estimator:
    """The estimator of a method.

    Args:
        method: one of `METHODS`.
        beta: lambda of I-MLE and of the blackbox method; the others have none, or adapt it.
        temperature: of the noise, in units of cost.
    """
    noise = SumOfGamma(k="auto")
    if method == "blackbox":
        return Blackbox(beta)
    if method == "identity":
        return Identity("norm")  # paths differ in length, so that their mean means something
    if method == "ste":
        return StraightThrough(noise, noise_temperature=temperature)
    if method.startswith("aimle"):
        # Some hundred steps are too few to find beta from 0 with the published eta of 1e-4.
        return AIMLE(
            noise,
            symmetric=method == "aimle-central",
            initial_beta=0.5,
            step=1e-3,
            target_norm=6.0,
            input_noise_temperature=temperature,
            target_noise_temperature=temperature,
        )
    if method == "perturbed":
        return PerturbedOptimizer(Normal(), sigma=10 * temperature, num_marginal_samples=10)
    if method == "fenchel-young":
        return IMLE(Normal(), input_noise_temperature=10 * temperature)
    return IMLE(noise, Target(beta=beta), input_noise_temperature=temperature, target_noise_temperature=temperature)


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
