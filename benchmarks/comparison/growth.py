"""Time and memory of a step against the batch, the samples, and the size of the problem."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from comparison.memory import MB, in_fresh_process, step_peak
from comparison.problem import Contender
from comparison.rows import ours, warcraft_costs
from imle_adapters import AssignmentAdapter, MaxSpanningTreeAdapter, ShortestPathAdapter
from imle_solvers import SumOfGamma

_FITTED = 3
"""How many of the largest sizes an exponent is fitted to: small ones show what a call costs."""

_LEAST_MB = 1.0
"""Less memory than that is the allocator's."""


@dataclass(frozen=True)
class Series:
    """Steps of growing size.

    Attributes:
        key: its name.
        title: what grows, and the unit of `sizes`.
        sizes: ascending; the first only warms up.
        make: the contender, and thetas (B, *shape), for a size.
        expected: the exponent of the solver's own work, logarithms left out.
        samples: S for a size.
    """

    key: str
    title: str
    sizes: Sequence[int]
    make: Callable[[int], tuple[Contender, Tensor]]
    expected: float
    samples: Callable[[int], int] = lambda size: 1


def _grid(batch: int, side: int, samples: int) -> tuple[Contender, Tensor]:
    adapter = ShortestPathAdapter.grid(side, side)
    return ours(adapter, SumOfGamma(1.3 * side), samples), warcraft_costs(batch, side)


def _tree(nodes: int) -> tuple[Contender, Tensor]:
    adapter = MaxSpanningTreeAdapter(nx.complete_graph(nodes))
    return ours(adapter, SumOfGamma(nodes - 1), 1), torch.randn(4, nodes * (nodes - 1) // 2)


def _assignment(n: int) -> tuple[Contender, Tensor]:
    return ours(AssignmentAdapter(n, n), SumOfGamma(n), 1), torch.randn(2, n, n)


SERIES = {
    series.key: series
    for series in (
        Series("batch", "grids 12x12 in a batch, S = 1", (10, 100, 1000, 3000, 10_000), lambda b: _grid(b, 12, 1), 1),
        Series("samples", "samples of 70 grids 12x12", (1, 4, 16, 64, 256), lambda s: _grid(70, 12, s), 1, lambda s: s),
        Series(
            "grid", "cells of one grid", (32**2, 64**2, 128**2, 256**2, 512**2), lambda n: _grid(1, round(n**0.5), 1), 1
        ),
        Series("tree", "nodes of 4 complete graphs", (30, 60, 125, 250, 500), _tree, 2),
        Series("assignment", "rows and columns of 2 assignments", (60, 125, 250, 500, 1000), _assignment, 3),
    )
}


def grow(series: Series, quick: bool) -> dict[str, Any]:
    """Measures a series, each size in a fresh process.

    Args:
        series: what grows.
        quick: leaves out all sizes but two.

    Returns:
        The series as it goes to JSON: milliseconds of a step; MB of the first one, what the adapter builds for it among
        them; `copies` of S times theta that these amount to; and the exponents with which both grow.
    """
    sizes = series.sizes[2:4] if quick else series.sizes[1:]
    points = [
        {
            "size": size,
            **in_fresh_process(_milliseconds, series.key, size),
            **in_fresh_process(_memory, series.key, size),
        }
        for size in sizes
    ]
    last = points[-_FITTED:]
    last_sizes = sizes[-_FITTED:]
    memory = [point["step_mb"] for point in last]
    return {
        "key": series.key,
        "title": series.title,
        "expected": series.expected,
        "time_exponent": _slope(last_sizes, [point["milliseconds"] for point in last]),
        "memory_exponent": _slope(last_sizes, memory) if min(memory) >= _LEAST_MB else None,
        "points": points,
    }


def _start(key: str, size: int) -> tuple[Contender, Tensor, Tensor]:
    """The contender, thetas and weights, once compiled kernels are loaded."""
    series = SERIES[key]
    torch.manual_seed(0)
    small, few = series.make(series.sizes[0])
    small.step(few, torch.randn(few.shape))
    small.close()
    contender, thetas = series.make(size)
    return contender, thetas, torch.randn(thetas.shape)


def _memory(key: str, size: int) -> dict[str, float]:
    contender, thetas, weights = _start(key, size)
    megabytes = step_peak(functools.partial(contender.step, thetas, weights))
    contender.close()
    theta = thetas.numel() * thetas.element_size() * SERIES[key].samples(size) / MB
    return {"step_mb": megabytes, "copies": megabytes / theta}


def _milliseconds(key: str, size: int) -> dict[str, float]:
    contender, thetas, weights = _start(key, size)
    contender.step(thetas, weights)
    seconds: list[float] = []
    until = time.perf_counter() + 0.3
    while len(seconds) < 5 or (len(seconds) < 50 and time.perf_counter() < until):
        start = time.perf_counter()
        contender.step(thetas, weights)
        seconds.append(time.perf_counter() - start)
    contender.close()
    return {"milliseconds": 1e3 * median(seconds)}


def _slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
