"""The sentences to learn from and to be judged by."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from examples.parsing.conllu import read_conllu
from examples.parsing.grammar import generate
from examples.parsing.sentences import Batch, Sentence, make_batch, make_vocabulary

TOGETHER = 100  # sentences that are parsed in one batch
SHARE = 10  # one sentence of so many is held out


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
        ValueError: see `read_conllu`; there are too few sentences to hold some out, or none with a choice of heads to
            learn from, or to be judged by.
    """
    if options.conllu:
        train = read_conllu(options.conllu, one_root=options.trees == "undirected")
        if options.conllu_test:
            test = read_conllu(options.conllu_test, one_root=options.trees == "undirected")
        else:
            count = len(train) // SHARE
            if count == 0:
                raise ValueError(
                    f"{options.conllu}: expected {SHARE} sentences or more, {SHARE - 1} to learn from and the last to "
                    f"be held out, found {len(train)}; give held-out ones by --conllu-test FILE"
                )
            train, test = train[:-count], train[-count:]
        for file, sentences in ((options.conllu, train), (options.conllu_test or options.conllu, test)):
            if all(len(sentence.words) < 2 for sentence in sentences):
                which = "to learn from" if sentences is train else "held out"
                raise ValueError(
                    f"{file}: expected a sentence of two words or more {which}, got none among {len(sentences)}"
                )
    else:
        train = generate(options.sentences, seed, held_out=False)
        test = generate(options.test, seed, held_out=True)
    vocabulary = make_vocabulary(train)
    by_length = sorted(test, key=lambda sentence: len(sentence.words))
    parts = [by_length[start : start + TOGETHER] for start in range(0, len(test), TOGETHER)]
    return Data(train, test, vocabulary, [make_batch(part, vocabulary, options.device) for part in parts])
