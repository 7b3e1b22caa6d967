"""What is learned without choosing anything: normalised test regret of estimators as they come, and tuned by hand.

The data are the classic ones (Elmachtoub and Grigas, Management Science 2022, section 6.1): costs that are a polynomial
of the features, with noise, learned by a linear model. For each problem and loss, an estimator with no argument, and
the same estimator at each point of a grid, of which the best is taken with hindsight, by its mean test regret over the
seeds. SPO+, which knows the true costs and has nothing to choose, is for reference.

    python benchmarks/bench_defaults.py --quick          a few cells, one seed
    python benchmarks/bench_defaults.py --seeds 3 --json defaults.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

# The packages of this checkout.
sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from imle_adapters import (
    AssignmentAdapter,
    ILPAdapter,
    ILPSpec,
    MaxSpanningTreeAdapter,
    ShortestPathAdapter,
    TopKAdapter,
)
from imle_solvers import AIMLE, IMLE, Estimator, SolverAdapter, SolverLayer, SPOPlusLoss, Target

FEATURES = 5
TRAIN, TEST = 400, 400
EPOCHS, BATCH = 20, 32
LEARNING_RATE = 0.03


@dataclass(frozen=True)
class Problem:
    """A family of problems and the degree of the polynomial behind its costs.

    Attributes:
        make: the adapter.
        degree: of the polynomial; the higher, the worse a linear model fits.
        positive: whether the model ends in a softplus, for solvers that take no costs below zero.
    """

    make: Callable[[], SolverAdapter]
    degree: int
    positive: bool = False


def knapsack(items: int) -> SolverAdapter:
    """The most valuable items of which the weights keep within two capacities."""
    weights = np.random.default_rng(items).integers(300, 800, (2, items)) / 100
    capacity = np.floor(weights.sum(1) * 0.3)
    spec = ILPSpec(sense="max", shape=(items,), A_ub=weights, b_ub=capacity, ub=1, integrality=1)
    return ILPAdapter(spec)


PROBLEMS = {
    "path 5x5 DAG, deg 4": Problem(lambda: ShortestPathAdapter.grid(5, 5, 4, "edge", directed=True), 4),
    "path 5x5 DAG, deg 6": Problem(lambda: ShortestPathAdapter.grid(5, 5, 4, "edge", directed=True), 6),
    "path 5x5 edges, deg 4": Problem(lambda: ShortestPathAdapter.grid(5, 5, 4, "edge"), 4, positive=True),
    "path 5x5 vertices, deg 6": Problem(lambda: ShortestPathAdapter.grid(5, 5, 8, "vertex"), 6, positive=True),
    "knapsack 10, deg 4": Problem(lambda: knapsack(10), 4),
    "knapsack 32, deg 6": Problem(lambda: knapsack(32), 6),
    "assignment 6x6, deg 4": Problem(lambda: AssignmentAdapter(6, 6), 4),
    "spanning tree 8, deg 4": Problem(lambda: MaxSpanningTreeAdapter(nx.complete_graph(8)), 4),
    "top 5 of 20, deg 6": Problem(lambda: TopKAdapter(20, 5), 6),
}
QUICK = ("path 5x5 DAG, deg 4", "path 5x5 vertices, deg 6", "knapsack 10, deg 4", "assignment 6x6, deg 4")


@dataclass(frozen=True)
class Data:
    """Features and true costs, and the solutions that are best for them, of training and test."""

    features: Tensor
    costs: Tensor
    best: Tensor

    @classmethod
    def draw(cls, problem: Problem, layer: SolverLayer, seed: int) -> Data:
        """As in the paper, with noise of a half."""
        rng = np.random.default_rng((seed, problem.degree))
        shape = layer.adapter.instance_shape
        mix = rng.binomial(1, 0.5, (math.prod(shape), FEATURES))
        features = rng.standard_normal((TRAIN + TEST, FEATURES))
        base = features @ mix.T / math.sqrt(FEATURES) + 3
        costs = (base**problem.degree + 1) / 3.5**problem.degree * rng.uniform(0.5, 1.5, base.shape)
        costs_ = torch.tensor(costs, dtype=torch.float32).reshape(-1, *shape)
        return cls(torch.tensor(features, dtype=torch.float32), costs_, layer.map(costs_))

    def __getitem__(self, rows: slice | Tensor) -> Data:
        return Data(self.features[rows], self.costs[rows], self.best[rows])


Loss = Callable[[Tensor, Data, int], Tensor]
"""Of solutions, what is known of their instances, and the sign of a regret: 1 for costs, -1 for scores."""

LOSSES: dict[str, Loss] = {
    "L1 mean": lambda z, data, sign: (z - data.best).abs().mean(),
    "L1 sum": lambda z, data, sign: (z - data.best).abs().sum(),
    "squared": lambda z, data, sign: (z - data.best).square().sum(),
    "regret": lambda z, data, sign: sign * (data.costs * (z - data.best)).sum() / len(z),
}


def train(problem: Problem, data: Data, layer: SolverLayer, loss: Loss | SPOPlusLoss, seed: int) -> float:
    """The normalised regret, in percent, of a linear model after training."""
    torch.manual_seed(seed)
    sign = -1 if layer.adapter.sense == "max" else 1
    shape = layer.adapter.instance_shape
    linear: nn.Module = nn.Linear(FEATURES, math.prod(shape))
    model = nn.Sequential(linear, nn.Softplus() if problem.positive else nn.Identity(), nn.Unflatten(1, shape))
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    known, unseen = data[:TRAIN], data[TRAIN:]
    for _ in range(EPOCHS):
        for rows in torch.randperm(TRAIN).split(BATCH):
            part = known[rows]
            theta = model(part.features)
            optimiser.zero_grad()
            if isinstance(loss, SPOPlusLoss):
                loss(theta, part.costs, part.best).backward()
            else:
                loss(layer(theta), part, sign).backward()
            optimiser.step()
    with torch.no_grad():
        z = layer.map(model(unseen.features))
    regret = sign * (unseen.costs * (z - unseen.best)).sum() / (unseen.costs * unseen.best).sum().abs()
    return 100 * float(regret)


@dataclass(frozen=True)
class Method:
    """An estimator as it comes, as published, and the settings among which the best is looked for.

    Attributes:
        default: with no argument.
        published: with the settings that torch-imle, or the paper, come with.
        tuned: by name; `scale` is what a loss multiplies the sum over instances and entries by, so that a grid of steps
            is one of steps in the same units for every loss.
    """

    default: Callable[[], Estimator]
    published: Callable[[], Estimator]
    tuned: Callable[[float], dict[str, Callable[[], Estimator]]]


STEPS = (0.3, 1.0, 3.0, 10.0)
TEMPERATURES = (0.1, 0.3, 1.0)


def _imle(step: float, temperature: float) -> Callable[[], Estimator]:
    return lambda: IMLE(target=Target(beta=step), input_noise_temperature=temperature)


def _aimle(beta: float, temperature: float) -> Callable[[], Estimator]:
    return lambda: AIMLE(
        initial_beta=beta, step=1e-4, target_norm=1.0, per_instance=True, input_noise_temperature=temperature
    )


METHODS = {
    "IMLE": Method(
        IMLE,
        _imle(10.0, 1.0),
        lambda scale: {f"{b:g}, {t:g}": _imle(b / scale, t) for b in STEPS for t in TEMPERATURES},
    ),
    "AIMLE": Method(
        AIMLE,
        lambda: AIMLE(initial_beta=0.0, target_norm=1.0, step=1e-4, input_noise_temperature=1.0),
        lambda _: {f"{b:g}, {t:g}": _aimle(b, t) for b in STEPS for t in TEMPERATURES},
    ),
}


def scale_of(loss: str, entries: int) -> float:
    """What a loss multiplies the sum over instances and entries by."""
    return {"L1 mean": 1 / (BATCH * entries), "regret": 1 / BATCH}.get(loss, 1.0)


class Table:
    """Mean regrets over seeds, each problem's data drawn once."""

    def __init__(self, seeds: int) -> None:
        self.seeds = range(seeds)
        self._drawn: dict[tuple[str, int], tuple[SolverAdapter, Data]] = {}

    def mean(self, name: str, loss: str | None, make: Callable[[], Estimator]) -> float:
        """The mean over seeds of the regret after training; by SPO+ where no loss is named."""
        problem = PROBLEMS[name]
        regrets = []
        for seed in self.seeds:
            if (name, seed) not in self._drawn:
                with SolverLayer(problem.make(), num_workers=0) as layer:
                    self._drawn[name, seed] = layer.adapter, Data.draw(problem, layer, seed)
            adapter, data = self._drawn[name, seed]
            generator = torch.Generator().manual_seed(seed)
            with SolverLayer(adapter, estimator=make(), num_workers=0, generator=generator) as layer:
                regrets.append(train(problem, data, layer, LOSSES[loss] if loss else SPOPlusLoss(layer), seed))
        return sum(regrets) / len(regrets)

    def entries(self, name: str) -> int:
        """Of theta."""
        return math.prod(self._drawn[name, 0][0].instance_shape)


