"""A small model with a layer at its end, and how to train it."""

from __future__ import annotations

import torch
from torch import nn

from imle_adapters import TopKAdapter
from imle_solvers import (
    IMLE,
    Normal,
    SolverLayer,
    Target,
)


class Model(nn.Module):
    """Predicts scores of six entries, chooses two."""

    def __init__(self, adapter=None, estimator=None, **kwargs):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 6)
        self.layer = SolverLayer(
            adapter or TopKAdapter(6, 2),
            estimator=estimator or IMLE(Normal(), Target(beta=5.0)),
            generator=torch.Generator().manual_seed(0),
            **kwargs,
        )

    def forward(self, x):
        return self.layer(self.linear(x))


def batches(count, seed=1):
    """Inputs, and as labels the choice of a hidden linear map."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(4, 6, generator=torch.Generator().manual_seed(9))
    for _ in range(count):
        x = torch.randn(16, 4, generator=generator)
        yield x, torch.zeros(16, 6).scatter(-1, (x @ hidden).topk(2).indices, 1.0)


def loss_of(model, x, y):
    return (model(x) - y).pow(2).mean()


def accuracy(model):
    model.eval()
    with torch.no_grad():
        scores = [(model(x) == y).all(-1).float().mean() for x, y in batches(10, seed=77)]
    model.train()
    return float(torch.stack(scores).mean())


def train(model, steps, optimizer=None, start=0):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.05)
    for step, (x, y) in enumerate(batches(steps)):
        if step < start:
            continue
        optimizer.zero_grad()
        loss_of(model, x, y).backward()
        optimizer.step()
    return optimizer
