"""What a run has come to, as `results.json`: written here, read here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from examples.common.files import write_whole

FILE = "results.json"


@dataclass(frozen=True)
class Column:
    """A metric's column in tables.

    Attributes:
        title: above it.
        format: of its numbers, as of `format`: ".1%", ".3f".
        deviation: whether the standard deviation over seeds stands beside the mean.
    """

    title: str
    format: str = ".3f"
    deviation: bool = True


@dataclass(frozen=True)
class Published:
    """A published figure.

    Attributes:
        method: its row's name.
        metrics: by the names of the run's metrics, in their units.
        source: paper and table, or the page.
        differs: in what its set-up is not this run's; "": it is the same.
    """

    method: str
    metrics: Mapping[str, float]
    source: str
    differs: str = ""


@dataclass(frozen=True)
class Row:
    """What one training, or a baseline, came to: its metrics by name, and curves over its epochs if there are any."""

    method: str
    seed: int
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass
class Results:
    """What a run has come to.

    Attributes:
        experiment: the name of its folder.
        title, about: of its section in `docs/results.md`, in plain words.
        command: which makes it.
        date: when, as 2026-11-24.
        machine: what it ran on, see `machine.describe`.
        settings: all options.
        columns: of tables, by the metrics' names; metrics without a column are in the file only.
        rows: in the order of tables.
        published: figures to stand beside these.
        pictures: names of files beside this one.
    """

    experiment: str
    title: str
    about: str
    command: str
    date: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    columns: dict[str, Column]
    rows: list[Row] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        """The names of rows, each once, in their order."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def values(self, method: str, metric: str) -> list[float]:
        """A metric of a method, for each seed that has it."""
        return [row.metrics[metric] for row in self.rows if row.method == method and metric in row.metrics]


def write_results(folder: Path, results: Results, name: str = FILE) -> Path:
    """Writes the file `name`, whole or not at all; numbers that are not finite become null. Returns where."""
    text = json.dumps(_finite(asdict(results)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_whole(folder / name, lambda path: path.write_text(text, encoding="utf-8"))
    return folder / name


def read_results(file: Path) -> Results:
    """Reads a file that `write_results` wrote; null is NaN.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not such a file.
    """
    if not file.is_file():
        raise FileNotFoundError(f"expected a file {FILE} of a run, found nothing at {file}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return Results(
            **found
            | {
                "columns": {name: Column(**column) for name, column in found["columns"].items()},
                "rows": [_row(row) for row in found["rows"]],
                "published": [
                    Published(**published | {"metrics": _numbers(published["metrics"])})
                    for published in found["published"]
                ],
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is not a file of results that a run wrote: {error}") from error


def _row(row: dict[str, Any]) -> Row:
    curves = {name: [math.nan if value is None else float(value) for value in c] for name, c in row["curves"].items()}
    return Row(str(row["method"]), int(row["seed"]), _numbers(row["metrics"]), curves)


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in metrics.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
