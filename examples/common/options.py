"""The command line of an experiment: options that all have, types of their values, errors of one line."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch


class Parser(argparse.ArgumentParser):
    """A parser with the options of every experiment, and errors of one line; the exit code is 2, as usual.

    All have `--seed`, `--seeds`, `--quick`, `--out`, `--device` and `--resume`; the others as the arguments say. An
    experiment adds its own with `add_argument`.

    Args:
        name: of the experiment's folder, and of that of its results in `runs`.
        description: shown by `--help`.
        methods: what `--method` knows, in the order of tables, such as those of `methods.METHODS` that the experiment
            supports; empty: there is no such option.
        method: its default; "": the first.
        epochs, lr: defaults of `--epochs` and `--lr`; None: there is no such option.
        seeds: default of `--seeds`.
        kwargs: of `argparse.ArgumentParser`.
    """

    def __init__(
        self,
        name: str,
        description: str,
        *,
        methods: Sequence[str] = (),
        method: str = "",
        epochs: int | None = None,
        lr: float | None = None,
        seeds: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            prog=f"examples/{name}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )
        self.name, self.methods = name, tuple(methods)
        self._made: list[Path] = []
        add = self.add_argument
        add("--seed", type=seed, default=0, help="seed of all randomness; default 0")
        text = f"trainings, of N seeds from --seed on; default {seeds}"
        add("--seeds", type=positive, default=seeds, metavar="N", help=text)
        add("--quick", action="store_true", help="a run of a few seconds, to see that everything works")
        add("--out", type=Path, default=Path("runs", name), help=f"folder for all results; default runs/{name}")
        add("--device", default="cpu", help="device of the training, for example cuda; default cpu")
        add("--resume", action="store_true", help="go on with the interrupted run in the folder --out")
        if methods:
            chosen = method or methods[0]
            add(
                "--method",
                dest="methods",
                default=chosen,
                metavar="NAMES",
                help=f"all, or some of {','.join(methods)}; several are compared; default {chosen}",
            )
        if epochs is not None:
            text = f"passes over the training data; default {epochs}"
            add("--epochs", type=positive, default=epochs, metavar="N", help=text)
        if lr is not None:
            add("--lr", type=positive_number, default=lr, help=f"learning rate; default {lr:g}")

    def parse(self, quick: Mapping[str, Any] | None = None) -> argparse.Namespace:
        """The options of the command line, `options.methods` as a tuple of names.

        Makes the folder for results and tries the device, rather than fail after the training.

        Args:
            quick: what `--quick` makes the defaults of options, or adds to them.
        """
        options = self.parse_args()
        if options.quick:
            self.set_defaults(**(quick or {}))
            options = self.parse_args()
        if self.methods:
            options.methods = self._methods(options.methods)
        try:
            torch.empty(1, device=options.device).tolist()
        except (RuntimeError, AssertionError) as error:
            self.error(f"--device {options.device}: {str(error).splitlines()[0]}; leave it out to use the CPU")
        if options.out == Path():
            self.error("--out: expected the name of a folder, got none")
        if options.out.is_file():
            self.error(f"--out: expected a folder, got the file {options.out}")
        self._made = [folder for folder in (options.out, *options.out.parents) if not folder.exists()]
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.error(f"--out: cannot make the folder {options.out}: {error.strerror}")
        if not os.access(options.out, os.W_OK):
            self.error(f"--out: cannot write to the folder {options.out}")
        return options

    def _methods(self, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        if "all" in names:
            return self.methods
        if unknown := [name for name in names if name not in self.methods]:
            known = ",".join(self.methods)
            self.error(f"--method: unknown method {unknown[0]!r}; expected all, or some of {known}")
        return names

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong and exits; of folders that were made for results, none stays."""
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()
        self.exit(2, f"{self.prog}: error: {message} (options: --help)\n")


def seeds_of(options: argparse.Namespace) -> range:
    """The seeds of the run: `--seeds` many from `--seed` on."""
    return range(options.seed, options.seed + options.seeds)


def trainings(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Method and seed of each training of the run; each seed with all methods before the next."""
    for seed in seeds_of(options):
        for method in options.methods:
            yield method, seed


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
