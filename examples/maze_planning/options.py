"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.common.methods import METHODS
from examples.common.options import Parser, positive
from examples.maze_planning.model import PLAIN

EPILOG = """\
The method "none" is a plain U-Net without a layer. By default it is trained after a single method, for as many epochs,
to compare with.
"""


def parse(description: str) -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, and their parser for later errors."""
    parser = Parser("maze_planning", description, methods=(*METHODS, PLAIN), epochs=10, lr=5e-3, epilog=EPILOG)
    add = parser.add_argument
    add(
        "--planning",
        type=Path,
        metavar="FILE",
        help="mazes of planning-datasets, as mazes_032_moore_c8.npz; default: mazes are generated",
    )
    add("--train-mazes", type=positive, default=800, metavar="N", help="mazes to train on; default 800")
    add("--test-mazes", type=positive, default=200, metavar="N", help="held-out mazes; default 200")
    add(
        "--walls",
        choices=("learned", "known"),
        default="learned",
        help="whether the solver knows only the costs, or is told where walls are; default learned",
    )
    add("--no-baseline", action="store_true", help="do not train the plain U-Net after a single method")
    add("--batch-size", type=positive, default=20, metavar="N", help="mazes per step; default 20")
    add("--samples", type=positive, default=1, metavar="S", help="perturbed paths per maze in training; default 1")
    add("--beta", type=float, default=20.0, help="lambda of I-MLE; default 20")
    add("--temperature", type=float, default=0.1, help="of the noise, in units of cost; floor costs 1; default 0.1")
    add("--workers", type=int, metavar="N", help="threads that solve, 0 for none; default: one for each CPU")
    return parser, parser.parse(quick={"train_mazes": 40, "test_mazes": 10, "epochs": 2})
