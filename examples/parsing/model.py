"""What scores arcs: embeddings, a bidirectional LSTM, and a biaffine form.

After Dozat and Manning (ICLR 2017, arXiv 1611.01734, section 2), small, and without labels of arcs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from examples.parsing.sentences import UNKNOWN, Batch


class Scorer(nn.Module):
    """Scores each word as the head of each other one.

    Args:
        words: how many numbers words have.
        hidden: units of an embedding, of the LSTM in each direction, and of a word as head or as dependent.
        layers: of the LSTM; 0: words are seen without their context.
        dropout: share of words that are unknown in training, and of units left out.
    """

    def __init__(self, words: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embedding = nn.Embedding(words, hidden)
        self.context = nn.LSTM(hidden, hidden, layers, batch_first=True, bidirectional=True) if layers else None
        width = 2 * hidden if layers else hidden
        self.as_head, self.as_dependent = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.pair = nn.Parameter(torch.randn(hidden, hidden) / hidden)
        self.any_dependent = nn.Linear(hidden, 1)  # how likely a word has dependents at all

    def forward(self, batch: Batch) -> Tensor:
        """(B, L + 1, L + 1), [h, d] the score of h as the head of d, whatever the other sentences of the batch are."""
        words = batch.words
        if self.training:
            words = words.masked_fill(
                (torch.rand_like(words, dtype=torch.float) < self.dropout) & (words > UNKNOWN), UNKNOWN
            )
        seen = self._drop(self.embedding(words))
        if self.context is not None:
            packed = pack_padded_sequence(seen, batch.lengths + 1, batch_first=True, enforce_sorted=False)
            seen = self._drop(pad_packed_sequence(self.context(packed)[0], batch_first=True)[0])
        heads = self._drop(functional.leaky_relu(self.as_head(seen), 0.1))
        dependents = self._drop(functional.leaky_relu(self.as_dependent(seen), 0.1))
        scores: Tensor = heads @ self.pair @ dependents.transpose(1, 2) + self.any_dependent(heads)
        return scores

    def _drop(self, values: Tensor) -> Tensor:
        return functional.dropout(values, self.dropout, self.training)
