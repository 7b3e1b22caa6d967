"""The command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.common.options import Parser, positive, positive_number
from examples.common.results import Published
from examples.relational_inference.latents import METHODS
from examples.relational_inference.particles import KINDS

PAPER = {
    "systems": 50_000,
    "test": 10_000,
    "hidden": 256,
    "batch_size": 128,
    "ahead": 9,
    "lr": 5e-4,
    "epochs": 128,
}
"""Of Paulus et al. (2020) and Minervini et al. (2023): 50 000 steps; of 20 time steps 10 are predicted ahead."""

MOST_PAIRS = 10**9
"""Of all systems: what is generated is held in memory, some ten numbers a pair in the making."""


def make_parser(text: str) -> Parser:
    """The options of this experiment."""
    parser = Parser("relational_inference", text, methods=METHODS, method="aimle-central", epochs=30, lr=1e-2)
    add = parser.add_argument
    add(
        "--data",
        default="layout",
        metavar="KIND",
        help=f"{', '.join(KINDS)}, or a file NAME.npz with tracks (N, T, n, D) and influence (N, n, n); default layout",
    )
    add("--steps", type=positive, default=10, metavar="T", help="time steps; 10 and 20 as published; default 10")
    add("--nodes", type=positive, default=10, metavar="N", help="particles; default 10")
    add("--systems", type=positive, default=2000, metavar="N", help="systems to learn from; default 2000")
    add("--test", type=positive, default=500, metavar="N", help="systems held out; default 500")
    add("--hidden", type=positive, default=32, metavar="N", help="units of a layer; default 32")
    add("--batch-size", type=positive, default=32, metavar="N", help="systems of a step of training; default 32")
    add("--ahead", type=positive, default=1, metavar="N", help="steps predicted from a true state; default 1")
    add("--variance", type=positive_number, default=5e-5, help="of predictions; default 5e-5, as published")
    add("--step", type=positive_number, default=0.5, help="lambda of I-MLE; default 0.5")
    add(
        "--preset",
        choices=("aimle-paper",),
        help="data, sizes and rates of the AIMLE paper, for days on a CPU; --steps 10 or 20",
    )
    return parser


def parse(parser: Parser) -> argparse.Namespace:
    """The options of the command line, checked."""
    options = parser.parse(quick={"systems": 40, "test": 20, "epochs": 2, "hidden": 8})
    if options.preset:
        vars(options).update(PAPER, data="layout", nodes=10)
        options.ahead = 9 if options.steps == 10 else 10
    if options.data not in KINDS:
        options.data = Path(options.data)
        if options.data.suffix != ".npz":
            known = ", ".join(KINDS)
            parser.error(f"--data: expected {known} or a file NAME.npz, got {str(options.data)!r}")
    if options.nodes < 3:
        parser.error(f"--nodes: expected at least 3, got {options.nodes}")
    if options.steps < 2:
        parser.error(f"--steps: expected at least 2, got {options.steps}")
    pairs = (options.systems + options.test) * options.nodes**2
    if options.data in KINDS and pairs > MOST_PAIRS:
        parser.error(f"--systems, --nodes: expected at most {MOST_PAIRS} pairs of particles in all, got {pairs}")
    if options.data in KINDS and options.ahead >= options.steps:
        parser.error(f"--ahead: expected less than {options.steps}, the time steps, got {options.ahead}")
    return options


def published(options: argparse.Namespace) -> list[Published]:
    """AIMLE's precision where data are of that kind, and in what its set-up is another than that of these options."""
    if options.data != "layout" or (options.nodes, options.steps) != (10, 10):
        return []
    here = vars(options)
    differing = [f"{name} {value:g} (here {here[name]:g})" for name, value in PAPER.items() if here[name] != value]
    differing += ["data of their own generator", "Sum-of-Gamma noise", "another decoder, see docs/examples.md"]
    source = "AIMLE paper, arXiv 2209.04862, neural relational inference at 10 steps"
    return [Published("aimle-central", {"precision": 0.637}, source, ", ".join(differing))]
