"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.common.methods import METHODS
from examples.common.options import Parser, positive, positive_number
from examples.parsing.losses import PLAIN
from examples.parsing.trees import KINDS

EPILOG = """\
The method "none" trains without a solver, by the cross-entropy of each word's head (rooted) or of each edge
(undirected); it is trained beside the others, to compare with.
"""


def parse(description: str) -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, checked, and their parser for later errors."""
    parser = Parser("parsing", description, methods=(*METHODS, PLAIN), epochs=80, lr=1e-2, epilog=EPILOG)
    add = parser.add_argument
    add(
        "--trees",
        choices=KINDS,
        default="rooted",
        help="words and their heads, or edges without direction; default rooted",
    )
    add("--conllu", type=Path, metavar="FILE", help="sentences to learn from, in CoNLL-U; default: they are generated")
    text = "held-out sentences in CoNLL-U; default: the last tenth of --conllu"
    add("--conllu-test", type=Path, metavar="FILE", help=text)
    add("--sentences", type=positive, default=150, metavar="N", help="generated ones to learn from; default 150")
    add("--test", type=positive, default=500, metavar="N", help="generated ones that are held out; default 500")
    add("--no-baseline", action="store_true", help='do not train the method "none" beside the others')
    add("--batch-size", type=positive, default=32, metavar="N", help="sentences of a step of training; default 32")
    add("--samples", type=positive, default=5, metavar="S", help="perturbed trees per sentence in training; default 5")
    add("--beta", type=positive_number, default=2.0, help="lambda of I-MLE, in units of the scores; default 2")
    add("--temperature", type=positive_number, default=1.0, help="of the noise, which is Gumbel's; default 1")
    add("--hidden", type=positive, default=48, metavar="N", help="units of a layer; default 48")
    add("--layers", type=int, default=1, metavar="N", help="of the LSTM; 0: words without context; default 1")
    add("--dropout", type=float, default=0.2, help="share of words and units left out in training; default 0.2")
    options = parser.parse(quick={"sentences": 20, "test": 20, "epochs": 2, "hidden": 8})
    if options.layers < 0:
        parser.error(f"--layers: expected 0 or more, got {options.layers}")
    if not 0 <= options.dropout < 1:
        parser.error(f"--dropout: expected a share from 0 to below 1, got {options.dropout}")
    if options.conllu_test and not options.conllu:
        parser.error("--conllu-test: expected --conllu FILE beside it, to learn from")
    if not options.no_baseline and PLAIN not in options.methods:
        options.methods = (*options.methods, PLAIN)
    return parser, options
