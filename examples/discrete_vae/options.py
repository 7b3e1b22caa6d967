"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from examples.common.options import Parser, positive, positive_number
from examples.discrete_vae.codes import METHODS, Settings
from examples.discrete_vae.data import DATA
from examples.discrete_vae.model import COLUMNS
from examples.discrete_vae.training import Plan

PRESETS: dict[str, dict[str, Any]] = {
    "aimle-paper": {
        "methods": "aimle-central",
        "epochs": 100,
        "lr": 1e-3,
        "batch_size": 100,
        "data": "mnist",
        "k": 10,
        "samples": 10,
        "noise": "sog",
        "temperature": 1.0,
        "initial_beta": 0.0,
        "step": 1e-3,
        "target_norm": 10.0,
        "kl_weight": 10**-0.5,
    }
}
"""What `--preset` sets. aimle-paper: the run in torch-adaptive-imle's README, "Discrete Variational Auto-Encoders".

Its weight of the divergence is what the published code comes to for the encoder: the gradient of its AIMLE is sqrt(S)
too large (docs/migration.md), and Adam does not mind a factor on both.
"""

EPILOG = """\
--preset aimle-paper is the run in the README of torch-adaptive-imle, for options that are not given:
  python examples/discrete_vae --preset aimle-paper --idx DIR
"""


def parse(description: str) -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, and their parser for later errors."""
    parser = Parser("discrete_vae", description, methods=METHODS, epochs=30, lr=1e-3, epilog=EPILOG)
    add = parser.add_argument
    add("--preset", choices=tuple(PRESETS), help="published settings, for options that are not given")
    add("--data", choices=tuple(DATA), default="digits", help="images; mnist and fashion need --idx; default digits")
    add(
        "--idx",
        type=Path,
        metavar="DIR",
        help="folder of IDX files: train-images-idx3-ubyte and t10k-images-idx3-ubyte, as they are or .gz",
    )
    add("--train-images", type=positive, metavar="N", help="train on the first N images; default: all")
    add("--test-images", type=positive, metavar="N", help="test on the first N held-out images; default: all")
    add("--no-baseline", action="store_true", help="do not train on random codes, to compare with")
    add("--k", type=positive, default=10, help=f"how many of {COLUMNS} are chosen in each row of a code; default 10")
    add("--samples", type=positive, default=1, metavar="S", help="codes for each image; default 1")
    add("--batch-size", type=positive, default=50, metavar="N", help="images a step; default 50")
    add("--kl-weight", type=_share, default=1.0, help="of the divergence in the loss; default 1, the N-ELBO")
    add("--noise", choices=("sog", "gumbel"), default="sog", help="of imle, aimle and ste; default sog")
    add("--temperature", type=_share, default=0.5, help="of that noise, in units of scores; default 0.5")
    add("--beta", type=positive_number, default=10.0, help="lambda of imle; default 10")
    add("--initial-beta", type=_share, help="of AIMLE; default: as of the library")
    add("--step", type=positive_number, help="by which AIMLE's beta moves; default: as of the library")
    add("--target-norm", type=positive_number, help="of AIMLE: non-zeros in a row; default: as of the library")
    add("--hot", type=positive_number, default=1.0, help="first temperature of gumbel-softmax; default 1")
    add("--cold", type=positive_number, default=0.5, help="its last one; default 0.5")
    parser.set_defaults(**PRESETS.get(parser.parse_args().preset, {}))
    options = parser.parse(quick={"epochs": 2, "train_images": 200, "test_images": 100})
    if options.k >= COLUMNS:
        parser.error(f"--k: expected less than {COLUMNS}, the columns of a code, got {options.k}")
    if (options.data == "digits") != (options.idx is None):
        expected = f"--data {options.data} reads a folder of IDX files: give --idx DIR"
        parser.error(expected if options.idx is None else "--data digits reads no files: leave out --idx")
    return parser, options


def settings_of(options: argparse.Namespace) -> Settings:
    """Of codes and methods."""
    given = {"initial_beta": options.initial_beta, "step": options.step, "target_norm": options.target_norm}
    return Settings(
        k=options.k,
        samples=options.samples,
        noise=options.noise,
        temperature=options.temperature,
        beta=options.beta,
        aimle={name: value for name, value in given.items() if value is not None},
        hot=options.hot,
        cold=options.cold,
    )


def plan_of(options: argparse.Namespace) -> Plan:
    """Of the training."""
    return Plan(options.epochs, options.batch_size, options.lr, options.kl_weight, options.device)


def _share(text: str) -> float:
    """A number of 0 or more, as a type for argparse."""
    return 0.0 if text == "0" else positive_number(text)
