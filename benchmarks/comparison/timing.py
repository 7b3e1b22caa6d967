"""Do contenders agree, and how long does a step take each of them, turn by turn."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch

from comparison.problem import OURS, Contender, Problem, Row
from imle_solvers.deferred import wait_for_kernels
from imle_solvers.solving.stats import Stats

TOLERANCE = 2e-4
"""Relative difference of optimal values that is no disagreement: OR-Tools stops at a gap of 1e-4."""


@dataclass(frozen=True)
class Budget:
    """How long to measure.

    Attributes:
        rounds: of which medians are taken.
        turn: about how many seconds a slow contender's turn takes: it gets as much of the batch.
        fewest: instances it gets at least.
        warm_up: seconds of a layer's steps before.
        least: seconds that a fast contender repeats its step for, so that it does not pay for cold caches.
    """

    rounds: int
    turn: float
    fewest: int
    warm_up: float
    least: float = 0.05


def time_row(row: Row, problem: Problem, cores: int, budget: Budget) -> dict[str, Any]:
    """Measures a row.

    Returns:
        The row as it goes to JSON: for each contender milliseconds a step, the part `on` of the batch that was
        measured and scaled up, and `times`, how many times longer than ours it took: the median over the rounds.

    Raises:
        SystemExit: a contender disagrees with ours.
    """
    # Ours last: others fork their workers, and should do so before there are threads.
    contenders = {name: make() for name, make in reversed(list(problem.contenders.items()))}
    try:
        check_agreement(row, problem, contenders)
        if row.at_most:  # too close for small parts of the batch, some of which are harder than others
            budget = replace(budget, turn=4 * budget.turn)
        sizes = {name: _warm_up(contender, problem, budget) for name, contender in contenders.items()}
        layer = contenders[OURS].layer
        if layer is not None:
            layer.stats().reset()
        milliseconds = _alternate(problem, contenders, sizes, budget)
        skipped = None if layer is None else share_skipped(layer.stats())
    finally:
        for contender in contenders.values():
            contender.close()
    # Within rounds: each has its own instances, some harder than others, and the machine is faster in some.
    times = {
        name: median(theirs / own for theirs, own in zip(values, milliseconds[OURS], strict=True))
        for name, values in milliseconds.items()
    }
    measured = [
        {
            "name": name,
            "milliseconds": median(milliseconds[name]),
            "times": times[name],
            "on": sizes[name],
            "rounds": milliseconds[name],
        }
        for name in problem.contenders
    ]
    best = min(times[name] for name in row.against)
    ratio = cores / best if row.at_most else best
    return {
        "key": row.key,
        "title": row.title,
        "batch": len(problem.thetas),
        "target": row.target,
        "at_most": row.at_most,
        "against": list(row.against),
        "ratio": ratio,
        "met": ratio <= row.target if row.at_most else ratio >= row.target,
        "skipped": skipped,
        "contenders": measured,
    }


def check_agreement(row: Row, problem: Problem, contenders: dict[str, Contender]) -> None:
    """Raises `SystemExit` unless all find solutions of equal value, or draw noise of equal mean and deviation."""
    own = contenders[OURS]
    if own.solve is None:
        torch.manual_seed(0)  # few draws, where the batch was shrunk, differ by chance
        moments = {}
        for name, contender in contenders.items():
            draws = contender.forward(problem.thetas[:4])
            moments[name] = float(draws.mean()), float(draws.std())
        for name, found in moments.items():
            if max(abs(a - b) for a, b in zip(found, moments[OURS], strict=True)) > 0.1 * moments[OURS][1]:
                raise SystemExit(f"{row.key}: mean and deviation are {found} by {name}, {moments[OURS]} by {OURS}")
        return
    # Upwards, so that costs are positive: solvers differ in what they do with others.
    generator = torch.Generator().manual_seed(2)
    some = problem.thetas[:4]
    thetas = (some + torch.randn(some.shape, generator=generator).abs()).numpy()

    def values(contender: Contender) -> Any:
        assert contender.solve is not None
        solutions = contender.solve(thetas.copy())
        return (solutions * thetas.astype(np.float64)).reshape(len(thetas), -1).sum(1)

    expected = values(own)
    for name, contender in contenders.items():
        found = values(contender)
        if not np.allclose(found, expected, rtol=TOLERANCE):
            raise SystemExit(f"{row.key}: solutions have values {found} by {name}, {expected} by {OURS}")


def share_skipped(stats: Stats) -> float:
    """The share of a layer's solves that were not needed, since their solutions were known."""
    return sum(count for name, count in stats.counters.items() if name.startswith("solves skipped")) / stats.instances


def seconds_of(contender: Contender, problem: Problem, size: int, first: int = 0) -> float:
    """Of one step on `size` instances, from `first` on and around."""
    some = torch.arange(first, first + size) % len(problem.thetas)
    thetas, weights = problem.thetas[some], problem.weights[some]
    start = time.perf_counter()
    contender.step(thetas, weights)
    return time.perf_counter() - start


def _warm_up(contender: Contender, problem: Problem, budget: Budget) -> int:
    """Starts workers, fills caches, lets a layer learn where to solve; returns the instances for a turn."""
    seconds = seconds_of(contender, problem, 1)
    if contender.layer is None:
        if seconds < budget.turn:
            seconds = seconds_of(contender, problem, 1)
        return min(len(problem.thetas), max(budget.fewest, int(budget.turn / seconds)))
    wait_for_kernels()
    until = time.perf_counter() + budget.warm_up
    while time.perf_counter() < until:
        seconds_of(contender, problem, len(problem.thetas))
    return len(problem.thetas)


def _alternate(
    problem: Problem, contenders: dict[str, Contender], sizes: dict[str, int], budget: Budget
) -> dict[str, list[float]]:
    """Milliseconds a step on the whole batch, a figure for each round.

    Each round takes another part of the batch, and other noise: some instances are harder than others. Contenders whose
    noise can be told have the same.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(budget.rounds):
        for name, contender in contenders.items():
            steps, total = 0, 0.0
            if contender.generator is not None:
                contender.generator.manual_seed(round_)
            while total < budget.least:
                total += seconds_of(contender, problem, sizes[name], round_ * sizes[name])
                steps += 1
            milliseconds[name].append(1e3 * total / steps * len(problem.thetas) / sizes[name])
    return milliseconds
