"""What parsers are trained by: the loss of a method on trees, or one of words, or of edges, each for itself."""

from __future__ import annotations

import argparse
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from examples.common.methods import make_estimator, make_loss
from examples.parsing.sentences import Batch
from examples.parsing.trees import Trees
from imle_solvers import Gumbel, Relative

PLAIN = "none"
"""The method without a solver: cross-entropy of each word's head, or of each edge."""


class Loss(Protocol):
    """From scores (B, L + 1, L + 1) of arcs to a scalar, the mean over sentences."""

    def __call__(self, scores: Tensor, batch: Batch) -> Tensor: ...


def make_trees(method: str, options: argparse.Namespace) -> Trees:
    """The layers that a method trains through, or only decodes by.

    Raises:
        ValueError: an option that the estimator does not take.
    """
    if method == PLAIN:
        return Trees(options.trees)
    estimator = make_estimator(
        method,
        beta=Relative(options.beta),
        temperature=options.temperature,
        noise=Gumbel(),  # the same for trees of all sizes, and of the scale of scores that are logits
        density=Gumbel(),
    )
    return Trees(options.trees, estimator)


def wrong(found: Tensor, true: Tensor) -> Tensor:
    """(b,) how many edges are wrong, of (b, E) zeros and ones; of means, the sum of squares."""
    return (found - true).square().sum(1)


def of_trees(method: str, trees: Trees, samples: int) -> Loss:
    """The loss by which a method trains through layers."""

    def loss(scores: Tensor, batch: Batch) -> Tensor:
        part = trees.over(batch)
        target = trees.true(batch)[:, part.tails, part.heads]
        return make_loss(method, part.layer, wrong, samples=samples)(trees.theta(scores, part), target, **part.context)

    return loss


def of_words(scores: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of each word's head among all places."""
    logits = candidates(scores, batch).transpose(1, 2)  # [d, h]
    words = batch.present.clone()
    words[:, 0] = False
    return functional.cross_entropy(logits[words], batch.heads[words], reduction="sum") / len(batch.lengths)


def of_edges(trees: Trees) -> Loss:
    """Cross-entropy of each undirected edge, there or not."""

    def loss(scores: Tensor, batch: Batch) -> Tensor:
        part = trees.over(batch)
        target = trees.true(batch)[:, part.tails, part.heads]
        each = functional.binary_cross_entropy_with_logits(trees.theta(scores, part), target, reduction="none")
        return each[part.there].sum() / len(batch.lengths)

    return loss


def make_loss_of(method: str, trees: Trees, samples: int) -> Loss:
    """The loss of a method."""
    if method != PLAIN:
        return of_trees(method, trees, samples)
    return of_words if trees.rooted else of_edges(trees)


def candidates(scores: Tensor, batch: Batch) -> Tensor:
    """Scores of arcs, -inf where head or dependent is not there, or both are one."""
    own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    return scores.masked_fill(own | ~batch.present.unsqueeze(2), -torch.inf)
