"""Costs of roads as parameters, and the layer that finds routes by them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from examples.common.methods import make_estimator
from imle_adapters import ShortestPathAdapter
from imle_solvers import Normal, SolverLayer


@dataclass(frozen=True)
class Routes:
    """Trips and the routes that they took.

    Attributes:
        ends: (N,) int64 each, "source" and "target", indices into the adapter's nodes: the context of the layer.
        edges: (N, E), 1 for the roads of a route.
    """

    ends: dict[str, Tensor]
    edges: Tensor

    def __len__(self) -> int:
        return len(self.edges)

    def __getitem__(self, rows: Tensor | slice) -> Routes:
        return Routes({name: nodes[rows] for name, nodes in self.ends.items()}, self.edges[rows])

    def to(self, device: str) -> Routes:
        """The same, on a device."""
        return Routes({name: nodes.to(device) for name, nodes in self.ends.items()}, self.edges.to(device))


class RoadCosts(torch.nn.Module):
    """A positive cost for each road, 1 to begin with, and the layer that finds routes by them."""

    def __init__(self, layer: SolverLayer) -> None:
        super().__init__()
        self.layer = layer
        softplus_of_one = torch.full(layer.adapter.instance_shape, 1.0, dtype=torch.float64).expm1().log()
        self.raw = torch.nn.Parameter(softplus_of_one)

    def costs(self) -> Tensor:
        """(E,)."""
        return functional.softplus(self.raw)

    def costs_of(self, ends: dict[str, Tensor]) -> Tensor:
        """The same costs for each trip, (N, E)."""
        return self.costs().expand(len(ends["source"]), -1)

    def forward(self, ends: dict[str, Tensor]) -> Tensor:
        """Routes between these ends, (N, E)."""
        routes: Tensor = self.layer(self.costs_of(ends), **ends)
        return routes


def make_layer(adapter: ShortestPathAdapter, method: str, options: argparse.Namespace) -> SolverLayer:
    """The layer that finds routes, differentiated by a method of `examples.common.methods`."""
    estimator = make_estimator(
        method,
        noise=Normal(),
        beta=options.beta,
        temperature=options.temperature,
        projection="norm",  # all costs are the same to begin with, and have no standard deviation
    )
    return SolverLayer(adapter, estimator=estimator, num_workers=options.workers)
