"""What it costs to send a batch to worker processes, and how evenly they share it.

The first table solves nothing: 512 instances of 900 float32 go to two workers and back, by this package's executor,
by `multiprocessing.Pool` in two chunks, and by the pathos pool, instance by instance, that PyEPO uses. In every round
each contender has a turn, so that a busy machine slows all of them. The second table has solves that take a given
time, so that the ideal is known: their sum over the number of workers. In the third, 64 workers that only sleep
stand in for a larger machine. What waking up so many takes on few cores is no matter of ours; the last line, in which
each worker gets its ten sleeps at once and nobody sends or waits, says how much that is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pathos.multiprocessing import ProcessPool

from imle_solvers import FunctionAdapter, ProcessExecutor, Solutions, SolverAdapter

WORKERS, MANY = 2, 64
Array = NDArray[Any]


class NoSolver(SolverAdapter):
    """Returns zeros."""

    sense = "min"
    instance_shape = (900,)

    def solve_batch(self, state: Any, thetas: Array, context: Any) -> Solutions:
        return Solutions(np.zeros_like(thetas), np.zeros(len(thetas), np.uint8))


def zeros(thetas: Array) -> Array:
    """The same as a function."""
    return np.zeros_like(thetas)


def take_time(theta: Array) -> Array:
    """Takes theta[0] seconds by the clock, where a sleep alone would take a tenth of a millisecond more."""
    until = time.perf_counter() + float(theta[0])
    time.sleep(max(0.0, float(theta[0]) - 5e-4))
    while time.perf_counter() < until:
        pass
    return theta


def dispatch(rounds: int) -> dict[str, float]:
    """Median seconds a batch for each contender."""
    thetas = np.random.default_rng(0).random((512, 900), dtype=np.float32)
    halves = np.array_split(thetas, WORKERS)
    adapter = NoSolver()
    with ExitStack() as stack:
        executor = stack.enter_context(ProcessExecutor(WORKERS))
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(WORKERS))
        pathos = ProcessPool(WORKERS)
        contenders: dict[str, Callable[[], Any]] = {
            "ProcessExecutor": lambda: executor.solve(adapter, thetas).values,
            "multiprocessing.Pool, two chunks": lambda: np.concatenate(pool.map(zeros, halves, chunksize=1)),
            "pathos amap, by instance": lambda: np.stack(pathos.amap(zeros, list(thetas)).get()),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for round_ in range(rounds + 1):
            for name, solve in contenders.items():
                begin = time.perf_counter()
                solved = solve()
                if round_:  # the first one starts workers
                    seconds[name].append(time.perf_counter() - begin)
                assert solved.shape == thetas.shape
        pathos.close()
        pathos.join()
        pathos.clear()
    return {name: median(times) for name, times in seconds.items()}


def balance(rounds: int) -> dict[str, float]:
    """For each mix of solves, the ideal makespan over the measured one, medians."""
    adapter = FunctionAdapter(take_time, sense="min", instance_shape=(1,))
    even = np.full((64, 1), 0.005)
    heavy = np.where(np.arange(64)[:, None] % 16 == 7, 0.1, 0.005)
    shares = {}
    with ProcessExecutor(WORKERS) as executor:
        executor.solve(adapter, even)
        for name, thetas in (("64 of 5 ms", even), ("64 of 5 ms, one in sixteen of 100 ms", heavy)):
            times = []
            for _ in range(rounds):
                begin = time.perf_counter()
                executor.solve(adapter, thetas)
                times.append(time.perf_counter() - begin)
            shares[name] = float(thetas.sum() / WORKERS / median(times))
    return shares


def sleep(theta: Array) -> Array:
    """Sleeps for theta[0] seconds, theta[1] times."""
    for _ in range(int(theta[1])):
        time.sleep(float(theta[0]))
    return theta


def many(rounds: int) -> dict[str, float]:
    """For solves that sleep for 20 ms on many workers, the ideal makespan over the measured one, medians."""
    adapter = FunctionAdapter(sleep, sense="min", instance_shape=(2,))
    batches = {f"{times * MANY} of 20 ms": np.tile([0.02, 1], (times * MANY, 1)) for times in (10, 40)}
    batches[f"{MANY} of ten times 20 ms"] = np.tile([0.02, 10], (MANY, 1))
    shares = {}
    with ProcessExecutor(MANY) as executor:
        for name, thetas in batches.items():
            times = []
            for _ in range(rounds + 3):
                begin = time.perf_counter()
                executor.solve(adapter, thetas)
                times.append(time.perf_counter() - begin)
            # The first ones start workers and learn what a solve costs.
            shares[name] = float(thetas.prod(1).sum() / MANY / median(times[3:]))
    return shares


def main() -> None:
    """Runs all, prints them, and writes them where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="rounds, of which medians are taken; default 30")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    seconds = dispatch(options.rounds)
    own = seconds["ProcessExecutor"]
    print(f"{'512 x 900 float32, two workers':40}{'ms a batch':>12}{'x own':>8}")
    for name, value in seconds.items():
        print(f"{name:40}{1000 * value:12.2f}{value / own:8.1f}")
    shares = balance(max(3, options.rounds // 6))
    print(f"\n{'solves on two workers':40}{'of the ideal':>12}")
    for name, share in shares.items():
        print(f"{name:40}{share:12.1%}")
    of_many = many(max(3, options.rounds // 3))
    print(f"\n{f'sleeps on {MANY} workers':40}{'of the ideal':>12}")
    for name, share in of_many.items():
        print(f"{name:40}{share:12.1%}")
    if options.json:
        figures = {"dispatch": seconds, "balance": shares, "many": of_many}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
