"""The options of the command line."""

from __future__ import annotations

import argparse

from examples.common.options import Parser, positive, positive_number
from examples.noise_study import gradients
from examples.noise_study.estimates import EXACT, METHODS


def parse(description: str) -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, and their parser for later errors."""
    parser = Parser("noise_study", description, methods=(EXACT, *METHODS), method="all")
    add = parser.add_argument
    add("--draws", type=positive, default=2000, metavar="N", help="gradients for each setting; default 2000")
    add("--sums", type=positive, default=10_000, metavar="N", help="sums in each histogram; default 10000")
    add("--steps", type=positive, default=50, metavar="N", help="of the optimisation; default 50, as published")
    add("--runs", type=positive, default=50, metavar="N", help="of the optimisation; default 50, as published")
    add("--tuning", type=positive, default=5, metavar="N", help="problems to choose learning rates on; default 5")
    add("--beta", type=positive_number, default=2.0, help="lambda in the optimisation; default 2, as published")
    add("--temperature", type=positive_number, default=1.0, help="of the noise in it; default 1, as published")
    add("--samples", type=positive, default=1, metavar="S", help="for each step of it; default 1, as published")
    options = parser.parse(quick={"draws": 100, "sums": 1000, "runs": 10, "tuning": 1})
    if options.draws < 2:
        parser.error(f"--draws: expected at least 2, got {options.draws}")
    options.temperatures, options.counts = gradients.TEMPERATURES, gradients.SAMPLES
    if options.quick:
        options.temperatures, options.counts = (1.0,), (1, 10)
    return parser, options
