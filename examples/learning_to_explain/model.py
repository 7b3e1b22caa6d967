"""Two networks: one chooses words of a text, the other predicts from these alone."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.learning_to_explain.bert import BertScorer
from examples.learning_to_explain.choosing import SUPERVISED, Chooser
from examples.learning_to_explain.encoders import ConvScorer, TransformerScorer, make_embedding
from examples.learning_to_explain.encoding import UNKNOWN, Encoded

AIMLE = ("initial_beta", "step", "target_norm")
"""Options that are arguments of the adaptive method."""


class Predictor(nn.Module):
    """Predicts from the mean of the chosen words' vectors, as published.

    Args:
        embedding: of words.
        hidden: units of the hidden layer.
        outputs: one for each class; 1 for a number from 0 to 1.
        dropout: of vectors, and of the hidden layer.
        pairs: whether it has the sums of both sentences apart, and compares them.
    """

    def __init__(self, embedding: nn.Embedding, hidden: int, outputs: int, dropout: float, pairs: bool) -> None:
        super().__init__()
        self.embedding, self.pairs = embedding, pairs
        self.dropout = nn.Dropout(dropout)
        size = embedding.embedding_dim * (4 if pairs else 1)
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))

    def forward(self, texts: Encoded, chosen: Tensor) -> Tensor:
        """From B texts of W words, and S choices of each, (B, S, W), to (B, S, outputs)."""
        vectors = self.dropout(self.embedding(texts.ids))
        if self.pairs:
            second = texts.features[:, None, :, 0].to(vectors.dtype)
            one, other = chosen * (1 - second) @ vectors / 2, chosen * second @ vectors / 2
            pooled = torch.cat([one, other, (one - other).abs(), one * other], -1)
        else:
            pooled = chosen @ vectors / texts.k[:, None, None]
        predicted: Tensor = self.layers(pooled)
        return predicted


class Explainer(nn.Module):
    """The network that scores words, the layer that chooses k of them, the network that predicts.

    Args:
        scorer, chooser, predictor: these.
        word_dropout: share of words that the scorer does not know in training.
        smoothing: of the labels of classes in training, without which predictions become too sure of themselves.
    """

    def __init__(
        self, scorer: nn.Module, chooser: Chooser, predictor: Predictor, word_dropout: float, smoothing: float
    ) -> None:
        super().__init__()
        self.word_dropout, self.smoothing = word_dropout, smoothing
        self.scorer, self.chooser, self.predictor = scorer, chooser, predictor

    def theta(self, texts: Encoded) -> Tensor:
        """Scores of words, (B, W), zero for padding."""
        scores: Tensor = self.scorer(texts)
        return scores.masked_fill(~texts.mask, 0.0)

    def choose(self, texts: Encoded) -> Tensor:
        """The words that explain, (B, W) of zeros and ones."""
        return self.chooser.best(self.theta(texts), texts.mask, texts.k)

    def forward(self, texts: Encoded, chosen: Tensor) -> Tensor:
        """Predictions from chosen words, (B, W) -> (B, classes) of logits, or (B,) of numbers."""
        predicted: Tensor = self.predictor(texts, chosen.unsqueeze(1)).squeeze(1)
        return predicted if predicted.shape[-1] > 1 else torch.sigmoid(predicted).squeeze(-1)

    def losses(self, texts: Encoded, chosen: Tensor) -> Tensor:
        """Losses of choices, (B, S, W) -> (B, S): cross-entropies, or squared errors."""
        predicted = self.predictor(texts, chosen)
        targets = texts.targets.unsqueeze(1).expand(chosen.shape[:2])
        if predicted.shape[-1] > 1:
            smoothing = self.smoothing if self.training else 0.0
            return functional.cross_entropy(
                predicted.transpose(1, 2), targets, reduction="none", label_smoothing=smoothing
            )
        return (torch.sigmoid(predicted).squeeze(-1) - targets).square()

    def loss(self, texts: Encoded) -> Tensor:
        """What training minimises: the mean loss over texts and samples; to the scorer some words are unknown."""
        unknown = texts.mask & (torch.rand(texts.mask.shape, device=texts.mask.device) < self.word_dropout)
        theta = self.theta(replace(texts, ids=texts.ids.masked_fill(unknown, UNKNOWN)))
        if self.chooser.method == SUPERVISED:
            chosen = self.chooser.best(theta.detach(), texts.mask, texts.k).unsqueeze(1)
            taught = functional.binary_cross_entropy_with_logits(theta, texts.highlight.to(theta.dtype), texts.mask)
            return self.losses(texts, chosen).mean() + taught
        if self.chooser.method != "score":
            return self.losses(texts, self.chooser(theta, texts.mask, texts.k)).mean()
        with torch.no_grad():
            chosen = self.chooser(theta, texts.mask, texts.k)
        learned = self.chooser.score_function_loss(theta, texts.mask, texts.k, lambda z: self.losses(texts, z))
        return self.losses(texts, chosen).mean() + learned


def make_model(
    options: argparse.Namespace,
    method: str,
    seed: int,
    *,
    words: int,
    vectors: Tensor | None,
    length: int,
    classes: int,
) -> Explainer:
    """The networks for these options.

    Args:
        options: of the command line.
        method: one of `choosing.METHODS`.
        seed: of the noise; the weights are drawn by torch's own generator.
        words: in the vocabulary.
        vectors: of words, (words, size); None: they are learned.
        length: of the longest text.
        classes: how many; 0: the target is a number.

    Raises:
        ValueError: an option is not what the estimator takes, or there is no such model.
    """
    kind, _, name = options.encoder.partition(":")
    scorer: nn.Module
    if kind == "bert":
        scorer = BertScorer(name)
    else:
        embedding = make_embedding(words, options.embedding, vectors)
        if kind == "conv":
            scorer = ConvScorer(embedding, options.filters, options.kernel, options.dropout, options.features)
        else:
            scorer = TransformerScorer(embedding, length, options.filters, options.dropout, options.features)
    chooser = Chooser(
        method,
        length,
        samples=options.samples,
        beta=options.beta,
        temperature=options.temperature,
        target_temperature=options.target_temperature,
        noise=options.noise,
        relaxation=options.softsub_temperature if method == "softsub" else options.l2x_temperature,
        aimle={name: value for name in AIMLE if (value := getattr(options, name)) is not None},
        seed=seed,
    )
    predictor = Predictor(
        make_embedding(words, options.embedding, vectors),
        options.hidden,
        max(1, classes),
        options.dropout,
        options.predictor == "pair",
    )
    return Explainer(scorer, chooser, predictor, options.word_dropout, options.smoothing)
