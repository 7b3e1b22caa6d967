"""What `layer.diagnostics()` costs: training steps with and without, in turn.

Shortest paths on maps in the setting of the Warcraft example, forward and backward of the layer and its loss alone: a
network's share would hide the cost. Each round is 256 steps of both, in blocks of eight, so that it has the steps that
are looked at, and the solves for MAP states, in their shares. The first steps, which are all looked at, are warm-up.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, SolverLayer, SumOfGamma, Target
from imle_solvers.solving.batch_solver import BatchSolver
from imle_solvers.solving.diagnostics import PROBE

_STEPS, _BLOCK = PROBE, 8


class Unwatched(SolverLayer):
    """Without diagnostics."""

    def _watch(self, theta: Tensor, prepared: Tensor, solve: BatchSolver, trains: bool) -> None:
        return None


def measure(size: int, batch: int, samples: int, rounds: int) -> dict[str, float]:
    """Microseconds a step with and without, and by how much of a step they differ, the median round each."""
    estimator = IMLE(
        SumOfGamma(k=1.3 * size, terms=10),
        Target(beta=20.0),
        input_noise_temperature=0.01,
        target_noise_temperature=0.01,
    )
    adapter = ShortestPathAdapter.grid(size, size, neighbourhood=8, costs="vertex")
    layers = [
        kind(adapter, estimator=estimator, num_samples=samples, num_workers=0) for kind in (SolverLayer, Unwatched)
    ]
    theta = torch.rand(batch, size, size, requires_grad=True)
    labels = layers[1].map(torch.rand(batch, size, size)).unsqueeze(1)

    def run(layer: SolverLayer) -> float:
        begin = time.thread_time()
        for _ in range(_BLOCK):
            (layer(theta) - labels).abs().sum().backward()
        return time.thread_time() - begin

    def round_() -> tuple[float, float]:
        seconds = [0.0, 0.0]
        for block in range(_STEPS // _BLOCK):
            for which in (0, 1) if block % 2 else (1, 0):
                seconds[which] += run(layers[which])
        return seconds[0] / _STEPS, seconds[1] / _STEPS

    round_()
    pairs = [round_() for _ in range(rounds)]
    return {
        "with": 1e6 * median(pair[0] for pair in pairs),
        "without": 1e6 * median(pair[1] for pair in pairs),
        "cost": median(pair[0] / pair[1] - 1 for pair in pairs),
    }


def main() -> None:
    """Measures, prints, and writes what `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each line; default 15")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"{'maps':10}{'B':>5}{'S':>4}{'us a step':>12}{'without':>10}{'cost':>9}")
    for size, batch, samples in ((12, 70, 1), (12, 70, 4), (12, 8, 1), (30, 70, 1)):
        row = measure(size, batch, samples, options.rounds)
        rows.append({"size": size, "batch": batch, "samples": samples, **row})
        print(f"{f'{size}x{size}':10}{batch:5}{samples:4}{row['with']:12.0f}{row['without']:10.0f}{row['cost']:9.2%}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
