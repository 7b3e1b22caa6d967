"""The command line of an example: options that all have, types of their values, errors of one line."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser with the options of every example, and errors of one line; the exit code is 2, as usual."""

    def __init__(self, name: str, description: str, **kwargs: Any) -> None:
        super().__init__(
            prog=f"examples/{name}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )
        self.add_argument("--seed", type=seed, default=0, help="seed of all randomness; default 0")
        self.add_argument(
            "--out", type=Path, default=Path("runs", name), help=f"folder for the picture; default runs/{name}"
        )
        self.add_argument("--quick", action="store_true", help="a run of a few seconds, to see that everything works")

    def parse(self) -> argparse.Namespace:
        """The options of the command line; makes the folder for the picture, rather than fail after the training."""
        options = self.parse_args()
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.error(f"--out: cannot make the folder {options.out}: {error.strerror}")
        if not os.access(options.out, os.W_OK):
            self.error(f"--out: cannot write to the folder {options.out}")
        return options

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong and exits."""
        self.exit(2, f"{self.prog}: error: {message} (options: --help)\n")


def positive(text: str) -> int:
    """A whole number of at least 1, as a type for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """A number above 0, as a type for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def seed(text: str) -> int:
    """A seed that both NumPy and PyTorch take, as a type for argparse."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2**63 - 1, got {text!r}")
    return int(text)
