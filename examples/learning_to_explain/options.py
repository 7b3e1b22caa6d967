"""The command line of learning to explain, and the published settings."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.common.options import Parser, positive, positive_number
from examples.learning_to_explain.beer import ASPECTS
from examples.learning_to_explain.choosing import METHODS, NOISES, SUPERVISED
from examples.learning_to_explain.encoding import number_of_words
from examples.learning_to_explain.published import NETWORKS

_PUBLISHED: dict[str, Any] = {
    **NETWORKS,
    "word_dropout": 0.0,
    "least": 1,
    "smoothing": 0.0,
    "samples": 1,
    "noise": "gumbel",
    "temperature": 1.0,
    "target_temperature": 1.0,
    "patience": None,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # README of imle-annotator, "python3 beer-cli.py -a 0 -e 1 -b 40 -k 3 -H 250 -m 350 -K 10 -r 1 -M imle ..."
    "beer-imle": _PUBLISHED
    | {"methods": "imle", "aspect": 0, "epochs": 1, "batch_size": 40, "length": 350, "k": "10", "embedding": 200}
    | {"beta": 1000.0},
    # README of torch-adaptive-imle, "python3 ./cli/l2x-cli.py -a 3 -e 20 -b 40 -k 3 -H 250 -m 350 -K 10 -r 10 ..."
    "beer-aimle": _PUBLISHED
    | {"methods": "aimle-central", "aspect": 3, "epochs": 20, "batch_size": 40, "length": 350, "k": "10"}
    | {"embedding": 200, "seeds": 10, "initial_beta": 0.0, "step": 1e-4, "target_norm": 1.0},
    # README of imle-annotator, "python3 esnli-cli.py -e 10 -b 256 -k 3 -H 250 -m 150 -K 3 -r 1 -M imle ..."
    "esnli-imle": _PUBLISHED
    | {"methods": "imle", "epochs": 10, "batch_size": 256, "length": 150, "k": "3", "embedding": 300, "beta": 1000.0},
}

QUICK = {"train_texts": 200, "test_texts": 60, "epochs": 2, "filters": 16, "hidden": 16, "embedding": 16}


def parse() -> tuple[Parser, argparse.Namespace]:
    """Reads and checks the command line; returns the parser, too, for errors that turn up later."""
    parser = Parser("learning_to_explain", _TEXT, methods=METHODS, method="aimle", epochs=20, lr=1e-2)
    add = parser.add_argument
    add("--preset", choices=tuple(PRESETS), help="published settings, for options that are not given")
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--esnli",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="e-SNLI: one file, divided by its first sentences, or several with train, dev and test in their names; "
        ".csv are the official ones, others have JSON in each line",
    )
    data.add_argument("--beer", type=Path, metavar="DIR", help="BeerAdvocate: folder of reviews, annotations, vectors")
    add("--aspect", type=int, choices=range(len(ASPECTS)), help=f"of beers: {_numbered(ASPECTS)}; default 1")
    add(
        "--vectors", type=Path, metavar="FILE", help="word vectors as of GloVe, which are not learned; default: learned"
    )
    add("--train-texts", type=positive, metavar="N", help="texts to learn from, at most; default 2000 where generated")
    add("--test-texts", type=positive, metavar="N", help="texts to test on, at most; default 500 where generated")
    add(
        "--k",
        type=_k,
        help="words to choose, or a share of each text's, as 20%%; default 3 generated, 4 e-SNLI, 10 beer",
    )
    add("--length", type=positive, metavar="N", help="words of a text that are seen, at most; default 350")
    add(
        "--pretrained-lr",
        type=positive_number,
        default=2e-5,
        help="learning rate of a model of bert:NAME; default 2e-5",
    )
    add("--encoder", type=_encoder, default="conv", help="conv, transformer or bert:NAME (extra hf); default conv")
    add(
        "--predictor", choices=("mean", "pair"), help="mean of chosen words, or sentences compared; default by the data"
    )
    add(
        "--features",
        action=argparse.BooleanOptionalAction,
        help="whether the network that chooses sees sentence, repetition and rarity of words; default: of pairs",
    )
    for name, value, text in (
        ("--embedding", 64, "numbers of a learned word vector"),
        ("--filters", 64, "channels of the network that chooses"),
        ("--kernel", 3, "words that its first convolution sees"),
        ("--hidden", 64, "units of the network that predicts"),
        ("--least", 2, "occurrences that make a word known"),
        ("--batch-size", 64, "texts a step"),
        ("--samples", 1, "choices a text in training"),
    ):
        add(name, type=positive, default=value, metavar="N", help=f"{text}; default {value}")
    add("--dropout", type=_share, default=0.3, help="share of numbers dropped in training; default 0.3")
    add(
        "--word-dropout", type=_share, help="of words unknown to the scorer in training; default 0.5 for e-SNLI, else 0"
    )
    add("--smoothing", type=_share, default=0.2, help="of the labels of classes in training; default 0.2")
    add(
        "--decay",
        action=argparse.BooleanOptionalAction,
        help="learning rate falls from epoch to epoch; default: e-SNLI",
    )
    add("--patience", type=positive, default=3, metavar="N", help="epochs without a better validation loss; default 3")
    add("--beta", type=positive_number, help="lambda of I-MLE; default: in units of the scores")
    add("--temperature", type=positive_number, help="of the noise; default: in units of the scores")
    add("--target-temperature", type=positive_number, help="of the noise in the target's solve; default: the same")
    add("--noise", choices=tuple(NOISES), default="auto", help="default: Sum-of-Gamma by the number of words")
    add("--l2x-temperature", type=positive_number, default=0.1, help="of method l2x; default 0.1, as published")
    add("--softsub-temperature", type=positive_number, default=0.5, help="of method softsub; default 0.5, as published")
    add("--initial-beta", type=float, help="of AIMLE; default: as of the library")
    add("--step", type=positive_number, help="by which AIMLE's beta moves; default: as of the library")
    add("--target-norm", type=positive_number, help="of AIMLE; default: as of the library")
    add("--shown", type=positive, default=200, metavar="N", help="texts on the page; default 200")
    parser.set_defaults(**PRESETS.get(parser.parse_args().preset, {}))
    options = parser.parse(quick=QUICK)
    if options.preset and options.preset.startswith("esnli") != bool(options.esnli):
        parser.error(
            f"--preset {options.preset}: expected {'--esnli' if 'esnli' in options.preset else 'beers'} as data"
        )
    if options.beer and SUPERVISED in options.methods:
        parser.error(f"--method {SUPERVISED}: needs highlights in the texts to learn from, which --beer has not")
    if options.kernel % 2 == 0:
        parser.error(f"--kernel: expected an odd number, got {options.kernel}")
    if options.filters % 4 and options.encoder == "transformer":
        parser.error(f"--filters: expected a multiple of 4 for a transformer, got {options.filters}")
    _fill(options)
    if number_of_words(options.k, options.length) == options.length:
        parser.error(f"--k: expected less than {options.length}, the words that are seen of a text, got {options.k}")
    return parser, options


def _fill(options: argparse.Namespace) -> None:
    """Gives options that depend on the data their defaults."""
    generated = not (options.esnli or options.beer)
    defaults: dict[str, Any] = {
        "aspect": 1,
        "length": 350,
        "k": "3" if generated else "4" if options.esnli else "10",
        "predictor": "pair" if options.esnli else "mean",
        "features": bool(options.esnli),
        "decay": bool(options.esnli),
        "word_dropout": 0.5 if options.esnli else 0.0,
    }
    if generated:
        defaults |= {"train_texts": 2000, "test_texts": 500}
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)


def _numbered(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in enumerate(names))


def _k(text: str) -> str:
    number, share = text.removesuffix("%"), text.endswith("%")
    if not number.isdecimal() or not 1 <= int(number) <= (100 if share else 10**6):
        raise argparse.ArgumentTypeError(f"expected a number of words, or a share from 1% to 100%, got {text!r}")
    return text


def _encoder(text: str) -> str:
    if text not in ("conv", "transformer") and not re.fullmatch("bert:.+", text):
        raise argparse.ArgumentTypeError(f"expected conv, transformer or bert:NAME, got {text!r}")
    return text


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, got {text!r}")
    return number


_TEXT = """Learns to explain: a network chooses k words of a text, and another predicts from these words alone.

Nobody tells it which words matter. Afterwards the choices are compared with the words that people highlighted.
Without data, reviews of beers are generated. --preset sets what was published; for the figures of the I-MLE paper:
--preset beer-imle --aspect 1 --epochs 20 --seeds 10 --noise sog --temperature 10 --target-temperature 10.
"""
