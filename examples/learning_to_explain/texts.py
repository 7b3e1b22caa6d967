"""Texts, what is to be predicted of them, and the words that people highlighted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Text:
    """One text, or two sentences one after the other.

    Attributes:
        words: in their order.
        target: a number from 0 to 1, or the index of a class.
        highlight: indices of the words that people highlighted; None: nobody did.
        second: where the second sentence begins; the number of words where there is only one.
        group: texts of one group stay on one side when a corpus is divided.
    """

    words: tuple[str, ...]
    target: float
    highlight: frozenset[int] | None = None
    second: int = -1
    group: str = ""

    def __post_init__(self) -> None:
        if self.second < 0:
            object.__setattr__(self, "second", len(self.words))


@dataclass(frozen=True)
class Corpus:
    """Texts to learn from, to stop by, to test on, and to explain.

    Attributes:
        name: for titles.
        labels: names of classes; empty: targets are numbers, and the error is the mean squared one.
        train, validation, test: disjoint.
        annotated: with highlights, on which choices are judged.
        vectors: of words, of one length; empty: they are learned.
        highlights: whose they are, in words.
        planted: whether they are no people's, but words that a generator planted.
    """

    name: str
    labels: tuple[str, ...]
    train: Sequence[Text]
    validation: Sequence[Text]
    test: Sequence[Text]
    annotated: Sequence[Text]
    vectors: dict[str, NDArray[Any]] = field(default_factory=dict)
    highlights: str = "people's highlights"
    planted: bool = False

    @property
    def pairs(self) -> bool:
        """Whether texts are pairs of sentences."""
        return any(text.second < len(text.words) for text in self.train)


def divide(texts: Sequence[Text], shares: Sequence[float], seed: int) -> list[list[Text]]:
    """Divides texts at random into parts of these shares of their groups; texts without a group are one each.

    Raises:
        ValueError: there are too few groups for a part to have any.
    """
    groups: dict[str, list[Text]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(text.group or f"\0{index}", []).append(text)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    parts, start = [], 0
    for number, share in enumerate(shares, 1):
        rest = len(shares) - number
        end = min(start + max(1, round(share * len(order))), len(order) - rest) if rest else len(order)
        parts.append([text for group in order[start:end] for text in group])
        start = end
    if len(order) < len(shares):
        raise ValueError(f"expected at least {len(shares)} groups of texts to divide, got {len(order)}")
    return parts
