"""How codes are drawn from scores, and differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from examples.common.methods import make_estimator
from examples.discrete_vae.model import COLUMNS, divergence
from imle_adapters import TopKAdapter
from imle_solvers import IMLE, Estimator, Gumbel, SolverLayer, SumOfGamma, Target

RELAXED = "gumbel-softmax"
"""The method that trains on relaxed codes, which are not of 0 and 1."""

RANDOM = "random"
"""The baseline that trains on codes that say nothing of the image."""

METHODS = ("imle", "aimle", "aimle-central", "ste", RELAXED)

Noise = Literal["sog", "gumbel"]


@dataclass(frozen=True)
class Settings:
    """Of codes and of the methods that differentiate them.

    Attributes:
        k: how many columns are chosen in each row.
        samples: codes for each image.
        noise: Sum-of-Gamma for k, or Gumbel.
        temperature: of that noise, in units of the scores.
        beta: lambda of I-MLE; dL/dz is that of the mean over the images of a step.
        aimle: further arguments of `AIMLE`.
        hot, cold: temperatures of `gumbel-softmax`, at the start and at the end.
    """

    k: int
    samples: int
    noise: Noise
    temperature: float
    beta: float
    aimle: Mapping[str, float]
    hot: float
    cold: float


class Codes(nn.Module):
    """Draws codes, `samples` for each image.

    Args:
        method: one of `METHODS`, or `RANDOM`.
        settings: of it.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(self, method: str, settings: Settings) -> None:
        super().__init__()
        self.method, self.settings = method, settings
        self.layer = SolverLayer(TopKAdapter(COLUMNS, settings.k), estimator=_estimator(method, settings))

    @property
    def averaging(self) -> bool:
        """Whether the gradient is a mean over samples, so that each sample should have its loss whole."""
        return self.method in ("imle", "aimle", "aimle-central")

    def divergence(self, scores: Tensor) -> Tensor:
        """Of the codes of each image from the prior, (B, rows, columns) -> (B,), see `model.divergence`."""
        return scores.new_zeros(len(scores)) if self.method == RANDOM else divergence(scores)

    def draw(self, scores: Tensor) -> Tensor:
        """Codes of 0 and 1, (B, rows, columns) -> (B, S, rows, columns). Each row is an instance of the layer."""
        rows = scores.flatten(0, 1)
        if self.method == RANDOM:
            rows = torch.zeros_like(rows)
        codes: Tensor = self.layer.sample(rows, self.settings.samples).unflatten(0, scores.shape[:2])
        return codes.transpose(1, 2)

    def draw_to_train(self, scores: Tensor, progress: float) -> Tensor:
        """The same to train on, which `gumbel-softmax` relaxes: less so as progress goes from 0 to 1."""
        if self.method != RELAXED:
            return self.draw(scores)
        settings = self.settings
        temperature = settings.hot * (settings.cold / settings.hot) ** progress
        shape = (len(scores), settings.samples, *scores.shape[1:])
        noise = -scores.new_empty(shape).exponential_().log()
        return relaxed_top_k(scores.unsqueeze(1) + noise, settings.k, temperature)


def relaxed_top_k(scores: Tensor, k: int, temperature: float) -> Tensor:
    """The sum of k softmaxes, each without what those before it have taken: (..., n) -> (..., n), which sums to k.

    Xie and Ermon, IJCAI 2019, arXiv 1901.10517; for k = 1 and scores with Gumbel noise it is the Gumbel-softmax of
    Jang, Gu and Poole, ICLR 2017, arXiv 1611.01144.
    """
    chosen = torch.zeros_like(scores)
    taken = torch.zeros_like(scores)
    for _ in range(k):
        scores = scores + torch.log((1 - taken).clamp(min=torch.finfo(scores.dtype).tiny))
        taken = torch.softmax(scores / temperature, -1)
        chosen = chosen + taken
    return chosen


def uniform_codes(count: int, rows: int, k: int) -> Tensor:
    """Codes of the prior, (count, rows, COLUMNS): each choice of k columns in a row is as likely as the others."""
    chosen = torch.rand(count, rows, COLUMNS).topk(k).indices
    return torch.zeros(count, rows, COLUMNS).scatter_(-1, chosen, 1.0)


def _estimator(method: str, settings: Settings) -> Estimator:
    noise = Gumbel() if settings.noise == "gumbel" else SumOfGamma("auto")
    if method in (RELAXED, RANDOM):  # draws, which nothing differentiates
        return IMLE(Gumbel(), input_noise_temperature=1.0)
    if method == "imle":
        # Divided by lambda, its gradient is one of the loss, and has the right weight beside that of the divergence.
        return IMLE(
            noise,
            Target(beta=settings.beta),
            input_noise_temperature=settings.temperature,
            scale_gradient=True,
        )
    return make_estimator(
        method,
        noise=noise,
        temperature=settings.temperature,
        aimle=dict(settings.aimle),
    )
