"""Learns the hidden costs of roads from observed routes.

Drivers take the cheapest routes by costs that only they know. Here each road's cost is a parameter; the solver layer
finds the routes between given places, and their differences from the observed ones teach the costs.
"""

from __future__ import annotations

from pathlib import Path

import torch

from examples.common.options import Parser, positive, positive_number
from examples.common.pictures import save_picture
from examples.road_network.generator import generate
from examples.road_network.model import RoadCosts, Routes, make_layer
from examples.road_network.picture import draw
from examples.road_network.tntp import read_tntp
from examples.road_network.training import score, train
from imle_adapters import ShortestPathAdapter


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
