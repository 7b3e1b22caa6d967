"""The compiled search of `ILPAdapter` against its backends, and against PyEPO where that is installed.

The first table has forward and backward of I-MLE with 5 samples, by a layer with two workers and by PyEPO's own
OR-Tools model with one process and with two. Slow contenders get fewer instances, and figures are microseconds for
each solve. The second table has single solves of other kinds of programs. In every round each contender has a turn,
so that a busy machine slows all of them; figures are medians. The run fails if optimal values differ.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers import IMLE, SolverLayer, SumOfGamma, Target

SAMPLES, KAPPA, STEP = 5, 5.0, 10.0
Step = Callable[[Tensor], Any]  # forward and backward of a batch (B, n)


def main() -> None:
    """Runs the comparisons, prints them, and writes them where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which medians are taken (default: 3)")
    parser.add_argument("--batch", type=int, default=32, help="instances in a batch (default: 32)")
    parser.add_argument("--slow-batch", type=int, default=4, help="for contenders without the search (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for items, limits in ((32, 2), (50, 5)):
        rows += train(items, limits, arguments.batch, arguments.slow_batch, arguments.rounds)
    for name, spec in programs().items():
        rows += solve(name, spec, arguments.batch, arguments.slow_batch, arguments.rounds)
    print(f"{'problem':34}{'contender':26}{'us/solve':>10}{'x search':>10}")
    for row in rows:
        print(f"{row['problem']:34}{row['contender']:26}{row['microseconds']:10.1f}{row['times_search']:10.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def knapsack(items: int, limits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Weights (limits, items) and capacities of half their sums."""
    weights = np.random.default_rng(0).integers(5, 60, (limits, items))
    return weights, weights.sum(axis=1) // 2


def train(items: int, limits: int, batch: int, slow_batch: int, rounds: int) -> list[dict[str, Any]]:
    """Microseconds for each of the 2 * B * 5 solves of a step, by everyone who can take one."""
    weights, capacities = knapsack(items, limits)
    spec = ILPSpec(sense="max", shape=items, A_ub=weights, b_ub=capacities, ub=1, integrality=True)
    generator = torch.Generator().manual_seed(0)
    thetas = 3.0 + torch.randn(batch, items, generator=generator) + torch.from_numpy(weights.mean(axis=0) / 30).float()
    with ExitStack() as stack:
        contenders: dict[str, tuple[Step, int]] = {}
        for name, compiled, size in (("search", True, batch), ("backend", False, slow_batch)):
            layer = SolverLayer(
                ILPAdapter(spec, compiled=compiled),
                estimator=IMLE(noise=SumOfGamma(k=KAPPA, terms=10), target=Target(alpha=1.0, beta=STEP)),
                num_samples=SAMPLES,
                num_workers=2,
                generator=torch.Generator().manual_seed(0),
            )
            contenders[name] = (stack.enter_context(layer), size)
        contenders |= {name: (step, slow_batch) for name, step in pyepo_steps(weights, capacities).items()}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for step, _ in contenders.values():
            forward_and_backward(step, thetas[:1])  # compiles, loads, starts workers
        for _ in range(rounds):
            for name, (step, size) in contenders.items():
                start = time.perf_counter()
                forward_and_backward(step, thetas[:size])
                seconds[name].append((time.perf_counter() - start) / (2 * SAMPLES * size))
    return table(f"knapsack {items} x {limits}, training", seconds)


def pyepo_steps(weights: NDArray[Any], capacities: NDArray[Any]) -> dict[str, Step]:
    """PyEPO's I-MLE on its OR-Tools knapsack; empty where it is not installed."""
    try:
        from pyepo.func import implicitMLE
        from pyepo.model.ort import knapsackModel
    except ImportError:
        return {}
    return {
        f"PyEPO, {processes} process{'es' * (processes > 1)}": implicitMLE(
            knapsackModel(weights, capacities), n_samples=SAMPLES, lambd=STEP, processes=processes
        )
        for processes in (1, 2)
    }


def forward_and_backward(step: Step, thetas: Tensor) -> None:
    theta = thetas.clone().requires_grad_()
    z = step(theta)
    (z * torch.linspace(-1, 1, z.shape[-1])).sum().backward()


def programs() -> dict[str, ILPSpec]:
    """Small programs of other kinds."""
    rng = np.random.default_rng(0)
    members = (rng.random((30, 60)) < 0.12).astype(float)
    members[np.arange(30), rng.integers(0, 60, 30)] = 1
    n = 8
    assignment = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    tails, heads = np.triu_indices(12, 1)
    degrees = np.zeros((12, tails.size))
    degrees[tails, np.arange(tails.size)] = degrees[heads, np.arange(tails.size)] = 1
    whole: dict[str, Any] = {"ub": 1, "integrality": True}
    real, mixed = rng.random((3, 30)), rng.integers(-5, 9, (4, 15))
    return {
        "set cover, 60 sets, 30 elements": ILPSpec(sense="min", A_ub=-members, b_ub=-np.ones(30), **whole),
        "assignment of 8 with a limit": ILPSpec(
            sense="min", A_eq=assignment, b_eq=np.ones(2 * n), A_ub=rng.integers(1, 20, (1, n * n)), b_ub=[72], **whole
        ),
        "2-matching of 12 nodes": ILPSpec(sense="min", A_eq=degrees, b_eq=np.full(12, 2), **whole),
        "real knapsack 30 x 3": ILPSpec(sense="max", A_ub=real, b_ub=real.sum(axis=1) / 2, **whole),
        "integers 0..6, 15 x 4": ILPSpec(sense="max", A_ub=mixed, b_ub=2 * mixed.sum(axis=1), ub=6, integrality=True),
    }


def solve(name: str, spec: ILPSpec, batch: int, slow_batch: int, rounds: int) -> list[dict[str, Any]]:
    """Microseconds for a solve on one core."""
    thetas = np.random.default_rng(1).random((batch, *spec.shape)) + 0.1
    adapters = {"search": ILPAdapter(spec), "backend": ILPAdapter(spec, compiled=False)}
    states = {contender: adapter.build() for contender, adapter in adapters.items()}
    sizes = {"search": batch, "backend": slow_batch}
    seconds: dict[str, list[float]] = {contender: [] for contender in adapters}
    values = {}
    for _ in range(rounds):
        for contender, adapter in adapters.items():
            rows = thetas[: sizes[contender]]
            start = time.perf_counter()
            solved = adapter.solve_batch(states[contender], rows, {})
            seconds[contender].append((time.perf_counter() - start) / len(rows))
            values[contender] = (solved.values[:slow_batch] * thetas[:slow_batch]).sum(axis=1)
    if not np.allclose(values["search"], values["backend"], rtol=1e-9):
        raise SystemExit(f"{name}: the search and the backend disagree")
    return table(name, seconds)


def table(problem: str, seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """One row for each contender: its median, and how many times the search's that is."""
    micros = {name: median(times) * 1e6 for name, times in seconds.items()}
    return [
        {"problem": problem, "contender": name, "microseconds": each, "times_search": each / micros["search"]}
        for name, each in micros.items()
    ]


if __name__ == "__main__":
    main()
