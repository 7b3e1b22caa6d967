"""What the layer itself costs, and how good the choice of the executor is.

The first table has a solver that does nothing, in-process, 64 instances of 144 float32: what is left is the layer. The
first line is the least that any layer could cost: an autograd function that copies its input, forward and backward.

The second table solves batches of several sizes with solvers that take a given time, each way that the layer can be
told and as it chooses by itself, one batch of each in turn. Solvers that hold the GIL go to processes, those that
release it to threads. A figure above 1 says how many times longer the layer's own choice took than the best way.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imle_solvers import (
    IMLE,
    Gumbel,
    Normal,
    SolverLayer,
    SumOfGamma,
)
from imle_solvers.adapter import Parallelism, Solutions, SolverAdapter

WORKERS = 2


class NoSolver(SolverAdapter):
    """Returns theta."""

    sense = "min"
    instance_shape = (144,)

    def solve_batch(self, state: Any, thetas: NDArray[Any], context: Any) -> Solutions:
        return Solutions(thetas, np.zeros(len(thetas), np.uint8))


class Copy(torch.autograd.Function):
    """The least that a function with a backward pass does."""

    @staticmethod
    def forward(ctx: Any, theta: torch.Tensor) -> torch.Tensor:
        return theta.clone()

    @staticmethod
    def backward(ctx: Any, dz: torch.Tensor) -> torch.Tensor:
        return dz.clone()


class Busy(SolverAdapter):
    """Takes a given time for each row, by the clock: a sleep releases the GIL, a loop holds it."""

    sense = "min"
    instance_shape = (4,)

    def __init__(self, seconds: float, parallelism: Parallelism) -> None:
        self.seconds = seconds
        self.parallelism = parallelism

    def solve_batch(self, state: Any, thetas: NDArray[Any], context: Any) -> Solutions:
        until = time.perf_counter() + len(thetas) * self.seconds
        if self.parallelism is Parallelism.THREADS:
            time.sleep(max(0.0, until - time.perf_counter() - 6e-5))
        while time.perf_counter() < until:
            pass
        return Solutions(thetas, np.zeros(len(thetas), np.uint8))


def overhead(rounds: int) -> dict[str, tuple[float, float]]:
    """Median microseconds forward and backward."""
    theta = torch.rand(64, 144, requires_grad=True)
    dz = torch.randn(64, 144)
    contenders: dict[str, Any] = {"a copy": Copy.apply}
    for noise in (None, Normal(), Gumbel(), SumOfGamma(k=15.6)):
        contenders[f"layer, noise {noise}"] = SolverLayer(NoSolver(), estimator=IMLE(noise), num_workers=0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, layer in contenders.items():
            begin = time.perf_counter()
            z = layer(theta)
            middle = time.perf_counter()
            z.backward(dz)
            times[name].append((middle - begin, time.perf_counter() - middle))
    return {
        name: (1e6 * median(one for one, _ in pairs), 1e6 * median(other for _, other in pairs))
        for name, pairs in times.items()
    }


def choice(budget: float) -> list[dict[str, Any]]:
    """For each solver cost and batch size, median seconds of every way, after as many batches to learn from."""
    rows = []
    for kind, seconds, size in itertools.product(
        (Parallelism.PROCESSES, Parallelism.THREADS), (1e-6, 1e-5, 1e-4, 1e-3), (2, 16, 128)
    ):
        adapter = Busy(seconds, kind)
        thetas = torch.rand(size, 4)
        with ExitStack() as stack:
            ways: dict[str, SolverLayer] = {}
            for name in ("serial", kind.name.lower(), "auto"):
                workers = None if name == "serial" else WORKERS
                ways[name] = stack.enter_context(SolverLayer(adapter, executor=name, num_workers=workers))
                ways[name].map(thetas)
            times: dict[str, list[float]] = {name: [] for name in ways}
            until = time.perf_counter() + budget
            while time.perf_counter() < until or len(times["auto"]) < 6:
                # In any order: who comes after the worker processes finds the caches cold.
                for name in random.sample(list(ways), len(ways)):
                    begin = time.perf_counter()
                    ways[name].map(thetas)
                    times[name].append(time.perf_counter() - begin)
        medians = {name: median(values[len(values) // 2 :]) for name, values in times.items()}
        best = min(value for name, value in medians.items() if name != "auto")
        rows.append(
            {"kind": kind.name.lower(), "solve": seconds, "batch": size, **medians, "ratio": medians["auto"] / best}
        )
    return rows


def main() -> None:
    """Runs both, prints them, and writes them where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500, help="rounds of the first table; default 500")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds for each line of the second; default 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    costs = overhead(options.rounds)
    print(f"{'64 x 144 float32, nothing to solve':50}{'us forward':>12}{'backward':>10}")
    for name, (forward, backward) in costs.items():
        print(f"{name:50}{forward:12.0f}{backward:10.0f}")
    print(f"\n{'solver':12}{'us a solve':>12}{'batch':>7}{'ms serial':>11}{'together':>10}{'auto':>10}{'to best':>9}")
    table = choice(options.budget)
    for row in table:
        own = [1e3 * row[name] for name in ("serial", row["kind"], "auto")]
        print(
            f"{row['kind']:12}{1e6 * row['solve']:12.0f}{row['batch']:7}{own[0]:11.3f}{own[1]:10.3f}{own[2]:10.3f}"
            f"{row['ratio']:9.2f}"
        )
    print(f"worst: {max(row['ratio'] for row in table):.2f}")
    if options.json:
        options.json.write_text(json.dumps({"overhead": costs, "choice": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
