"""Learns to explain: reads or generates texts, trains, compares choices with people's, draws, writes a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from examples.common.options import seeds_of
from examples.common.pictures import save_picture
from examples.common.results import Column
from examples.common.run import Run
from examples.learning_to_explain.beer import read_beer
from examples.learning_to_explain.bert import Pieces
from examples.learning_to_explain.choosing import SUPERVISED
from examples.learning_to_explain.encoding import Encoded, Vocabulary, encode
from examples.learning_to_explain.esnli import read_esnli
from examples.learning_to_explain.generator import generate
from examples.learning_to_explain.metrics import random_choice, rarest_words, subset_metrics, test_error
from examples.learning_to_explain.model import Explainer, make_model
from examples.learning_to_explain.options import parse
from examples.learning_to_explain.page import Explained, write_page
from examples.learning_to_explain.picture import draw
from examples.learning_to_explain.published import published
from examples.learning_to_explain.reading import read_vectors
from examples.learning_to_explain.texts import Corpus
from examples.learning_to_explain.training import Trained, choose, predict, train

COLUMNS = {
    "test_error": Column("test error"),
    "subset_precision": Column("precision", ".1%"),
    "subset_recall": Column("recall", ".1%"),
    "subset_f1": Column("F1"),
    "random_f1": Column("F1 of random choice", deviation=False),
    "untrained_f1": Column("F1 untrained", deviation=False),
    "seconds": Column("seconds of training", ".0f", deviation=False),
}


@dataclass(frozen=True)
class Prepared:
    """A corpus and its parts as tensors."""

    corpus: Corpus
    vocabulary: Vocabulary
    train: Encoded
    validation: Encoded
    test: Encoded
    annotated: Encoded


def main() -> None:
    """Trains, prints, draws."""
    parser, options = parse()
    try:
        prepared = prepare(options, options.seed)
        make(prepared, options, options.methods[0], options.seed)
    except (OSError, ValueError) as error:
        parser.error(str(error).splitlines()[0])
    corpus = prepared.corpus
    wrong = "share of wrong classes" if corpus.labels else "mean squared error"
    run = Run(
        parser,
        options,
        title=f"Learning to explain: {corpus.name}",
        about=f"{len(corpus.train)} texts to learn from, {len(corpus.validation)} to stop by, {len(corpus.test)} to "
        f"test on; {options.k} words are chosen of each. Test error is the {wrong}; precision, recall and F1 are "
        f"those of chosen words against {corpus.highlights} in {len(corpus.annotated)} texts not learned from.",
        columns=COLUMNS,
        published=published(options),
        free=("shown",),
    )
    print(f"{corpus.name}: {run.results.about}")
    for seed in seeds_of(options):
        if seed != options.seed:
            prepared = prepare(options, seed)
        add_baselines(run, prepared, seed)
        for method in options.methods:
            model = make(prepared, options, method, seed)
            checkpoint = run.checkpoint(method, seed)
            parts = prepared.train, prepared.validation, prepared.annotated
            trained = train(model, *parts, options, checkpoint, f"{method}, seed {seed}")
            metrics = measure(model, prepared, trained)
            run.add(method, seed, metrics, {"test_error": trained.error, "subset_f1": trained.f1})
            if seed == options.seed:
                write(run, prepared, model, method, metrics)
    title = f"{corpus.name}: {options.k} words chosen"
    run.finish([save_picture(draw(run.results, title, corpus.highlights), options.out, "learning_to_explain")])


def prepare(options: argparse.Namespace, seed: int) -> Prepared:
    """Reads or generates the corpus, and encodes it.

    Raises:
        OSError, ValueError: a file is missing, or not what it should be.
    """
    if options.esnli:
        corpus = read_esnli(options.esnli, seed)
    elif options.beer:
        corpus = read_beer(options.beer, options.aspect, seed)
    else:
        corpus = generate(options.aspect, seed, options.train_texts, options.test_texts)
    if options.vectors:
        corpus = replace(corpus, vectors=read_vectors(options.vectors))
    few = slice(options.test_texts)
    corpus = replace(
        corpus,
        train=corpus.train[: options.train_texts],
        validation=corpus.validation[few],
        test=corpus.test[few],
        annotated=corpus.annotated[few],
    )
    vocabulary = Vocabulary(corpus.train, options.least, corpus.vectors)
    parts = (corpus.train, corpus.validation, corpus.test, corpus.annotated)
    length = min(options.length, max(len(text.words) for texts in parts for text in texts))
    kind, _, name = options.encoder.partition(":")
    cut = Pieces(name).cut if kind == "bert" else None
    encoded = [
        encode(texts, vocabulary, classes=bool(corpus.labels), k=options.k, length=length, cut=cut).to(options.device)
        for texts in parts
    ]
    return Prepared(corpus, vocabulary, *encoded)


def make(prepared: Prepared, options: argparse.Namespace, method: str, seed: int) -> Explainer:
    """A new model, with weights drawn by this seed, on the device."""
    torch.manual_seed(seed)
    return make_model(
        options,
        method,
        seed,
        words=len(prepared.vocabulary),
        vectors=prepared.vocabulary.matrix(prepared.corpus.vectors),
        length=prepared.train.ids.shape[1],
        classes=len(prepared.corpus.labels),
    ).to(options.device)


def add_baselines(run: Run, prepared: Prepared, seed: int) -> None:
    """Adds what random choices and the rarest words have in common with people's."""
    texts = prepared.annotated
    choices = {"random words": random_choice(texts), "rarest words": rarest_words(texts)}
    if prepared.corpus.pairs:
        choices["rarest of second"] = rarest_words(texts, second_only=True)
    for name, chosen in choices.items():
        run.add(name, seed, subset_metrics(chosen, texts) | {"random_f1": random_f1(texts)})


