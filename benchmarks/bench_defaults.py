"""What is learned without choosing anything: normalised test regret of estimators as they come, and tuned by hand.

The data are the classic ones (Elmachtoub and Grigas, Management Science 2022, section 6.1): costs that are a polynomial
of the features, with noise, learned by a linear model. For each problem and loss, an estimator with no argument, and the
same estimator at each point of a grid, of which the best is taken with hindsight, by its mean test regret over the
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
from imle_solvers import AIMLE, IMLE, Estimator, FunctionAdapter, SolverAdapter, SolverLayer, SPOPlusLoss, Target

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


def right_and_down(side: int) -> SolverAdapter:
    """Paths over the edges of a grid, which lead right and down, so that costs may have any sign: all are compared."""
    edges = [((i, j), (i, j + 1)) for i in range(side) for j in range(side - 1)]
    edges += [((i, j), (i + 1, j)) for i in range(side - 1) for j in range(side)]
    number = {edge: index for index, edge in enumerate(edges)}
    graph = nx.DiGraph(edges)
    paths = torch.zeros(math.comb(2 * side - 2, side - 1), len(edges))
    for row, path in enumerate(nx.all_simple_paths(graph, (0, 0), (side - 1, side - 1))):
        paths[row, [number[edge] for edge in itertools.pairwise(path)]] = 1

    def cheapest(costs: Tensor) -> Tensor:
        return paths[(costs @ paths.T.to(costs)).argmin(1)].to(costs)

    return FunctionAdapter(cheapest, sense="min", instance_shape=(len(edges),), batched=True, binary=True)


def knapsack(items: int) -> SolverAdapter:
    """The most valuable items of which the weights keep within two capacities."""
    weights = np.random.default_rng(items).integers(300, 800, (2, items)) / 100
    capacity = np.floor(weights.sum(1) * 0.3)
    spec = ILPSpec(sense="max", shape=(items,), A_ub=weights, b_ub=capacity, ub=1, integrality=1)
    return ILPAdapter(spec)


PROBLEMS = {
    "path 5x5 DAG, deg 4": Problem(lambda: right_and_down(5), 4),
    "path 5x5 DAG, deg 6": Problem(lambda: right_and_down(5), 6),
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
