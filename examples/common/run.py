"""A run of an experiment: trainings of several methods and seeds, their checkpoints, results, and the end's table.

An experiment stays a plain training script; this is all that its `main` needs of a run:

    parser = Parser("toy", __doc__, methods=("imle", "ste"), epochs=10, lr=1e-2)
    options = parser.parse()
    run = Run(parser, options, title="A toy", about="What it shows.", columns={"error": Column("test error", ".2%")})
    for method, seed in trainings(options):
        metrics = train(data, method, seed, options, run.checkpoint(method, seed))    # {"error": 0.04, ...}
        run.add(method, seed, metrics)
    save_picture(draw(run.results), options.out, "toy")
    run.finish()
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.common import machine
from examples.common.checkpoints import Checkpoint, check_settings
from examples.common.options import Parser, trainings
from examples.common.results import FILE, Column, Published, Results, Row, read_results, write_results
from examples.common.tables import table

FREE = ("out", "resume", "seeds", "methods", "device", "quick")
"""Options that leave the numbers of a training as they are, or, as the device does, next to that."""


class Run:
    """A run in the folder `--out`.

    Args:
        parser: for errors of one line.
        options: what it gave, changed by `--quick` if that changes them.
        title, about: of the section in `docs/results.md`.
        columns: of tables, by the metrics' names.
        published: figures to stand beside these, for these options.
        free: options of the experiment on which a resumed run need not agree, such as numbers of workers.

    Attributes:
        results: so far.

    Exits with an error of one line if `--resume` finds nothing, or what was made by other options.
    """

    def __init__(
        self,
        parser: Parser,
        options: argparse.Namespace,
        *,
        title: str,
        about: str,
        columns: Mapping[str, Column],
        published: Iterable[Published] = (),
        free: Sequence[str] = (),
    ) -> None:
        self.options = options
        settings = {name: _plain(value) for name, value in vars(options).items()}
        self._decisive = {name: value for name, value in settings.items() if name not in (*FREE, *free)}
        self.results = Results(
            experiment=parser.name,
            title=title,
            about=about,
            command=_command(parser.name, sys.argv[1:]),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            machine=machine.describe(options.device),
            settings={name: value for name, value in settings.items() if name not in ("out", "resume")},
            columns=dict(columns),
            published=list(published),
        )
        self._earlier: dict[tuple[str, int], Row] = {}
        if options.resume:
            try:
                self._take_up(parser)
            except (OSError, ValueError) as error:
                parser.error(str(error))

    def checkpoint(self, method: str, seed: int) -> Checkpoint:
        """Where a training keeps its state: `OUT/checkpoints/METHOD-SEED.pt`."""
        file = self.options.out / "checkpoints" / f"{method}-{seed}.pt"
        return Checkpoint(file, self._decisive, resume=self.options.resume, device=self.options.device)

    def finished(self, method: str, seed: int) -> Row | None:
        """With `--resume`, what the interrupted run had added for a method and seed; for what has no checkpoint."""
        return self._earlier.get((method, seed))

    def add(
        self,
        method: str,
        seed: int,
        metrics: Mapping[str, float],
        curves: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Adds a training's, or a baseline's, metrics by name, and writes `OUT/results.json`.

        Metrics of time are named "seconds" or "..._seconds": a resumed run equals an uninterrupted one in all others.
        """
        values = {name: float(value) for name, value in metrics.items()}
        points = {name: [float(value) for value in curve] for name, curve in (curves or {}).items()}
        others = [row for row in self.results.rows if (row.method, row.seed) != (method, seed)]  # of an earlier run
        self.results.rows = [*others, Row(method, seed, values, points)]
        write_results(self.options.out, self.results)

    def finish(self, pictures: Sequence[str] = ()) -> None:
        """Prints the table, and writes it as `OUT/table.md` beside `OUT/results.json`, which names the pictures."""
        self.results.pictures = list(pictures)
        text = table(self.results)
        print(text)
        (self.options.out / "table.md").write_text(text + "\n", encoding="utf-8")
        print(f"results: {write_results(self.options.out, self.results)}")

    def _take_up(self, parser: Parser) -> None:
        """Checks all that a resumed run takes up, before work starts."""
        out = self.options.out
        found = False
        if (out / FILE).is_file():
            earlier = read_results(out / FILE)
            shared = {name: value for name, value in earlier.settings.items() if name in self._decisive}
            check_settings(out / FILE, shared, self._decisive)
            self._earlier = {(row.method, row.seed): row for row in earlier.rows}
            # What this run does not train stays beside it; what it does is added anew.
            others = set(parser.methods) - set(getattr(self.options, "methods", ()))
            self.results.rows += [row for row in earlier.rows if row.method in others]
            found = True
        if hasattr(self.options, "methods"):
            for method, seed in trainings(self.options):
                found |= self.checkpoint(method, seed).check()
        if not found:
            raise ValueError(f"--resume: expected {FILE} or checkpoints of an earlier run in {out}, found none")


def _plain(value: Any) -> Any:
    """A value of an option as JSON has it; of an absolute path the name, for results are shown to others."""
    if isinstance(value, Path):
        return value.name if value.is_absolute() else str(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _command(name: str, arguments: Sequence[str]) -> str:
    """The command without what says where its results are; of absolute paths the name."""
    shown: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        option, _, value = argument.partition("=")
        if option == "--out":
            if not value:
                next(rest, None)
        elif argument != "--resume":
            shown.append(Path(argument).name if Path(argument).is_absolute() else argument)
    return shlex.join(["python", f"examples/{name}", *shown])
