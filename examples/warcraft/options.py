"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from examples.common.options import Parser, positive, positive_number
from examples.warcraft.maps import SIZES
from examples.warcraft.methods import METHODS, PLAIN
from examples.warcraft.training import SCHEDULES

EPILOG = """\
The recipe that was published for the real maps (10 000 of them, 95 % cost-optimal at 12x12):
  python examples/warcraft --data DIR --train-maps 10000 --epochs 50 --batch-size 70 --beta 20 --lr 5e-4 \\
    --schedule steps
"""


def parse(description: str) -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, and their parser for later errors."""
    parser = Parser("warcraft", description, epilog=EPILOG)
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of the real maps; default: maps are generated")
    add("--write", type=Path, metavar="DIR", help="write the maps in the published layout to DIR, and stop")
    add("--size", type=int, choices=SIZES, default=12, help="tiles along the side of a map; default 12")
    add("--train-maps", type=positive, default=2000, metavar="N", help="maps to train on; default 2000")
    add("--test-maps", type=positive, default=500, metavar="N", help="held-out maps; default 500")
    add(
        "--method",
        choices=(*METHODS, PLAIN),
        default="imle",
        help="how the layer is differentiated, or none: a plain ResNet18 without a layer; default imle",
    )
    add(
        "--compare",
        metavar="METHODS",
        help="train several methods on the same maps and seeds, for example imle,aimle,none, or all; writes a table "
        "and a chart",
    )
    add("--seeds", type=positive, default=3, metavar="N", help="with --compare: seeds for each method; default 3")
    add("--no-baseline", action="store_true", help="do not train the plain ResNet18 after the layer")
    add("--epochs", type=positive, default=4, metavar="N", help="passes over the training maps; default 4")
    add("--batch-size", type=positive, default=20, metavar="N", help="maps per step; default 20")
    add("--lr", type=positive_number, default=2e-3, help="the highest learning rate of Adam; default 2e-3")
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
    add("--device", default="cpu", help="device of the network, for example cuda; default cpu")
    add("--workers", type=int, metavar="N", help="threads that solve, 0 for none; default: one for each CPU")
    add(
        "--ray",
        metavar="ADDRESS",
        help="solve on a Ray cluster, by --workers actors: its host:port, auto for the one that runs here, or local to "
        "start one",
    )
    add("--save", type=Path, metavar="FILE", help="save the training here after each epoch")
    add("--resume", type=Path, metavar="FILE", help="go on with a saved training, up to --epochs in all")
    options = parser.parse()
    if options.quick:
        options.train_maps, options.test_maps, options.epochs = 40, 10, 2
    if options.compare is not None:
        known = (*METHODS, PLAIN)
        options.compare = known if options.compare == "all" else options.compare.split(",")
        if unknown := [method for method in options.compare if method not in known]:
            parser.error(f"--compare: unknown method {unknown[0]!r}; expected all, or some of {','.join(known)}")
        if options.save or options.resume:
            parser.error("--compare trains anew each time; leave out --save and --resume")
    if options.write and options.data:
        parser.error("--write writes generated maps; leave out --data")
    if options.save and options.save.is_dir():
        parser.error(f"--save: expected a file, got the folder {options.save}")
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {options.device}: {str(error).splitlines()[0]}")
    return parser, options
