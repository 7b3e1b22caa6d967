"""The network: an encoder, codes that are drawn, a decoder; and what they are judged by."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn
from torch.nn import functional

ROWS, COLUMNS = 20, 20
"""Of a code: in each row, some of the columns are chosen."""


class DiscreteVAE(nn.Module):
    """Encoder and decoder of three layers each, of the published widths (tf-imle, DVAE; torch-adaptive-imle).

    Args:
        pixels: of an image.
    """

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.encoder = _perceptron(pixels, 512, 256, ROWS * COLUMNS)
        self.decoder = _perceptron(ROWS * COLUMNS, 256, 512, pixels)

    def encode(self, images: Tensor) -> Tensor:
        """Scores of the code's entries, (B, pixels) -> (B, ROWS, COLUMNS)."""
        scores: Tensor = self.encoder(images)
        return scores.view(-1, ROWS, COLUMNS)

    def decode(self, codes: Tensor) -> Tensor:
        """Logits of white pixels, (..., ROWS, COLUMNS) -> (..., pixels)."""
        logits: Tensor = self.decoder(codes.flatten(-2))
        return logits


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """The cross-entropy of each sample, summed over pixels, in nats: (B, S, pixels), (B, pixels) -> (B, S)."""
    targets = images.unsqueeze(1).expand_as(logits)
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)


def divergence(scores: Tensor) -> Tensor:
    """The KL divergence as published, in nats: (B, ROWS, COLUMNS) -> (B,).

    It is that of softmax(scores) of each row to the uniform distribution, summed over rows. For rows with one of the
    columns, drawn with Gumbel noise, that is the divergence of the codes. For rows with more, tf-imle and
    torch-adaptive-imle have the same formula; the loss is then no bound.
    """
    log_shares = functional.log_softmax(scores, -1)
    return (log_shares.exp() * (log_shares + math.log(scores.shape[-1]))).sum((-1, -2))


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(linear.weight, nn.init.calculate_gain("relu"))  # as torch-adaptive-imle does
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
