"""Trees over sentences by solver layers: rooted ones over heads, and ones without direction.

Sentences of different length share a batch: the layer of the longest takes all of it, and is told which words are not
there (`blocked_nodes`). That is exact: no score stands for what is not there.
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from examples.parsing.sentences import Batch
from imle_adapters import MaxArborescenceAdapter, MaxSpanningTreeAdapter
from imle_solvers import Estimator, SolverLayer

KINDS = ("rooted", "undirected")


class Part(NamedTuple):
    """What of a batch goes through a layer.

    Attributes:
        layer: of theta (B, E).
        context: of the layer.
        tails, heads: (E,) the ends of each edge: head and dependent, or two places in their order.
        there: (B, E) whether both ends are.
    """

    layer: SolverLayer
    context: dict[str, Tensor]
    tails: Tensor
    heads: Tensor
    there: Tensor


class Trees:
    """The layers, made as lengths come up, with one estimator for all.

    Matrices of arcs are (B, L + 1, L + 1), place 0 is the root. Of rooted trees [h, d] is one where h is the head of d;
    of undirected ones [u, v], u < v, where one is the head of the other; to these the root does not belong.

    Args:
        kind: "rooted" or "undirected".
        estimator: of the layers; None: that of the library.
    """

    def __init__(self, kind: str, estimator: Estimator | None = None) -> None:
        self.rooted = kind == "rooted"
        self.estimator = estimator
        self._layers: dict[int, tuple[SolverLayer, Tensor, Tensor]] = {}

    def over(self, batch: Batch) -> Part:
        """The layer for a batch, and what it is told of it."""
        layer, tails, heads = self._layer(batch.words.shape[1])
        tails, heads = tails.to(batch.words.device), heads.to(batch.words.device)
        absent = ~batch.present
        absent[:, 0] = not self.rooted
        there = ~(absent[:, tails] | absent[:, heads])
        return Part(layer, {"blocked_nodes": absent}, tails, heads, there)

    def solve(self, scores: Tensor, batch: Batch) -> Tensor:
        """The trees of greatest score, as a matrix of arcs."""
        part = self.over(batch)
        found = torch.zeros_like(scores)
        found[:, part.tails, part.heads] = part.layer.map(self.theta(scores, part), **part.context)
        return found

    def theta(self, scores: Tensor, part: Part) -> Tensor:
        """(B, E) of scores (B, L + 1, L + 1) of arcs, 0 for padding; an undirected edge has both directions'."""
        theta = scores[:, part.tails, part.heads]
        if not self.rooted:
            theta = theta + scores[:, part.heads, part.tails]
        return theta.masked_fill(~part.there, 0)

    def true(self, batch: Batch) -> Tensor:
        """The trees that heads are, as a matrix of arcs."""
        words = batch.present.clone()
        words[:, 0] = False
        arcs = functional.one_hot(batch.heads, batch.heads.shape[1]).transpose(1, 2).float() * words.unsqueeze(1)
        if self.rooted:
            return arcs
        arcs[:, 0] = 0
        return (arcs + arcs.transpose(1, 2)).triu(1)

    def _layer(self, places: int) -> tuple[SolverLayer, Tensor, Tensor]:
        if places not in self._layers:
            adapter: Any
            if self.rooted:
                pairs = [(head, word) for head, word in permutations(range(places), 2) if word != 0]
                adapter = MaxArborescenceAdapter.from_edges(pairs, root=0, nodes=range(places))
            else:
                pairs = list(combinations(range(places), 2))
                adapter = MaxSpanningTreeAdapter.from_edges(pairs, nodes=range(places))
            layer = SolverLayer(adapter, estimator=self.estimator, num_workers=0)
            tails, heads = torch.tensor(pairs).T
            self._layers[places] = layer, tails, heads
        return self._layers[places]
