"""The sentences to learn from and to be judged by."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from examples.parsing.conllu import read_conllu
from examples.parsing.grammar import generate
from examples.parsing.sentences import Batch, Sentence, make_batch, make_vocabulary

TOGETHER = 100  # sentences that are parsed in one batch


class Data(NamedTuple):
    """Sentences.

    Attributes:
        train, test: those to learn from, and held-out ones.
        vocabulary: numbers of the words to learn from.
        batches: of the held-out ones.
    """

    train: list[Sentence]
    test: list[Sentence]
    vocabulary: dict[str, int]
    batches: list[Batch]


def load(options: argparse.Namespace, seed: int) -> Data:
    """Generates sentences, or reads those of files; without a file of held-out ones the last tenth of the other is.

    Raises:
        OSError, ValueError: see `read_conllu`; a file has too few sentences.
    """
    if options.conllu:
        train = read_conllu(options.conllu, one_root=options.trees == "undirected")
        if options.conllu_test:
            test = read_conllu(options.conllu_test, one_root=options.trees == "undirected")
        else:
            count = max(1, len(train) // 10)
            train, test = train[:-count], train[-count:]
        if not train:
            raise ValueError(
                f"{options.conllu}: expected two sentences or more, one to be held out, got 1; or give --conllu-test"
            )
    else:
        train = generate(options.sentences, seed, held_out=False)
        test = generate(options.test, seed, held_out=True)
    if options.trees == "undirected" and max(len(sentence.words) for sentence in test) == 1:
        raise ValueError("expected a held-out sentence of two words or more, got none")
    vocabulary = make_vocabulary(train)
    by_length = sorted(test, key=lambda sentence: len(sentence.words))
    parts = [by_length[start : start + TOGETHER] for start in range(0, len(test), TOGETHER)]
    return Data(train, test, vocabulary, [make_batch(part, vocabulary, options.device) for part in parts])
