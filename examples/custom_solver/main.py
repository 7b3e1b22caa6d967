"""A solver of one's own as a layer: 0/1 knapsack by dynamic programming, written in NumPy.

A linear model sees features of items and, as labels, what the best knapsacks hold; it learns what items are worth.
"""

from __future__ import annotations

import argparse

import torch

import examples.custom_solver.knapsack  # noqa: F401  registers "knapsack"
from examples.common.checkpoints import Checkpoint
from examples.common.methods import METHODS, make_estimator, make_loss
from examples.common.options import Parser, trainings
from examples.common.pictures import draw_curves, save_picture
from examples.common.progress import progress_bar
from examples.common.results import Column
from examples.common.run import Run
from imle_solvers import SolverLayer, make_adapter

COLUMNS = {"exact_match": Column("exact match", ".1%"), "value": Column("value, of the best", ".1%")}


def train(method: str, seed: int, options: argparse.Namespace, checkpoint: Checkpoint) -> list[list[float]]:
    """Trains, and returns exact match and value on held-out knapsacks before training and after each epoch."""
    torch.manual_seed(seed)
    weights = torch.randint(3, 15, (16,)).tolist()
    adapter = make_adapter("knapsack", weights=weights, capacity=sum(weights) // 3)
    count = options.knapsacks
    features, taste = torch.randn(2 * count, 16, 5), torch.randn(5)
    worth = (features @ taste).to(options.device)
    features = features.to(options.device)
    with SolverLayer(adapter, estimator=make_estimator(method)) as layer:
        with progress_bar("solving", total=2 * count) as bar:
            layer.on_progress = lambda solved, _: bar.update(solved - bar.n)
            best = layer.map(worth)
            layer.on_progress = None
        model = torch.nn.Linear(5, 1).to(options.device)
        wrong = make_loss(method, layer, lambda packed, best: (packed - best).square().sum(1))
        optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
        parts = {"model": model, "optimizer": optimizer, "layer": layer}
        curve: list[list[float]] = checkpoint.restore(parts).get("curve", [])
        with progress_bar(f"training, {method}, seed {seed}", total=options.epochs) as bar:
            bar.update(max(0, len(curve) - 1))
            while len(curve) <= options.epochs:
                if curve:
                    for rows in torch.randperm(count).split(50):
                        loss = wrong(model(features[rows]).squeeze(-1), best[rows])
                        optimizer.zero_grad()
                        loss.backward()
                        optimizer.step()
                    bar.update()
                packed = layer.map(model(features[count:]).squeeze(-1)).detach()
                exact = (packed == best[count:]).all(-1).float().mean().item()
                curve.append([exact, ((packed * worth[count:]).sum() / (best * worth)[count:].sum()).item()])
                checkpoint.save(parts, curve=curve)
    return curve


def main() -> None:
    """Trains, and draws the learning curves."""
    parser = Parser("custom_solver", __doc__, methods=METHODS, epochs=20, lr=0.02)
    options = parser.parse(quick={"epochs": 2})
    options.knapsacks = 100 if options.quick else 500
    run = Run(
        parser,
        options,
        title="A solver of one's own",
        about="What items are worth, learned from what the best of 500 knapsacks hold; on 500 others.",
        columns=COLUMNS,
    )
    for method, seed in trainings(options):
        curve = train(method, seed, options, run.checkpoint(method, seed))
        for when, (exact, value) in (("before", curve[0]), ("after", curve[-1])):
            shares = f"exact match {exact:.1%}, value {value:.1%} of the best"
            print(f"{method}, {when} training, on held-out knapsacks: {shares}")
        exact_match, of_best = zip(*curve, strict=True)
        metrics = {"exact_match": exact_match[-1], "value": of_best[-1]}
        run.add(method, seed, metrics, {"exact_match": exact_match, "value": of_best})
    picture = save_picture(
        draw_curves(run.results, ylabel="share, on held-out knapsacks"), options.out, "custom_solver"
    )
    run.finish([picture])
