"""Choosing k words by their scores, in ways that can be learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from examples.common import methods
from imle_adapters import TopKAdapter
from imle_solvers import Gumbel, Relative, ScoreFunctionLoss, SolverLayer, SumOfGamma

RELAXED = ("l2x", "softsub")
"""Relaxations: words are chosen in part while the networks learn, and wholly afterwards."""

SUPERVISED = "supervised"
"""Scores are taught by people's highlights in the texts to learn from: a bound for those who never see any."""

METHODS = (
    "imle",
    "aimle",
    "aimle-central",
    *RELAXED,
    "ste",
    "score",
    "identity",
    "perturbed",
    "blackbox",
    SUPERVISED,
)

NOISES: dict[str, Callable[[], Any]] = {
    "auto": lambda: "auto",
    "sog": lambda: SumOfGamma(k="auto", terms=10),
    "gumbel": Gumbel,
}
SCORE_SAMPLES = 10


class Chooser(nn.Module):
    """Chooses, from scores of words, k words of each text.

    Args:
        method: one of `METHODS`.
        length: of the longest text, L.
        samples: choices a text in training.
        beta: lambda of I-MLE; None: in units of theta, as of `IMLE`.
        temperature, target_temperature: of the noise; None: in units of theta.
        noise: a name in `NOISES`.
        relaxation: temperature of the methods in `RELAXED`.
        aimle: further arguments of `AIMLE`.
        seed: of the noise.
    """

    def __init__(
        self,
        method: str,
        length: int,
        *,
        samples: int,
        beta: float | None,
        temperature: float | None,
        target_temperature: float | None,
        noise: str,
        relaxation: float,
        aimle: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.method, self.length, self.samples, self.relaxation = method, length, samples, relaxation
        estimator = methods.make_estimator(
            "imle" if method in (*RELAXED, SUPERVISED) else method,
            beta=Relative(2.0) if beta is None else beta,
            temperature=Relative(0.5) if temperature is None else temperature,
            target_temperature=target_temperature,
            noise=NOISES[noise](),
            aimle=aimle,
        )
        self.layer = SolverLayer(
            TopKAdapter(length, min(length, 1)),  # the context says how many, text by text
            estimator=estimator,
            num_samples=samples,
            generator=Generator().manual_seed(seed),
        )

    def best(self, theta: Tensor, mask: Tensor, k: Tensor) -> Tensor:
        """The k words of highest score, (B, W) scores and mask, (B,) numbers -> (B, W) of zeros and ones."""
        chosen: Tensor = self.layer.map(self._pad(theta), mask=self._pad(mask), k=k)[:, : theta.shape[1]]
        return chosen

    def forward(self, theta: Tensor, mask: Tensor, k: Tensor) -> Tensor:
        """Choices to learn from, (B, W), (B, W), (B,) -> (B, S, W), of shares of words where the method relaxes."""
        if self.method in RELAXED:
            relaxed = gumbel_softmax if self.method == "l2x" else soft_subset
            scores = theta.masked_fill(~mask, torch.finfo(theta.dtype).min / 8)
            return torch.stack([relaxed(scores, k, self.relaxation) for _ in range(self.samples)], 1)
        chosen: Tensor = self.layer(self._pad(theta), mask=self._pad(mask), k=k)[..., : theta.shape[1]]
        return chosen

    def score_function_loss(self, theta: Tensor, mask: Tensor, k: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Zero, whose gradient in theta is the score function's; `loss` from (B, S, W) choices to (B, S)."""
        expected = ScoreFunctionLoss(
            self.layer, lambda chosen: loss(chosen[..., : theta.shape[1]]), max(SCORE_SAMPLES, self.samples)
        )(self._pad(theta), mask=self._pad(mask), k=k)
        return expected - expected.detach()

    def _pad(self, values: Tensor) -> Tensor:
        return functional.pad(values, (0, self.length - values.shape[1]))


def gumbel_softmax(scores: Tensor, k: Tensor, temperature: float) -> Tensor:
    """L2X (Chen et al., ICML 2018, eq. 5): the largest share that a word has in k relaxed draws with replacement.

    (B, W), (B,) -> (B, W).
    """
    most = int(k.max())
    uniform = torch.rand(len(scores), most, scores.shape[1], dtype=scores.dtype, device=scores.device)
    noise = -torch.log(-torch.log(uniform.clamp(1e-7, 1 - 1e-7)))
    draws = torch.softmax((scores.unsqueeze(1) + noise) / temperature, -1)
    drawn = torch.arange(most, device=k.device) < k.unsqueeze(1)
    return (draws * drawn.unsqueeze(-1)).amax(1)


def soft_subset(scores: Tensor, k: Tensor, temperature: float) -> Tensor:
    """SoftSub (Xie and Ermon, IJCAI 2019, algorithm 2): k relaxed draws without replacement, after Gumbel noise.

    (B, W), (B,) -> (B, W).
    """
    uniform = torch.rand_like(scores).clamp(1e-7, 1 - 1e-7)
    keys = scores - torch.log(-torch.log(uniform))
    share, total = torch.zeros_like(scores), torch.zeros_like(scores)
    for draw in range(int(k.max())):
        keys = keys + torch.log((1 - share).clamp_min(1e-12))
        share = torch.softmax(keys / temperature, -1)
        total = total + share * (draw < k).unsqueeze(1)
    return total
