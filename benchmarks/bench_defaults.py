"""What is learned without choosing anything: normalised test regret of estimators as they come, calibrated, and tuned.

The data are the classic ones (Elmachtoub and Grigas, Management Science 2022, section 6.1): costs that are a polynomial
of the features, with noise, learned by a linear model; and few maps of the Warcraft example, learned by its network.
For each problem and loss: an estimator with no argument; as published; calibrated before training, on 128 instances or
48 maps, from a step of 1e-4 and a temperature of 1e4 or the other way round; and the best of a grid of twenty settings,
chosen with hindsight by its mean test regret over the seeds. SPO+, which knows true costs and has nothing to choose,
is for reference.

    python benchmarks/bench_defaults.py --quick          a few cells, one seed
    python benchmarks/bench_defaults.py --seeds 3 --jobs 2 --json defaults.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import statistics
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

# The packages of this checkout.
sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.warcraft.generator import generate
from examples.warcraft.resnet import resnet18
from imle_adapters import (
    AssignmentAdapter,
    ILPAdapter,
    ILPSpec,
    MaxSpanningTreeAdapter,
    ShortestPathAdapter,
    TopKAdapter,
)
from imle_solvers import AIMLE, IMLE, Estimator, Relative, SolverAdapter, SolverLayer, SPOPlusLoss, Target, calibrate

FEATURES = 5
BATCH = 32
GRID = tuple(itertools.product((0.3, 1.0, 3.0, 10.0), (0.0, 0.1, 0.3, 1.0, 3.0)))
"""Steps and temperatures in units of theta: those that `calibrate` tries, and a larger step."""


@dataclass(frozen=True)
class Data:
    """What a model sees, and the true costs, and the solutions that are best for them, of training and test."""

    inputs: Tensor
    costs: Tensor
    best: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Data:
        return Data(self.inputs[rows], self.costs[rows], self.best[rows])


@dataclass(frozen=True)
class Polynomial:
    """Costs are a polynomial of features, as in the paper, with noise of a half; the model is linear.

    Attributes:
        make: the adapter.
        degree: of the polynomial; the higher, the worse a linear model fits. 0: costs are what the model can fit
            exactly, without noise.
        positive: whether the model ends in a softplus, for solvers that take no costs below zero.
    """

    make: Callable[[], SolverAdapter]
    degree: int
    positive: bool = False
    train: int = 400
    epochs: int = 20
    rate: float = 0.03
    calibrated_on: int = 128
    losses: tuple[str, ...] = ("L1 mean", "L1 sum", "squared", "regret")

    def data(self, layer: SolverLayer, seed: int) -> Data:
        """As many to test on as to train on."""
        rng = np.random.default_rng((seed, self.degree))
        shape = layer.adapter.instance_shape
        size = math.prod(shape), FEATURES
        mix = rng.binomial(1, 0.5, size) if self.degree else rng.standard_normal(size)
        features = rng.standard_normal((2 * self.train, FEATURES))
        base = features @ mix.T / math.sqrt(FEATURES)
        if self.degree:
            costs = ((base + 3) ** self.degree + 1) / 3.5**self.degree * rng.uniform(0.5, 1.5, base.shape)
        else:
            costs = np.logaddexp(0, base) if self.positive else base
        costs_ = torch.tensor(costs, dtype=torch.float32).reshape(-1, *shape)
        return Data(torch.tensor(features, dtype=torch.float32), costs_, layer.map(costs_))

    def network(self, shape: tuple[int, ...]) -> nn.Module:
        """From features to theta."""
        linear = nn.Linear(FEATURES, math.prod(shape))
        return nn.Sequential(linear, nn.Softplus() if self.positive else nn.Identity(), nn.Unflatten(1, shape))


class Costs(nn.Module):
    """The network of the Warcraft example."""

    def __init__(self) -> None:
        super().__init__()
        self.front = resnet18(stages=1)

    def forward(self, images: Tensor) -> Tensor:
        """Costs of tiles."""
        return nn.functional.adaptive_max_pool2d(self.front(images), 12).mean(1)


@dataclass(frozen=True)
class Warcraft:
    """Few maps, in few epochs."""

    train: int = 300
    epochs: int = 4
    rate: float = 0.002
    calibrated_on: int = 48
    losses: tuple[str, ...] = ("L1 mean",)

    def make(self) -> SolverAdapter:
        """Paths of 12 x 12 tiles."""
        return ShortestPathAdapter.grid(12, 12)

    def data(self, layer: SolverLayer, seed: int) -> Data:
        """As many to test on as to train on."""
        maps = generate(2 * self.train, 12, seed)
        images = torch.from_numpy(maps.images).permute(0, 3, 1, 2).float() / 255
        return Data(images, torch.from_numpy(maps.costs).float(), torch.from_numpy(maps.paths).float())

    def network(self, shape: tuple[int, ...]) -> nn.Module:
        """From images to theta."""
        return Costs()


Problem = Polynomial | Warcraft


def knapsack(items: int) -> SolverAdapter:
    """The most valuable items of which the weights keep within two capacities."""
    weights = np.random.default_rng(items).integers(300, 800, (2, items)) / 100
    capacity = np.floor(weights.sum(1) * 0.3)
    spec = ILPSpec(sense="max", shape=(items,), A_ub=weights, b_ub=capacity, ub=1, integrality=1)
    return ILPAdapter(spec)


PROBLEMS: dict[str, Problem] = {
    "path 5x5 DAG, deg 4": Polynomial(lambda: ShortestPathAdapter.grid(5, 5, 4, "edge", directed=True), 4),
    "path 5x5 DAG, deg 6": Polynomial(lambda: ShortestPathAdapter.grid(5, 5, 4, "edge", directed=True), 6),
    "path 5x5 edges, deg 4": Polynomial(lambda: ShortestPathAdapter.grid(5, 5, 4, "edge"), 4, positive=True),
    "path 5x5 vertices, deg 6": Polynomial(lambda: ShortestPathAdapter.grid(5, 5, 8, "vertex"), 6, positive=True),
    "knapsack 10, deg 4": Polynomial(lambda: knapsack(10), 4),
    "knapsack 32, deg 6": Polynomial(lambda: knapsack(32), 6),
    "assignment 6x6, deg 4": Polynomial(lambda: AssignmentAdapter(6, 6), 4),
    "spanning tree 8, deg 4": Polynomial(lambda: MaxSpanningTreeAdapter(nx.complete_graph(8)), 4),
    "top 5 of 20, deg 6": Polynomial(lambda: TopKAdapter(20, 5), 6),
    "path 12x12 edges, exact": Polynomial(
        lambda: ShortestPathAdapter.grid(12, 12, 4, "edge"), 0, positive=True, losses=("L1 mean",)
    ),
    "top 10 of 100, exact": Polynomial(lambda: TopKAdapter(100, 10), 0, losses=("L1 mean",)),
    "Warcraft, 300 maps": Warcraft(),
}
QUICK = ("path 5x5 DAG, deg 4", "path 5x5 vertices, deg 6", "knapsack 10, deg 4", "assignment 6x6, deg 4")

Loss = Callable[[Tensor, Data, int], Tensor]
"""Of solutions, what is known of their instances, and the sign of a regret: 1 for costs, -1 for scores."""

LOSSES: dict[str, Loss] = {
    "L1 mean": lambda z, data, sign: (z - data.best).abs().mean(),
    "L1 sum": lambda z, data, sign: (z - data.best).abs().sum(),
    "squared": lambda z, data, sign: (z - data.best).square().sum(),
    "regret": lambda z, data, sign: sign * (data.costs * (z - data.best)).sum() / len(z),
}


@dataclass(frozen=True)
class Method:
    """An estimator as it comes, as published, with the settings of a point of the grid, and as wrong as can be.

    Attributes:
        default: with no argument.
        published: with the settings that torch-imle, or the paper, come with.
        tuned: of beta and temperature, in units of theta.
        wrong: of a factor: a step that is so many times, and a temperature of one over so many times, what is good.
    """

    default: Callable[[], Estimator]
    published: Callable[[], Estimator]
    tuned: Callable[[float, float], Estimator]
    wrong: Callable[[float], Estimator]


METHODS = {
    "IMLE": Method(
        IMLE,
        lambda: IMLE(target=Target(beta=10.0), input_noise_temperature=1.0),
        lambda beta, temperature: IMLE(
            target=Target(beta=Relative(beta)), input_noise_temperature=Relative(temperature)
        ),
        lambda factor: IMLE(target=Target(beta=factor), input_noise_temperature=1 / factor),
    ),
    "AIMLE": Method(
        AIMLE,
        lambda: AIMLE(initial_beta=0.0, target_norm=1.0, step=1e-4, input_noise_temperature=1.0),
        lambda beta, temperature: AIMLE(initial_beta=beta, input_noise_temperature=Relative(temperature)),
        lambda factor: AIMLE(initial_beta=factor, input_noise_temperature=1 / factor),
    ),
}


class Training(NamedTuple):
    """What decides the regret that a training comes to.

    Attributes:
        problem: one of `PROBLEMS`.
        loss: one of `LOSSES`, or SPO+.
        method: one of `METHODS`, or "" for SPO+.
        how: "default", "published", "calibrated", or a point of the grid.
        seed: of data, network and noise.
    """

    problem: str
    loss: str
    method: str
    how: str | tuple[float, float]
    seed: int


@cache
def drawn(name: str, seed: int) -> tuple[SolverAdapter, Data]:
    """An adapter, which holds its state, and data."""
    problem = PROBLEMS[name]
    with SolverLayer(problem.make(), num_workers=0) as layer:
        return layer.adapter, problem.data(layer, seed)


def regret(training: Training) -> float:
    """The normalised regret, in percent, after training."""
    torch.set_num_threads(1)
    problem = PROBLEMS[training.problem]
    adapter, data = drawn(training.problem, training.seed)
    torch.manual_seed(training.seed)
    network = problem.network(adapter.instance_shape)
    sign = -1 if adapter.sense == "max" else 1
    known, unseen = data[: problem.train], data[problem.train :]
    generator = torch.Generator().manual_seed(training.seed)
    with SolverLayer(adapter, estimator=_estimator(training), num_workers=0, generator=generator) as layer:
        if training.how == "calibrated":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                part = known[: problem.calibrated_on]
                calibrate(layer, network(part.inputs), lambda z: LOSSES[training.loss](z, part, sign), apply=True)
        optimiser = torch.optim.Adam(network.parameters(), problem.rate)
        spo = SPOPlusLoss(layer)
        for _ in range(problem.epochs):
            for rows in torch.randperm(problem.train).split(BATCH):
                part = known[rows]
                theta = network(part.inputs)
                optimiser.zero_grad()
                loss = (
                    LOSSES[training.loss](layer(theta), part, sign)
                    if training.method
                    else spo(theta, part.costs, part.best)
                )
                loss.backward()
                optimiser.step()
        network.eval()
        with torch.no_grad():
            z = torch.cat([layer.map(network(inputs)) for inputs in unseen.inputs.split(100)])
    return 100 * float(sign * (unseen.costs * (z - unseen.best)).sum() / (unseen.costs * unseen.best).sum().abs())


def _estimator(training: Training) -> Estimator:
    if not training.method:
        return IMLE()
    method = METHODS[training.method]
    if isinstance(training.how, tuple):
        return method.tuned(*training.how)
    if training.how == "calibrated":
        return method.wrong(1e4 if training.seed % 2 else 1e-4)
    return method.default() if training.how == "default" else method.published()


def trainings(problems: Iterable[str], losses: Iterable[str], seeds: int) -> Iterator[Training]:
    """All that the table needs."""
    for name, seed in itertools.product(problems, range(seeds)):
        yield Training(name, "SPO+", "", "default", seed)
        own = [loss for loss in losses if loss in PROBLEMS[name].losses]
        for loss, method in itertools.product(own, METHODS):
            for how in ("default", "published", "calibrated"):
                yield Training(name, loss, method, how, seed)
            # Of the first three losses the gradients differ by a factor, which relative steps make good.
            if loss in (own[0], "regret"):
                for point in GRID:
                    yield Training(name, loss, method, point, seed)


def table(regrets: dict[Training, float]) -> list[dict[str, Any]]:
    """A row for each problem and loss: mean regrets of each method as it comes, published, calibrated, at its best."""
    by_cell: dict[tuple[Any, ...], list[float]] = {}
    for training, value in regrets.items():
        by_cell.setdefault(training[:4], []).append(value)
    means = {cell: statistics.mean(values) for cell, values in by_cell.items()}
    rows: list[dict[str, Any]] = []
    for name, loss in dict.fromkeys(training[:2] for training in regrets if training.method):
        row: dict[str, Any] = {"problem": name, "loss": loss, "SPO+": means[name, "SPO+", "", "default"]}
        tuned_by = loss if (name, loss, "IMLE", GRID[0]) in means else PROBLEMS[name].losses[0]
        for method in METHODS:
            at = min(GRID, key=lambda point: means[name, tuned_by, method, point])
            best = means[name, tuned_by, method, at]
            row[method] = {how: means[name, loss, method, how] for how in ("default", "published", "calibrated")}
            row[method] |= {"tuned": best, "at": at}
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the table, in Markdown, and how far from the best settings each column is."""
    columns = ("default", "calibrated", "tuned", "published")
    heads = [f"`{method}()`" if how == "default" else how for method in METHODS for how in columns]
    print("| problem, loss | SPO+ | " + " | ".join(heads) + " |")
    print("|---" * (2 + len(heads)) + "|")
    for row in rows:
        cells = [f"{row[method][how]:.1f}" for method in METHODS for how in columns]
        print(f"| {row['problem']}, {row['loss']} | {row['SPO+']:.1f} | " + " | ".join(cells) + " |")
    for method, how in itertools.product(METHODS, ("default", "calibrated", "published")):
        ratios = [row[method][how] / row[method]["tuned"] for row in rows]
        print(
            f"{method}, {how}: {statistics.geometric_mean(ratios):.2f} times the regret of the best setting in the "
            f"geometric mean, {max(ratios):.2f} at most"
        )


def main() -> None:
    """Measures, prints, and writes what `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four problems, two losses and one seed")
    parser.add_argument("--problems", metavar="WORD", help="only problems that have this in their name")
    parser.add_argument("--seeds", type=int, default=3, help="over which regrets are averaged; default 3")
    parser.add_argument("--jobs", type=int, default=1, help="processes that train side by side; default 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    problems = [name for name in (QUICK if options.quick else PROBLEMS) if (options.problems or "") in name]
    losses = ("L1 mean", "regret") if options.quick else tuple(LOSSES)
    work = list(trainings(problems, losses, 1 if options.quick else options.seeds))
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        regrets = {}
        for training, value in zip(work, pool.map(regret, work, chunksize=4), strict=True):
            regrets[training] = value
            print(f"\r{len(regrets)} of {len(work)} trainings", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rows = table(regrets)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
