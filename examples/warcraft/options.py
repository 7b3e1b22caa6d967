"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.common.methods import METHODS
from examples.common.options import Parser, positive
from examples.warcraft.frontends.choice import FRONTENDS, check
from examples.warcraft.learning import SCHEDULES
from examples.warcraft.maps import SIZES
from examples.warcraft.methods import PLAIN

EPILOG = """\
The method "none" is a plain ResNet18 without a layer, which is trained for the time of the slowest other method. By
default it is trained after a single method, to compare with.

The recipe that was published for the real maps (10 000 of them, 95 % cost-optimal at 12x12):
  python examples/warcraft --data DIR --train-maps 10000 --epochs 50 --batch-size 70 --beta 20 --lr 5e-4 \\
    --schedule steps
"""


def parse(description: str) -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, and their parser for later errors."""
    parser = Parser("warcraft", description, methods=(*METHODS, PLAIN), epochs=4, lr=2e-3, epilog=EPILOG)
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of the real maps; default: maps are generated")
    add("--write", type=Path, metavar="DIR", help="write the maps in the published layout to DIR, and stop")
    add("--size", type=int, choices=SIZES, default=12, help="tiles along the side of a map; default 12")
    add("--train-maps", type=positive, default=2000, metavar="N", help="maps to train on; default 2000")
    add("--test-maps", type=positive, default=500, metavar="N", help="held-out maps; default 500")
    add("--no-baseline", action="store_true", help="do not train the plain ResNet18 after a single method")
    add("--batch-size", type=positive, default=20, metavar="N", help="maps per step; default 20")
    add(
        "--schedule",
        choices=SCHEDULES,
        default="cycle",
        help="of the learning rate: cycle, a warm-up and a cosine, or the published steps; default cycle",
    )
    add("--samples", type=positive, default=1, metavar="S", help="perturbed paths per map in training; default 1")
    add(
        "--beta",
        type=float,
        default=6.0,
        help="lambda of I-MLE; as the loss is a mean over the batch, it should grow with it; default 6",
    )
    add("--temperature", type=float, default=0.01, help="of the noise, in units of cost; default 0.01")
    add("--workers", type=int, metavar="N", help="threads that solve, 0 for none; default: one for each CPU")
    add(
        "--ray",
        metavar="ADDRESS",
        help="solve on a Ray cluster, by --workers actors: its host:port, auto for the one that runs here, or local to "
        "start one",
    )
    add(
        "--frontend",
        choices=FRONTENDS,
        default="torch",
        help="of the network and the layer: jax (Equinox), or keras, on the backend that KERAS_BACKEND names; default "
        "torch; make warcraft-jax and make warcraft-keras have an environment with these",
    )
    options = parser.parse(quick={"train_maps": 40, "test_maps": 10, "epochs": 2})
    if options.write and options.data:
        parser.error("--write writes generated maps; leave out --data")
    check(parser, options)
    return parser, options
