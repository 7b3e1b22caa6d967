"""Networks that score the words of a text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from examples.learning_to_explain.encoding import FEATURES, PADDING, Encoded


def make_embedding(words: int, size: int, vectors: Tensor | None) -> nn.Embedding:
    """Vectors of words: those given, which are not learned, as published; else small random ones, which are."""
    if vectors is not None:
        given: nn.Embedding = nn.Embedding.from_pretrained(vectors, freeze=True, padding_idx=PADDING)
        return given
    embedding = nn.Embedding(words, size, padding_idx=PADDING)
    with torch.no_grad():
        embedding.weight.mul_(0.1)  # else they would stay next to what they are at random, and be learned by heart
    return embedding


class ConvScorer(nn.Module):
    """The published network (Chen et al., ICML 2018): each word's neighbourhood, beside a summary of the whole text.

    Args:
        embedding: of words.
        filters: channels of all convolutions.
        kernel: words that the first sees at once.
        dropout: of vectors and before the last layers.
        features: whether it sees `Encoded.features`.
    """

    def __init__(self, embedding: nn.Embedding, filters: int, kernel: int, dropout: float, features: bool) -> None:
        super().__init__()
        self.embedding, self.features = embedding, features
        self.dropout = nn.Dropout(dropout)
        size = embedding.embedding_dim + features * FEATURES
        self.first = nn.Conv1d(size, filters, kernel, padding="same")
        self.whole = nn.Linear(filters, filters)
        self.near = nn.Sequential(
            nn.Conv1d(filters, filters, 3, padding="same"),
            nn.ReLU(),
            nn.Conv1d(filters, filters, 3, padding="same"),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv1d(2 * filters, filters, 1), nn.ReLU())
        self.last = nn.Conv1d(filters, 1, 1)

    def forward(self, texts: Encoded) -> Tensor:
        """Scores, (B, W)."""
        words = self.dropout(self.embedding(texts.ids))
        if self.features:
            words = torch.cat([words, texts.features.to(words.dtype)], -1)
        first = torch.relu(self.first(words.transpose(1, 2)))
        whole = torch.relu(self.whole(first.masked_fill(~texts.mask.unsqueeze(1), 0.0).amax(2)))
        near = self.near(first)
        scores: Tensor = self.last(self.head(torch.cat([whole.unsqueeze(2).expand_as(near), near], 1))).squeeze(1)
        return scores


class TransformerScorer(nn.Module):
    """PyTorch's own Transformer, in which all words see each other.

    Args:
        embedding: of words.
        length: of the longest text.
        size: of the model, a multiple of 4.
        dropout: throughout.
        features: whether it sees `Encoded.features`.
    """

    def __init__(self, embedding: nn.Embedding, length: int, size: int, dropout: float, features: bool) -> None:
        super().__init__()
        self.embedding, self.features = embedding, features
        self.enter = nn.Linear(embedding.embedding_dim + features * FEATURES, size)
        self.places = nn.Parameter(0.02 * torch.randn(length, size))
        layer = nn.TransformerEncoderLayer(size, 4, 2 * size, dropout, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 1))

    def forward(self, texts: Encoded) -> Tensor:
        """Scores, (B, W)."""
        words = self.embedding(texts.ids)
        if self.features:
            words = torch.cat([words, texts.features.to(words.dtype)], -1)
        words = self.enter(words) + self.places[: words.shape[1]]
        scores: Tensor = self.last(self.body(words, src_key_padding_mask=~texts.mask)).squeeze(-1)
        return scores
