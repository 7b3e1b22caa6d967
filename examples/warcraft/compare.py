"""Comparing methods on the same maps and seeds: a table and a chart."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from examples.warcraft.maps import Maps
from examples.warcraft.model import SolverModel
from examples.warcraft.training import Training


@dataclass(frozen=True)
class Result:
    """What one training came to.

    Attributes:
        exact, optimal: shares of held-out maps, see `training.Point`.
        seconds: of training.
        solves: shortest paths found in training, forward and backward.
    """

    exact: float
    optimal: float
    seconds: float
    solves: int


def result_of(training: Training, test: Maps, solves: int) -> Result:
    """Scores a training on held-out maps."""
    exact, optimal = training.score(test)
    return Result(exact, optimal, training.history[-1].seconds, solves)


def solves_of(training: Training) -> int:
    """Instances that the model's layer has solved so far; none for the plain network."""
    return training.model.layer.stats().instances if isinstance(training.model, SolverModel) else 0


def table(results: Mapping[str, Sequence[Result]]) -> str:
    """A Markdown table: means over seeds, and for the metrics standard deviations."""
    lines = [
        "| method | cost-optimal | exact match | seconds of training | solves in training |",
        "|---|---|---|---|---|",
    ]
    for method, runs in results.items():
        seconds = statistics.mean(run.seconds for run in runs)
        solves = statistics.mean(run.solves for run in runs)
        metrics = (_mean_and_deviation([getattr(run, name) for run in runs]) for name in ("optimal", "exact"))
        cells = [f"{mean:.1%} +- {deviation:.1%}" for mean, deviation in metrics]
        lines.append(f"| {method} | {' | '.join(cells)} | {seconds:.0f} | {solves:.0f} |")
    return "\n".join(lines)


def chart(results: Mapping[str, Sequence[Result]], title: str) -> Figure:
    """Bars of both metrics for each method, with standard deviations over seeds, and the time of training."""
    figure = Figure(figsize=(1.5 + 1.3 * len(results), 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    places = range(len(results))
    for offset, name, label, colour in ((-0.2, "optimal", "cost-optimal", "C0"), (0.2, "exact", "exact match", "C7")):
        pairs = [_mean_and_deviation([getattr(run, name) for run in runs]) for runs in results.values()]
        bars = above.bar(
            [place + offset for place in places],
            [mean for mean, _ in pairs],
            0.38,
            yerr=[deviation for _, deviation in pairs],
            capsize=3,
            label=label,
            color=colour,
        )
        above.bar_label(bars, [f"{mean:.0%}" for mean, _ in pairs], fontsize=8, padding=2)
    above.set(ylabel="share of held-out maps", ylim=(0, 1.1), title=title)
    above.yaxis.set_major_formatter(PercentFormatter(1.0))
    above.legend(loc="upper right", ncols=2)
    seconds = [statistics.mean(run.seconds for run in runs) for runs in results.values()]
    below.bar_label(below.bar(places, seconds, 0.5, color="C1"), fmt="%.0f", fontsize=8, padding=2)
    below.set(ylabel="seconds of training", ylim=(0, 1.2 * max(seconds)))
    below.set_xticks(places, list(results), rotation=20)
    return figure


def write_table(text: str, folder: Path) -> Path:
    """Writes the table; returns where."""
    path = folder / "compare.md"
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
