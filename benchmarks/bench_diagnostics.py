"""What `layer.diagnostics()` costs: training steps with and without, in turn.

Shortest paths on maps in the setting of the Warcraft example, forward and backward of the layer and its loss alone: a
network's share would hide the cost. Steps of four kinds take turns, in any order, by the processor time of the thread
that they run in: without diagnostics, with them but not looked at, looked at, and that with a solve for MAP states.
What was seen is read when the next step begins; here at once, so that it counts for the step that was looked at.
The cost is that of the last three in the shares that they have in training, after its first steps.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, SolverLayer, SumOfGamma, Target
from imle_solvers.solving.batch_solver import BatchSolver
from imle_solvers.solving.diagnostics import EVERY, PROBE


class Unwatched(SolverLayer):
    """Without diagnostics."""

    def _watch(self, theta: Tensor, prepared: Tensor, solve: BatchSolver, trains: bool) -> None:
        return None


def measure(size: int, batch: int, samples: int, rounds: int) -> dict[str, float]:
    """Median microseconds of each kind of step, and what diagnostics cost, as share of a step without."""
    estimator = IMLE(
        SumOfGamma(k=1.3 * size, terms=10),
        Target(beta=20.0),
        input_noise_temperature=0.01,
        target_noise_temperature=0.01,
    )
    adapter = ShortestPathAdapter.grid(size, size, neighbourhood=8, costs="vertex")
    without, layer = (
        kind(adapter, estimator=estimator, num_samples=samples, num_workers=0) for kind in (Unwatched, SolverLayer)
    )
    theta = torch.rand(batch, size, size, requires_grad=True)
    labels = without.map(torch.rand(batch, size, size)).unsqueeze(1)
    never = 10**9
    kinds = {"without": (without, 0, 0), "not looked at": (layer, never, never)}
    kinds |= {"looked at": (layer, 0, never), "with MAP": (layer, 0, 0)}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name in random.sample(list(kinds), len(kinds)):  # who comes after the last finds the caches cold
            each, due, probe = kinds[name]
            each._diagnostics._next, each._diagnostics._next_probe = due, probe
            begin = time.thread_time()
            (each(theta) - labels).abs().sum().backward()
            if each._diagnostics._unread:
                each._diagnostics._catch_up()
            seconds[name].append(time.thread_time() - begin)
    times = {name: 1e6 * median(values[rounds // 10 :]) for name, values in seconds.items()}
    usual, looked, mapped = (times[name] for name in list(kinds)[1:])
    mean = usual + (looked - usual) / EVERY + (mapped - looked) / PROBE
    return times | {"cost": mean / times["without"] - 1}


def main() -> None:
    """Measures, prints, and writes what `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="rounds of each line; default 1000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(
        f"{'maps':8}{'B':>4}{'S':>4}{'us without':>13}{'not looked at':>15}{'looked at':>11}{'with MAP':>10}{'cost':>9}"
    )
    for size, batch, samples in ((12, 70, 1), (12, 70, 4), (12, 8, 1), (30, 70, 1)):
        row = measure(size, batch, samples, options.rounds)
        rows.append({"size": size, "batch": batch, "samples": samples, **row})
        *times, cost = row.values()
        widths = zip(times, (13, 15, 11, 10), strict=True)
        shown = "".join(f"{each:{width}.0f}" for each, width in widths)
        print(f"{f'{size}x{size}':8}{batch:4}{samples:4}{shown}{cost:9.2%}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
