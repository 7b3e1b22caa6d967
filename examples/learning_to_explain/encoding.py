"""Texts as tensors."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.learning_to_explain.texts import Text

PADDING, UNKNOWN = 0, 1
FEATURES = 3

Cut = Callable[[Sequence[Text], int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Encoded:
    """N texts of at most L words.

    Attributes:
        ids: (N, L), of words; `PADDING` behind a text's end.
        mask: (N, L) bool, true for words.
        features: (N, L, 3), half precision: whether a word is in the second sentence, whether it is in the other
            sentence, too, and how rare it is.
        targets: (N,), numbers, or indices of classes.
        k: (N,), how many words may be chosen.
        highlight: (N, L) bool, the words that people chose.
        highlighted: (N,), how many these are, those behind L included.
        pieces, starts: (N, P) and (N, L), see `bert.Pieces`; without such a model, P is 0, and starts are 0.
    """

    ids: Tensor
    mask: Tensor
    features: Tensor
    targets: Tensor
    k: Tensor
    highlight: Tensor
    highlighted: Tensor
    pieces: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: Tensor) -> Encoded:
        """Some of the texts, with as much padding as the longest of them needs."""
        chosen = [getattr(self, field.name)[rows] for field in fields(self)]
        words, pieces = int(self.mask[rows].sum(1).max()), int((self.pieces[rows] >= 0).sum(1).max())
        widths = [pieces if field.name == "pieces" else words for field in fields(self)]
        return Encoded(*(v[:, :width] if v.dim() > 1 else v for v, width in zip(chosen, widths, strict=True)))

    def to(self, device: str) -> Encoded:
        """The same on a device."""
        return Encoded(*(getattr(self, field.name).to(device) for field in fields(self)))


class Vocabulary:
    """Numbers of words, and how rare they are.

    Args:
        texts: to learn from; words are told apart without regard to capitals.
        least: how often a word must occur there to have a number of its own, unless it has a vector.
        vectors: of words.
    """

    def __init__(self, texts: Sequence[Text], least: int, vectors: dict[str, NDArray[Any]]) -> None:
        self.counts = collections.Counter(word.lower() for text in texts for word in text.words)
        self.total = sum(self.counts.values())
        known = [word for word, count in self.counts.most_common() if count >= least or word in vectors]
        self.numbers = {word: number for number, word in enumerate(known, UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self.numbers) + 2

    def rarity(self, word: str) -> float:
        """-log of a word's share of all words, about 1 for one in ten thousand."""
        return math.log(self.total / (self.counts[word] + 1)) / 9

    def matrix(self, vectors: dict[str, NDArray[Any]]) -> Tensor | None:
        """The vectors of all words, (len(self), size), zero for those that have none; None if there are no vectors."""
        if not vectors:
            return None
        matrix = np.zeros((len(self), len(next(iter(vectors.values())))), dtype=np.float32)
        for word, number in self.numbers.items():
            matrix[number] = vectors.get(word, 0.0)
        return torch.from_numpy(matrix)


def number_of_words(k: str, words: int) -> int:
    """How many words may be chosen of a text of so many: `k`, or with "20%" that share of them, at least one."""
    wanted = max(1, round(float(k[:-1]) / 100 * words)) if k.endswith("%") else int(k)
    return min(wanted, words)


def encode(
    texts: Sequence[Text], vocabulary: Vocabulary, *, classes: bool, k: str, length: int, cut: Cut | None = None
) -> Encoded:
    """Encodes texts, of each the first `length` words.

    Args:
        texts: to encode.
        vocabulary: of words.
        classes: whether targets are indices of classes.
        k: see `number_of_words`.
        length: L.
        cut: makes `pieces` and `starts`, as `bert.Pieces.cut` does; words without a start may not be chosen.
    """
    shape = len(texts), length
    ids, features = np.zeros(shape, np.int32), np.zeros((*shape, FEATURES), np.float16)
    highlight = np.zeros(shape, bool)
    for row, text in enumerate(texts):
        words = [word.lower() for word in text.words[:length]]
        sentences = {word.lower() for word in text.words[: text.second]}, {w.lower() for w in text.words[text.second :]}
        for place, word in enumerate(words):
            second = place >= text.second
            ids[row, place] = vocabulary.numbers.get(word, UNKNOWN)
            features[row, place] = second, word in sentences[not second], vocabulary.rarity(word)
        highlight[row, [index for index in text.highlight or () if index < length]] = True
    pieces, starts = cut(texts, length) if cut else (torch.zeros(len(texts), 0), torch.zeros(shape, dtype=torch.long))
    ids[starts.numpy() < 0] = PADDING
    mask = torch.from_numpy(ids != PADDING)
    return Encoded(
        torch.from_numpy(ids),
        mask,
        torch.from_numpy(features),
        torch.tensor([text.target for text in texts], dtype=torch.long if classes else torch.float32),
        torch.tensor([number_of_words(k, words) for words in mask.sum(1).tolist()]),
        torch.from_numpy(highlight),
        torch.tensor([len(text.highlight or ()) for text in texts]),
        pieces,
        starts,
    )