def measure(table: Table, problems: list[str], losses: list[str]) -> list[dict[str, Any]]:
    """A row for each problem and loss: of each method as it comes, as published, and at its best."""
    rows = []
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    print(
        f"{'':35}{'SPO+':>7}" + "".join(f"{m:>10}(){'published':>11}{'tuned':>7} {'at':8}{'ratio':>6}" for m in METHODS)
    )
    for name, loss in itertools.product(problems, losses):
        row: dict[str, Any] = {"problem": name, "loss": loss, "SPO+": table.mean(name, None, IMLE)}
        line = f"{name + ', ' + loss:35}{row['SPO+']:7.2f}"
        for key, method in METHODS.items():
            default, published = (table.mean(name, loss, make) for make in (method.default, method.published))
            # Of the first three losses the gradients differ by a factor, which the grid's steps make good.
            same = "regret" if loss == "regret" else "L1 sum"
            if (name, same, key) not in found:
                grid = method.tuned(scale_of(same, table.entries(name)))
                found[name, same, key] = {at: table.mean(name, same, make) for at, make in grid.items()}
            tuned = found[name, same, key]
            at = min(tuned, key=lambda each: tuned[each])
            row[key] = {"default": default, "published": published, "tuned": tuned, "ratio": default / tuned[at]}
            line += f"{default:12.2f}{published:11.2f}{tuned[at]:7.2f} {at:8}{default / tuned[at]:6.2f}"
        rows.append(row)
        print(line, flush=True)
    for key in METHODS:
        ratios = [row[key]["ratio"] for row in rows]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(
            f"{key}(): {mean:.2f} times the regret of the best setting in the geometric mean, {max(ratios):.2f} at most"
        )
    return rows


def main() -> None:
    """Measures, prints, and writes what `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four problems, two losses and one seed")
    parser.add_argument("--seeds", type=int, default=3, help="over which regrets are averaged; default 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    problems = list(QUICK if options.quick else PROBLEMS)
    losses = ["L1 mean", "regret"] if options.quick else list(LOSSES)
    rows = measure(Table(1 if options.quick else options.seeds), problems, losses)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
