"""Learns the hidden costs of roads from observed routes.

Drivers take the cheapest routes by costs that only they know. Here each road's cost is a parameter; the solver layer
finds the routes between given places, and their differences from the observed ones teach the costs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from examples.common.methods import METHODS
from examples.common.options import Parser, positive, trainings
from examples.common.pictures import draw_curves, save_picture
from examples.common.results import Column
from examples.common.run import Run
from examples.road_network.generator import generate
from examples.road_network.model import RoadCosts, Routes, make_layer
from examples.road_network.picture import draw
from examples.road_network.tntp import read_tntp
from examples.road_network.training import Score, score, train
from imle_adapters import ShortestPathAdapter

COLUMNS = {
    "optimal": Column("cost-optimal", ".1%"),
    "exact": Column("exact match", ".1%"),
    "rank": Column("rank correlation", ".2f"),
}


def main() -> None:
    """Trains, prints, draws."""
    parser = Parser("road_network", __doc__, methods=METHODS, epochs=40, lr=0.05)
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
    add("--beta", type=float, default=0.5, help="lambda of I-MLE, in units of cost; default 0.5")
    add("--temperature", type=float, default=0.1, help="of the noise, in units of cost; default 0.1")
    add("--workers", type=int, metavar="N", help="threads that solve, 0 for none; default: one for each CPU")
    options = parser.parse(quick={"epochs": 5, "places": 30})
    if options.places < 4:
        parser.error(f"--places: expected at least 4, got {options.places}")
    try:
        roads = read_tntp(options.tntp) if options.tntp else generate(options.places, options.seed)
        trips = roads.trips()
        adapter = ShortestPathAdapter(roads.graph, *trips[0])  # the context replaces these ends by each trip's
        for method in options.methods:
            make_layer(adapter, method, options).close()  # says what is wrong with the options before any training
    except (OSError, ValueError) as error:
        parser.error(str(error))
    run = Run(
        parser,
        options,
        title="A road network",
        about="Hidden costs of roads, learned from the cheapest routes between some places; on routes between others. "
        "The rank correlation is Spearman's of learned and true costs, over roads of observed routes.",
        columns=COLUMNS,
        free=["workers"],
    )
    torch.manual_seed(options.seed)
    device = options.device
    true_costs = torch.tensor([roads.graph.edges[edge]["cost"] for edge in adapter.edges], dtype=torch.float64)
    index = {node: position for position, node in enumerate(adapter.nodes)}
    numbered = torch.tensor([(index[source], index[target]) for source, target in trips])
    chosen = numbered[torch.randperm(len(trips))[: max(2, options.routes * 5 // 4)]]
    ends = {"source": chosen[:, 0], "target": chosen[:, 1]}
    with make_layer(adapter, options.methods[0], options) as layer:
        routes = Routes(ends, layer.map(true_costs.expand(len(chosen), -1), **ends)).to(device)
    held = max(1, len(routes) // 5)
    observed, held_out = routes[held:], routes[:held]
    used = observed.edges.any(0)
    print(
        f"{roads.name}: {len(adapter.nodes)} nodes, {len(adapter.edges)} roads, {int(used.sum())} of them on "
        f"{len(observed)} observed routes; {len(held_out)} routes between other places are held out"
    )
    costs, true_costs = true_costs.numpy(), true_costs.to(device)
    pictures: list[str] = []
    for method, seed in trainings(options):
        torch.manual_seed(seed)
        with make_layer(adapter, method, options) as layer:
            model = RoadCosts(layer).to(device)
            evaluate = partial(score, model, held_out, true_costs, used)
            scores = train(model, observed, method, options, evaluate, run.checkpoint(method, seed))
            for when, reached in (("before", scores[0]), ("after", scores[-1])):
                print(f"{method}, seed {seed}, {when} training: {reached}")
            print(f"layer: {layer.stats()}")
        run.add(method, seed, scores[-1]._asdict(), dict(zip(Score._fields, zip(*scores, strict=True), strict=True)))
        if not pictures:
            learned = model.costs().detach().cpu().numpy()
            figure = draw(roads, adapter.edges, costs, learned, used.cpu().numpy(), scores)
            pictures.append(save_picture(figure, options.out, "road_network"))
    if len(run.results.rows) > 1:
        pictures.append(save_picture(draw_curves(run.results), options.out, "compare"))
    run.finish(pictures)
