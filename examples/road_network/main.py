"""Learns the hidden costs of roads from observed routes.

Drivers take the cheapest routes by costs that only they know. Here each road's cost is a parameter; the solver layer
finds the routes between given places, and their differences from the observed ones teach the costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from examples.common.options import Parser, positive, positive_number
from examples.common.pictures import save_picture
from examples.common.progress import progress_bar
from examples.road_network.data import Score, generate, read_tntp
from examples.road_network.picture import draw
from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, Normal, SolverLayer, Target


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

    def forward(self, ends: dict[str, Tensor]) -> Tensor:
        """Routes between these ends, (N, E)."""
        routes: Tensor = self.layer(self.costs().expand(len(ends["source"]), -1), **ends)
        return routes


def score(model: RoadCosts, routes: Routes, true_costs: Tensor, used: Tensor) -> Score:
    """Scores the learned costs on these routes; the rank correlation is that of roads that are `used`, (E,) bool."""
    model.eval()
    with torch.no_grad():
        predicted, costs = model(routes.ends), model.costs()
    excess = ((predicted - routes.edges) * true_costs).sum(1)
    rank = spearmanr(costs[used], true_costs[used]).statistic if costs[used].std() > 0 else 0.0
    return Score(
        (predicted == routes.edges).all(1).double().mean().item(),
        (excess <= 1e-6 * true_costs.sum()).double().mean().item(),
        float(rank),
    )


def train(model: RoadCosts, routes: Routes, options: argparse.Namespace, evaluate: Callable[[], Score]) -> list[Score]:
    """Trains, and returns the scores before and after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=options.epochs)
    scores = [evaluate()]
    with progress_bar("training", total=options.epochs) as bar:
        for _ in range(options.epochs):
            model.train()
            for rows in torch.randperm(len(routes.edges)).split(50):
                observed = routes[rows]
                # The sum, not the mean: the step of the target is then beta, in units of cost, for any batch.
                loss = (model(observed.ends) - observed.edges).abs().sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            scores.append(evaluate())
            bar.update()
            bar.set_postfix_str(f"cost-optimal {scores[-1].optimal:.1%}, rank correlation {scores[-1].rank:.2f}")
    return scores


def make_layer(adapter: ShortestPathAdapter, options: argparse.Namespace) -> SolverLayer:
    """The layer that finds routes."""
    estimator = IMLE(
        Normal(),
        Target(beta=options.beta),
        input_noise_temperature=options.temperature,
        target_noise_temperature=options.temperature,
    )
    return SolverLayer(adapter, estimator=estimator, num_workers=options.workers)


def main() -> None:
    """Trains, prints, draws."""
    parser = Parser("road_network", __doc__)
    add = parser.add_argument
    add("--tntp", type=Path, metavar="FILE", help="a real network, NAME_net.tntp; default: one is generated")
    add("--places", type=positive, default=100, metavar="N", help="places of the generated network; default 100")
    add(
        "--routes",
        type=positive,
        default=1000,
        metavar="N",
        help="observed routes to learn from, at most; default 1000",
    )
    add("--epochs", type=positive, default=40, metavar="N", help="passes over them; default 40")
    add("--lr", type=positive_number, default=0.05, help="learning rate of Adam to begin with; default 0.05")
    add("--beta", type=float, default=0.5, help="lambda of I-MLE, in units of cost; default 0.5")
    add("--temperature", type=float, default=0.1, help="of the noise, in units of cost; default 0.1")
    add("--workers", type=int, metavar="N", help="threads that solve, 0 for none; default: one for each CPU")
    options = parser.parse()
    if options.quick:
        options.epochs, options.places = 5, 30
    if options.places < 4:
        parser.error(f"--places: expected at least 4, got {options.places}")
    try:
        roads = read_tntp(options.tntp) if options.tntp else generate(options.places, options.seed)
        trips = roads.trips()
        adapter = ShortestPathAdapter(roads.graph, *trips[0])  # the context replaces these ends by each trip's
        layer = make_layer(adapter, options)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    torch.manual_seed(options.seed)
    true_costs = torch.tensor([roads.graph.edges[edge]["cost"] for edge in adapter.edges], dtype=torch.float64)
    index = {node: position for position, node in enumerate(adapter.nodes)}
    numbered = torch.tensor([(index[source], index[target]) for source, target in trips])
    chosen = numbered[torch.randperm(len(trips))[: max(2, options.routes * 5 // 4)]]
    ends = {"source": chosen[:, 0], "target": chosen[:, 1]}
    with layer:
        routes = Routes(ends, layer.map(true_costs.expand(len(chosen), -1), **ends))
        held = max(1, len(routes) // 5)
        observed, held_out = routes[held:], routes[:held]
        used = observed.edges.any(0)
        print(
            f"{roads.name}: {len(adapter.nodes)} nodes, {len(adapter.edges)} roads, {int(used.sum())} of them on "
            f"{len(observed)} observed routes; {len(held_out)} routes between other places are held out"
        )
        model = RoadCosts(layer)
        scores = train(model, observed, options, lambda: score(model, held_out, true_costs, used))
        print(f"before training: {scores[0]}")
        print(f"after training: {scores[-1]}")
        print(f"layer: {layer.stats()}")
    learned = model.costs().detach().numpy()
    save_picture(
        draw(roads, adapter.edges, true_costs.numpy(), learned, used.numpy(), scores), options.out, "road_network"
    )
