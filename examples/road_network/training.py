"""Training, and how good learned costs are."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.stats import spearmanr
from torch import Tensor

from examples.common.checkpoints import Checkpoint
from examples.common.methods import make_loss
from examples.common.progress import progress_bar
from examples.road_network.model import RoadCosts, Routes


class Score(NamedTuple):
    """How good learned costs are: shares of routes, and Spearman's rank correlation with the true costs."""

    exact: float
    optimal: float
    rank: float

    def __str__(self) -> str:
        return (
            f"exact match {self.exact:.1%}, cost-optimal {self.optimal:.1%} of routes, rank correlation {self.rank:.2f}"
        )


def score(model: RoadCosts, routes: Routes, true_costs: Tensor, used: Tensor) -> Score:
    """Scores the learned costs on these routes; the rank correlation is that of roads that are `used`, (E,) bool."""
    model.eval()
    with torch.no_grad():
        predicted, costs = model(routes.ends), model.costs()
    excess = ((predicted - routes.edges) * true_costs).sum(1)
    learned, true = costs[used].cpu(), true_costs[used].cpu()
    rank = spearmanr(learned, true).statistic if learned.std() > 0 else 0.0
    return Score(
        (predicted == routes.edges).all(1).double().mean().item(),
        (excess <= 1e-6 * true_costs.sum()).double().mean().item(),
        float(rank),
    )


def train(
    model: RoadCosts,
    routes: Routes,
    method: str,
    options: argparse.Namespace,
    evaluate: Callable[[], Score],
    checkpoint: Checkpoint,
) -> list[Score]:
    """Trains, and returns the scores before and after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=options.epochs)
    differences = make_loss(method, model.layer, lambda found, routes: (found - routes).abs().sum(1))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    scores = [Score(*score) for score in checkpoint.restore(parts).get("scores", [])] or [evaluate()]
    with progress_bar(f"training, {method}", total=options.epochs) as bar:
        bar.update(len(scores) - 1)
        while len(scores) <= options.epochs:
            model.train()
            for rows in torch.randperm(len(routes.edges)).split(50):
                observed = routes[rows]
                # The sum, not the mean: the step of the target is then beta, in units of cost, for any batch.
                mean = differences(model.costs_of(observed.ends), observed.edges, **observed.ends)
                optimizer.zero_grad()
                (mean * len(rows)).backward()
                optimizer.step()
            schedule.step()
            scores.append(evaluate())
            checkpoint.save(parts, scores=[list(score) for score in scores])
            bar.update()
            bar.set_postfix_str(f"cost-optimal {scores[-1].optimal:.1%}, rank correlation {scores[-1].rank:.2f}")
    return scores
