"""From which solver cost on a Ray cluster costs no more than worker processes of one machine.

Batches of 64 instances of 144 float32, whose solves sleep for a while, go to two actors of a Ray cluster that is
started on this machine, and to two worker processes. In every round both have a turn, so that a busy machine slows
both. The last column is what the same number of workers takes longer on Ray; that there can be more of them there, on
other machines, is what it is for.

In the second table 24 actors that only sleep stand in for a larger cluster. A call takes a millisecond or two of the
machine's cores; the last line, where each actor gets its ten sleeps in one call, says how much that is.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers import Executor, FunctionAdapter, ProcessExecutor, RayExecutor, SerialExecutor

WORKERS, MANY = 2, 24
ROWS = 64
COSTS = (0.0, 0.1e-3, 1e-3, 10e-3)


def sleep(theta: NDArray[Any]) -> NDArray[Any]:
    """Takes theta[0] seconds."""
    if theta[0]:
        time.sleep(float(theta[0]))
    return theta


def sleep_often(theta: NDArray[Any]) -> NDArray[Any]:
    """Sleeps for theta[0] seconds, theta[1] times."""
    for _ in range(int(theta[1])):
        time.sleep(float(theta[0]))
    return theta


def many(rounds: int, address: str) -> dict[str, float]:
    """For solves that sleep for 20 ms on many actors, the ideal makespan over the measured one, medians."""
    adapter = FunctionAdapter(sleep_often, sense="min", instance_shape=(2,))
    batches = {f"{times * MANY} of 20 ms": np.tile([0.02, 1], (times * MANY, 1)) for times in (10, 40)}
    batches[f"{MANY} of ten times 20 ms"] = np.tile([0.02, 10], (MANY, 1))
    shares = {}
    with RayExecutor(address, MANY, {"CPU": 0.05}) as executor:
        for _ in range(12):  # until all actors are there
            executor.solve(adapter, np.tile([0.02, 1], (10 * MANY, 1)))
        for name, thetas in batches.items():
            times = []
            for _ in range(rounds):
                begin = time.perf_counter()
                executor.solve(adapter, thetas)
                times.append(time.perf_counter() - begin)
            shares[name] = float(thetas.prod(1).sum() / MANY / median(times))
    return shares


def measure(cost: float, rounds: int, executors: dict[str, Executor]) -> dict[str, float]:
    """Median seconds a batch on each executor, where a solve takes `cost` seconds."""
    adapter = FunctionAdapter(sleep, sense="min", instance_shape=(144,))
    thetas = np.full((ROWS, 144), cost, dtype=np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in executors}
    for round_ in range(rounds + 3):
        for name, executor in executors.items():
            begin = time.perf_counter()
            solved = executor.solve(adapter, thetas)
            if round_ >= 3:  # the first ones start workers and learn what a solve costs
                seconds[name].append(time.perf_counter() - begin)
            assert np.array_equal(solved.values, thetas)
    return {name: median(times) for name, times in seconds.items()}


def main() -> None:
    """Measures, prints, and writes the figures where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="rounds, of which medians are taken; default 20")
    parser.add_argument("--address", default="local", help="of a Ray cluster; default: local, which starts one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    with RayExecutor(options.address, WORKERS) as ray, ProcessExecutor(WORKERS) as processes:
        executors = {"serial": SerialExecutor(), "processes": processes, "ray": ray}
        warm_up = FunctionAdapter(sleep, sense="min", instance_shape=(1,))
        for _ in range(20):  # until all actors are there
            ray.solve(warm_up, np.full((ROWS, 1), 1e-2))
        figures = {cost: measure(cost, options.rounds, executors) for cost in COSTS}
    print(f"{ROWS} instances on two workers, ms a batch")
    print(f"{'a solve':>10}{'in-process':>12}{'processes':>12}{'Ray':>12}{'Ray / processes':>18}")
    for cost, times in figures.items():
        row = "".join(f"{1000 * seconds:12.2f}" for seconds in times.values())
        print(f"{1000 * cost:7g} ms{row}{times['ray'] / times['processes']:18.2f}")
    shares = many(max(3, options.rounds // 2), options.address)
    print(f"\n{f'sleeps on {MANY} actors':30}{'of the ideal':>12}")
    for name, share in shares.items():
        print(f"{name:30}{share:12.1%}")
    if options.json:
        options.json.write_text(json.dumps({"costs": figures, "many": shares}, indent=2) + "\n")


if __name__ == "__main__":
    main()
