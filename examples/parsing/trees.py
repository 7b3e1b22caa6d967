"""Trees over sentences by solver layers: rooted ones over heads, and ones without direction.

How sentences of different length share a batch differs. `MaxArborescenceAdapter` is told which words are not there
(`blocked_nodes`), so that a layer for the longest takes all of a batch. `MaxSpanningTreeAdapter` takes no context, so
there is a layer for each length, which takes the sentences of that length. Both are exact: no score stands for what is
not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from examples.parsing.sentences import Batch
from imle_adapters import MaxArborescenceAdapter, MaxSpanningTreeAdapter
from imle_solvers import Estimator, SolverLayer

KINDS = ("rooted", "undirected")


class Part(NamedTuple):
    """Sentences of a batch that one layer takes.

    Attributes:
        rows: (b,) which ones.
        layer: of theta (b, E).
        context: of the layer.
        tails, heads: (E,) the ends of each edge: head and dependent, or two words in their order.
    """

    rows: Tensor
    layer: SolverLayer
    context: dict[str, Tensor]
    tails: Tensor
    heads: Tensor


class Trees:
    """The layers, made as lengths come up, with one estimator for all.

    Matrices of arcs are (B, L + 1, L + 1), place 0 is the root. Of rooted trees [h, d] is one where h is the head of d;
    of undirected ones [u, v], u < v, where one is the head of the other, and the root has no edge.

    Args:
        kind: "rooted" or "undirected".
        estimator: of the layers; None: that of the library.
    """

    def __init__(self, kind: str, estimator: Estimator | None = None) -> None:
        self.rooted = kind == "rooted"
        self.estimator = estimator
        self._layers: dict[int, tuple[SolverLayer, Tensor, Tensor]] = {}

    def parts(self, batch: Batch) -> Iterator[Part]:
        """The sentences of a batch, divided as layers take them; without those of one word, where they have no edge."""
        sizes = batch.lengths.amax().expand_as(batch.lengths) if self.rooted else batch.lengths
        for size in sizes.unique().tolist():
            if size > 1 or self.rooted:
                rows = (sizes == size).nonzero()[:, 0].to(batch.words.device)
                layer, tails, heads = self._layer(size)
                context = {"blocked_nodes": ~batch.present[rows]} if self.rooted else {}
                yield Part(rows, layer, context, tails.to(rows.device), heads.to(rows.device))

    def solve(self, scores: Tensor, batch: Batch) -> Tensor:
        """The trees of greatest score, as a matrix of arcs."""
        found = torch.zeros_like(scores)
        for part in self.parts(batch):
            z = part.layer.map(self.theta(scores, part), **part.context)
            found[part.rows.unsqueeze(1), part.tails, part.heads] = z
        return found

    def theta(self, scores: Tensor, part: Part) -> Tensor:
        """(b, E) of scores (B, L + 1, L + 1) of arcs; the score of an undirected edge is the sum of both directions."""
        ours = scores[part.rows]
        there = ours[:, part.tails, part.heads]
        return there if self.rooted else there + ours[:, part.heads, part.tails]

    def true(self, batch: Batch) -> Tensor:
        """The trees that heads are, as a matrix of arcs."""
        words = batch.present.clone()
        words[:, 0] = False
        arcs = functional.one_hot(batch.heads, batch.heads.shape[1]).transpose(1, 2).float() * words.unsqueeze(1)
        if self.rooted:
            return arcs
        arcs[:, 0] = 0
        return (arcs + arcs.transpose(1, 2)).triu(1)

    def _layer(self, size: int) -> tuple[SolverLayer, Tensor, Tensor]:
        if size not in self._layers:
            words = range(1, size + 1)
            adapter: Any
            if self.rooted:
                pairs = [(head, word) for word in words for head in range(size + 1) if head != word]
                adapter = MaxArborescenceAdapter.from_edges(pairs, root=0, nodes=range(size + 1))
            else:
                pairs = list(combinations(words, 2))
                adapter = MaxSpanningTreeAdapter.from_edges(pairs, nodes=words)
            layer = SolverLayer(adapter, estimator=self.estimator, num_workers=0)
            tails, heads = torch.tensor(pairs).T
            self._layers[size] = layer, tails, heads
        return self._layers[size]
