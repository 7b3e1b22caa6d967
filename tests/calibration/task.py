"""A small task to be calibrated on."""

from __future__ import annotations

import torch
from torch import nn

from imle_adapters import TopKAdapter
from imle_solvers import HammingLoss, SolverLayer, calibrate

GRID = {"betas": (0.01, 1.0, 10.0), "temperatures": (0.0, 0.5), "moves": 3}


class Task:
    """A linear network that is to find the best 3 of 8."""

    def __init__(self, estimator=None, instances=32, **options):
        generator = torch.Generator().manual_seed(0)
        self.layer = SolverLayer(TopKAdapter(8, 3), estimator=estimator, num_workers=0, **options)
        self.x = torch.randn(instances, 4, generator=generator)
        self.labels = self.layer.map(self.x @ torch.randn(4, 8, generator=generator))
        self.net = nn.Linear(4, 8)
        with torch.no_grad():
            self.net.weight.copy_(torch.randn(8, 4, generator=generator))
            self.net.bias.zero_()
        self.hamming = HammingLoss(self.layer)

    def loss(self, z):
        return self.hamming(z, self.labels)

    def calibrate(self, **options):
        return calibrate(self.layer, self.net(self.x), self.loss, **{**GRID, **options})

    def train(self, steps=100):
        optimizer = torch.optim.Adam(self.net.parameters(), 0.05)
        for _ in range(steps):
            optimizer.zero_grad()
            self.loss(self.layer(self.net(self.x))).backward()
            optimizer.step()
        return float(self.loss(self.layer.eval()(self.net(self.x))).detach())


def settings(estimator):
    names = ("target", "input_noise_temperature", "target_noise_temperature", "sigma", "beta", "theta_scale")
    values = {name: getattr(estimator, name, None) for name in names}
    return {name: str(float(value) if isinstance(value, int) else value) for name, value in values.items()}
