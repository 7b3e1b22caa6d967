"""Networks for mazes: one that predicts costs and leaves the path to a solver, one that predicts paths."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from examples.common.methods import PASSING_ON, make_estimator, make_loss
from examples.maze_planning.mazes import SIDE, Array, Mazes
from examples.maze_planning.unet import UNet
from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer

PLAIN = "none"
"""In place of a method: a plain U-Net without a layer."""

CHANNELS = 5  # of an image, and a mark at either end
RANGE = 4.0  # logarithms of what a cell costs above 1 are within this of 0: a wall can cost 55 times what floor does


def hamming(predicted: Tensor, paths: Tensor) -> Tensor:
    """The number of cells in which soft or hard masks and paths differ, (B, 32, 32) twice -> (B,)."""
    return (predicted * (1 - paths) + (1 - predicted) * paths).sum((1, 2))


def squared(predicted: Tensor, paths: Tensor) -> Tensor:
    """The same number for masks of 0 and 1, but with a gradient that is zero where the mask is right."""
    return (predicted - paths).square().sum((1, 2))


def picture_of(mazes: Mazes, device: torch.device) -> Tensor:
    """What networks see of mazes, (B, 5, 32, 32): the image, and where the ends are."""
    images = torch.from_numpy(mazes.images).to(device).permute(0, 3, 1, 2).float() / 255
    ends = torch.zeros(len(mazes), 2, SIDE * SIDE)
    for channel, cells in enumerate((mazes.source, mazes.target)):
        ends[torch.arange(len(mazes)), channel, torch.from_numpy(cells)] = 1
    return torch.cat([images, ends.view(-1, 2, SIDE, SIDE).to(device)], dim=1)


class SolverModel(nn.Module):
    """A U-Net predicts costs of cells; the layer finds the cheapest path between the ends, and teaches the network.

    Args:
        method: one of `examples.common.methods.METHODS`.
        walls_known: whether the solver is told where walls are; otherwise all that it knows are the costs.
        samples: perturbed paths per maze in training.
        beta: lambda of I-MLE.
        temperature: of the noise, in units of cost.
        workers: threads that solve; None: one for each CPU.
        seed: of the noise.
    """

    def __init__(
        self,
        method: str,
        *,
        walls_known: bool,
        samples: int,
        beta: float,
        temperature: float,
        workers: int | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.walls_known = walls_known
        self.network = UNet(CHANNELS)
        self.layer = SolverLayer(
            ShortestPathAdapter.grid(SIDE, SIDE),
            estimator=make_estimator(
                method,
                beta=beta,
                temperature=temperature,
                # Some hundred steps are too few to find beta from 0 with the published eta of 1e-4.
                aimle={"initial_beta": 0.5, "step": 1e-3, "target_norm": 6.0},
                projection="norm",  # paths differ in length, so that their mean means something
            ),
            num_workers=workers,
            generator=Generator().manual_seed(seed),
        )
        distance = squared if method in PASSING_ON else hamming
        self.distance = make_loss(method, self.layer, distance, samples=samples)

    def costs(self, mazes: Mazes) -> Tensor:
        """Costs of cells, (B, 32, 32), above 1."""
        # Floor comes to cost little more than 1, so that cheap is short; from 0 on, detours would be almost for free.
        return 1 + (RANGE * torch.tanh((self.network(picture_of(mazes, self.device)) - 0.5) / RANGE)).exp()

    def context(self, mazes: Mazes) -> dict[str, Tensor]:
        """What the layer is told of each maze: ends and, if they are known, walls."""
        known = {"source": mazes.source, "target": mazes.target}
        if self.walls_known:
            known["blocked"] = mazes.walls
        return {name: torch.from_numpy(array).to(self.device) for name, array in known.items()}

    def forward(self, mazes: Mazes) -> Tensor:
        """Cheapest paths by the predicted costs, (B, 32, 32)."""
        paths: Tensor = self.layer(self.costs(mazes), **self.context(mazes))
        return paths

    def loss(self, mazes: Mazes) -> Tensor:
        """What training minimises, ()."""
        paths = torch.from_numpy(mazes.paths).to(self.device, torch.float32)
        return self.distance(self.costs(mazes), paths, **self.context(mazes))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.head.weight.device

    def close(self) -> None:
        """Ends the workers."""
        self.layer.close()


class PlainModel(nn.Module):
    """The same U-Net predicts, for each cell, whether the path touches it. Knows nothing of paths."""

    def __init__(self) -> None:
        super().__init__()
        self.network = UNet(CHANNELS)

    def logits(self, mazes: Mazes) -> Tensor:
        """(B, 32, 32)."""
        logits: Tensor = self.network(picture_of(mazes, self.network.head.weight.device))
        return logits

    def costs(self, mazes: Mazes) -> Tensor:
        """Costs for a search, above 1 as well: minus the logarithm of the probability that the path touches a cell."""
        return 1 + functional.softplus(-self.logits(mazes))

    def forward(self, mazes: Mazes) -> Tensor:
        """Cells more likely on the path than not, (B, 32, 32) of 0 and 1. They need not be a path."""
        return (self.logits(mazes) > 0).float()

    def loss(self, mazes: Mazes) -> Tensor:
        """Cross-entropy of all cells, ()."""
        logits = self.logits(mazes)
        return functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(mazes.paths).to(logits))

    def close(self) -> None:
        """There are no workers."""


Model = SolverModel | PlainModel


@torch.no_grad()
def predict(model: Model, mazes: Mazes, batch: int = 100) -> tuple[Array, Array]:
    """Masks, (N, 32, 32) uint8, and costs, (N, 32, 32) float64, in evaluation mode."""
    model.eval()
    parts = [mazes[start : start + batch] for start in range(0, len(mazes), batch)]
    masks = torch.cat([model(part).cpu() for part in parts]).to(torch.uint8)
    costs = torch.cat([model.costs(part).cpu() for part in parts]).double()
    return masks.numpy(), costs.numpy()