def random_f1(texts: Encoded) -> float:
    """F1 of random choices."""
    return subset_metrics(random_choice(texts), texts)["subset_f1"]


def measure(model: Explainer, prepared: Prepared, trained: Trained) -> dict[str, float]:
    """The metrics of a trained model, by the names of `COLUMNS`."""
    texts = prepared.annotated
    return {
        "test_error": test_error(predict(model, prepared.test), prepared.test.targets.cpu()),
        **subset_metrics(choose(model, texts), texts.to("cpu")),
        "random_f1": random_f1(texts),
        "untrained_f1": trained.f1[0],
        "seconds": trained.seconds,
    }


def write(run: Run, prepared: Prepared, model: Explainer, method: str, metrics: Mapping[str, float]) -> None:
    """Writes the page of a trained model."""
    corpus, labels = prepared.corpus, prepared.corpus.labels
    chosen, predicted = choose(model, prepared.annotated), predict(model, prepared.annotated)
    explained = [
        Explained(
            text,
            frozenset(row.nonzero().flatten().tolist()),
            labels[int(guess.argmax())] if labels else f"{float(guess):.2f}",
            labels[int(text.target)] if labels else f"{text.target:.2f}",
            wrong=bool(labels) and int(guess.argmax()) != text.target,
        )
        for text, row, guess in zip(corpus.annotated, chosen, predicted, strict=True)
    ]
    taught = f"{corpus.highlights} taught it" if method == SUPERVISED else "nobody told them which words matter"
    summary = (
        f"A network chose {run.options.k} words of each text, and another predicted from these alone; {taught}. "
        f"Method {method}: F1 {metrics['subset_f1']:.2f} against {corpus.highlights}, where random choices have "
        f"{metrics['random_f1']:.2f}."
    )
    file = run.options.out / f"{method}.html"
    title = f"Learning to explain: {corpus.name}"
    shown = run.options.shown
    write_page(file, title, summary, explained, shown, planted=corpus.planted, rated=not labels)
    print(f"page: {file}")
