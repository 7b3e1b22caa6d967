"""Sentences, and how those of different length share a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PAD, ROOT, UNKNOWN = 0, 1, 2
"""Numbers of what is no word that was seen in training."""


class Sentence(NamedTuple):
    """A parsed sentence.

    Attributes:
        words: n forms.
        heads: n places of the words that these depend on, from 1; 0 for the word that depends on none.
    """

    words: tuple[str, ...]
    heads: tuple[int, ...]


class Batch(NamedTuple):
    """B sentences of up to L words. Place 0 is the root, before the first word.

    Attributes:
        words: (B, L + 1) numbers of words.
        heads: (B, L + 1) places of heads; 0 for the root and for padding.
        lengths: (B,) of the sentences, on the CPU.
    """

    words: Tensor
    heads: Tensor
    lengths: Tensor

    @property
    def present(self) -> Tensor:
        """(B, L + 1), true for the root and for words, false for padding."""
        places = torch.arange(self.words.shape[1], device=self.words.device)
        return places <= self.lengths.to(places.device).unsqueeze(1)


def make_vocabulary(sentences: Iterable[Sentence]) -> dict[str, int]:
    """Numbers of the words that occur, in lower case."""
    known = dict.fromkeys(word.lower() for sentence in sentences for word in sentence.words)
    return {word: number for number, word in enumerate(known, start=UNKNOWN + 1)}


def make_batch(sentences: Sequence[Sentence], vocabulary: Mapping[str, int], device: str) -> Batch:
    """Pads sentences to the longest."""
    lengths = torch.tensor([len(sentence.words) for sentence in sentences])
    words = torch.full((len(sentences), int(lengths.max()) + 1), PAD)
    heads = torch.zeros_like(words)
    words[:, 0] = ROOT
    for row, sentence in enumerate(sentences):
        places = slice(1, len(sentence.words) + 1)
        words[row, places] = torch.tensor([vocabulary.get(word.lower(), UNKNOWN) for word in sentence.words])
        heads[row, places] = torch.tensor(sentence.heads)
    return Batch(words.to(device), heads.to(device), lengths)
