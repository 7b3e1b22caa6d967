"""How good choices of words are."""

from __future__ import annotations

import torch
from torch import Tensor

from examples.learning_to_explain.encoding import Encoded


def subset_metrics(chosen: Tensor, texts: Encoded) -> dict[str, float]:
    """Precision, recall and F1 of chosen words against those that people highlighted, over all words of all texts.

    So as published (Chen et al., ICML 2018; I-MLE paper, table 2). Of texts that are longer than what the network sees,
    people's words behind that count as missed. (The published code never counts a chosen word that is not in the
    vocabulary as a hit.)

    Args:
        chosen: (N, L) of zeros and ones, or chances.
        texts: N of them, with highlights.
    """
    width = chosen.shape[1]
    hits = float((chosen * texts.highlight[:, :width].to(chosen.device)).sum())
    precision = hits / max(1.0, float(chosen.sum()))
    recall = hits / max(1.0, float(texts.highlighted.sum()))
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"subset_precision": precision, "subset_recall": recall, "subset_f1": f1}


def random_choice(texts: Encoded) -> Tensor:
    """The chance of each word to be chosen at random, (N, L): what metrics are of it is what random choices have.

    Random choices of so many texts differ from that by little.
    """
    return texts.mask * (texts.k / texts.mask.sum(1)).unsqueeze(1)


def rarest_words(texts: Encoded, second_only: bool = False) -> Tensor:
    """The k rarest words of each text by their frequency in the texts to learn from, (N, L) of zeros and ones.

    Args:
        texts: N of them.
        second_only: of the second sentence, where that has so many.
    """
    rarity = texts.features[..., 2].float() + second_only * 100 * texts.features[..., 0].float()
    order = rarity.masked_fill(~texts.mask, -1.0).argsort(dim=1, descending=True, stable=True)
    return (order.argsort(dim=1) < texts.k.unsqueeze(1)).to(rarity.dtype)


def test_error(predicted: Tensor, targets: Tensor) -> float:
    """The share of wrong classes, from (N, classes) of logits, or the mean squared error, from (N,) of numbers."""
    if predicted.dim() == 2:
        return float((predicted.argmax(1) != targets).double().mean())
    return float(torch.nn.functional.mse_loss(predicted.double(), targets.double()))
