"""What a layer has done so far."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.gaps import Gaps, gaps_of
from imle_solvers.report import Report
from imle_solvers.status import Status

_STEPS = 16
"""Bins of `SolveTimes` to a factor of two in time, so each is 4.4 % wide."""


@dataclass
class SolveTimes:
    """Times of single solves, in seconds. Those that were solved in one call of the adapter count with their mean.

    They are kept in bins, so quantiles are right to 4 %, whatever their number.
    """

    max: float = 0.0
    total: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, rows: int, seconds: float) -> None:
        """Adds so many solves that together took so long."""
        each = seconds / rows
        self.max = max(self.max, each)
        self.total += seconds
        self.bins[math.ceil(_STEPS * math.log2(max(each, 1e-9)))] += rows

    def quantile(self, share: float) -> float:
        """The time within which this share of the solves ended; 0 if there were none."""
        left = share * self.bins.total()
        for bin_, count in sorted(self.bins.items()):
            left -= count
            if left <= 0:
                return min(self.max, math.exp2(bin_ / _STEPS))
        return self.max

    @property
    def p50(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @property
    def p99(self) -> float:
        """The time within which 99 of 100 solves ended."""
        return self.quantile(0.99)

    def __repr__(self) -> str:
        return f"SolveTimes(p50={self.p50:.3g}, p99={self.p99:.3g}, max={self.max:.3g}, total={self.total:.3g})"


@dataclass
class ProvenGaps:
    """By how much of their objectives solutions are proven to be worse than the optimum at most, see `Solutions.gaps`.

    Attributes:
        known: how many solutions have a proven gap; optima have one of 0.
        unknown: how many have none.
        total: the sum of those that are known.
        largest: the largest of them.
    """

    known: int = 0
    unknown: int = 0
    total: float = 0.0
    largest: float = 0.0

    def add(self, statuses: NDArray[Any], gaps: Gaps | None = None) -> None:
        """Adds the solutions of a batch.

        Args:
            statuses: (N,) codes of `Status`; those that failed do not count.
            gaps: (N,); None: what the statuses say.
        """
        if gaps is None:
            if not np.count_nonzero(statuses):  # the usual case, and OPTIMAL is 0
                self.known += len(statuses)
                return
            gaps = gaps_of(statuses)
        gaps = gaps[statuses <= Status.FEASIBLE]
        known = gaps[np.isfinite(gaps)]
        self.known += known.size
        self.unknown += gaps.size - known.size
        self.total += float(known.sum())
        self.largest = max(self.largest, float(known.max(initial=0.0)))

    @property
    def mean(self) -> float:
        """Of the gaps that are known; NaN if there are none."""
        return self.total / self.known if self.known else math.nan

    @property
    def worst(self) -> float:
        """Infinity as soon as a solution has no proven gap, 0 if there were no solutions."""
        return math.inf if self.unknown else self.largest

    def __repr__(self) -> str:
        return f"ProvenGaps(mean={self.mean:.3g}, worst={self.worst:.3g}, known={self.known}, unknown={self.unknown})"


@dataclass
class Stats:
    """Counts and times since the layer was made, or since `reset`.

    Attributes:
        batches: solved batches, forward and target solves alike.
        instances: solved rows, B times the number of samples for each batch.
        statuses: how many of them ended how.
        counters: what the adapter counted, for example "clamped costs", and "worker restarts".
        executors: how many batches were solved where: "serial", "threads", "processes", or "device".
        solve_times: of single solves, in the solver alone.
        total_seconds: from giving batches to the executor until their solutions were there.
        copy_seconds: of it, moving arrays to workers and back.
        queue_seconds: of it, messages, queues, and workers that waited for the last of a batch.
        gaps: the mean and the worst proven gap of solutions, of those rows that were solved.
    """

    batches: int = 0
    instances: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    executors: Counter[str] = field(default_factory=Counter)
    solve_times: SolveTimes = field(default_factory=SolveTimes)
    total_seconds: float = 0.0
    copy_seconds: float = 0.0
    queue_seconds: float = 0.0
    gaps: ProvenGaps = field(default_factory=ProvenGaps)

    def add(self, report: Report) -> None:
        """Adds the times of a batch."""
        self.executors[report.executor] += 1
        self.total_seconds += report.total
        self.copy_seconds += report.copying
        self.queue_seconds += report.waiting
        for rows, seconds in report.chunks:
            self.solve_times.add(rows, seconds)

    def reset(self) -> None:
        """Sets everything to zero."""
        empty = Stats()
        for each in fields(self):
            setattr(self, each.name, getattr(empty, each.name))

    def __str__(self) -> str:
        counts = {status.name: count for status, count in sorted(self.statuses.items())} | dict(self.counters)
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        text = f"{self.batches} batches, {self.instances} instances" + (f": {listed}" if listed else "")
        if self.gaps.worst:
            text += f"; a proven gap of {self.gaps.mean:.2g} (mean), {self.gaps.worst:.2g} (worst)"
            text += f", none for {self.gaps.unknown} solutions" if self.gaps.unknown else ""
        if self.solve_times.bins:
            times = self.solve_times
            text += (
                f"; {', '.join(f'{count} {name}' for name, count in self.executors.items())}"
                f"; a solve {_readable(times.p50)} (p50), {_readable(times.p99)} (p99), {_readable(times.max)} (max)"
                f"; in all {_readable(self.total_seconds)}, of it {_readable(self.copy_seconds)} copying,"
                f" {_readable(self.queue_seconds)} waiting"
            )
        return text

    __repr__ = __str__


def _readable(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns" if seconds else "0 s"
