"""Tables of results, in Markdown that is readable as text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from examples.common.results import Column, Results


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation, which is 0 for a single value; NaN for none."""
    if not values:
        return math.nan, math.nan
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def cell(values: Sequence[float], column: Column) -> str:
    """The mean over seeds, with the standard deviation where there are several; "-" where there is none."""
    mean, deviation = mean_and_deviation(values)
    if math.isnan(mean):
        return "-"
    text = format(mean, column.format)
    return f"{text} +- {deviation:{column.format}}" if column.deviation and len(values) > 1 else text


def table(results: Results) -> str:
    """The results of a run: a row for each method, means and standard deviations over seeds."""
    rows = [
        (method, [cell(results.values(method, name), column) for name, column in results.columns.items()])
        for method in results.methods
    ]
    return markdown(("method", *(column.title for column in results.columns.values())), rows)


def markdown(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table whose rows begin with their names."""
    lines = [head, ["---"] * len(head), *([name, *cells] for name, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
