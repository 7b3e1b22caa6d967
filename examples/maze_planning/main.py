"""Learns to plan in mazes: a network predicts what cells cost, a solver layer finds the path between two of them.

The network sees an image of a maze and where the path starts and ends and, as labels, demonstrated shortest paths; no
walls, and no costs. It is tried on mazes that it has not seen, beside a plain U-Net, which predicts the path
directly, and A* and Dijkstra's algorithm, which know the walls.

Optimal: the prediction joins the ends over floor, and is as short as can be. Then A* searches on the predicted costs:
how often it finds an optimal path, how many cells it expands, and by how much these are fewer than on the true maze.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from examples.common.options import Parser, seeds_of
from examples.common.pictures import draw_comparison, save_picture
from examples.common.run import Run
from examples.maze_planning.evaluation import COLUMNS, astar, guided, metrics_of, search_all
from examples.maze_planning.generator import generate
from examples.maze_planning.mazes import SIDE, Array, Mazes
from examples.maze_planning.model import PLAIN, Model, PlainModel, SolverModel, predict
from examples.maze_planning.options import parse
from examples.maze_planning.picture import Shown, draw
from examples.maze_planning.planning import SPLITS, read
from examples.maze_planning.training import train


def load(options: argparse.Namespace) -> dict[str, Mazes]:
    """The mazes of each split, read or generated.

    Raises:
        FileNotFoundError, ValueError: the file is not there, or not what it should be.
    """
    counts = {"train": options.train_mazes, "val": min(50, options.test_mazes), "test": options.test_mazes}
    if options.planning:
        return {split: read(options.planning, split, count, options.seed) for split, count in counts.items()}
    return {split: generate(count, (options.seed, SPLITS.index(split))) for split, count in counts.items()}


def make_model(options: argparse.Namespace, method: str, seed: int) -> Model:
    """A new model with a layer, or a plain one.

    Raises:
        ValueError: an option that the layer does not take.
    """
    torch.manual_seed(seed)
    if method == PLAIN:
        return PlainModel().to(options.device)
    return SolverModel(
        method,
        walls_known=options.walls == "known",
        samples=options.samples,
        beta=options.beta,
        temperature=options.temperature,
        workers=options.workers,
        seed=seed,
    ).to(options.device)


def main() -> None:
    """Trains, compares, draws."""
    parser, options = parse(__doc__)
    try:
        for method in options.methods:
            make_model(options, method, options.seed).close()  # says what is wrong with options
        mazes = load(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    run = start(parser, options)
    train_and_draw(options, mazes, run)


def start(parser: Parser, options: argparse.Namespace) -> Run:
    """The run of these options."""
    told = "is told where walls are" if options.walls == "known" else "knows nothing of walls but the predicted costs"
    return Run(
        parser,
        options,
        title="Planning in mazes of planning-datasets" if options.planning else "Planning in mazes",
        about=f"Costs of cells of {SIDE} x {SIDE} mazes from images, learned from demonstrated shortest paths; on "
        f"mazes not seen in training. The solver {told}. Optimal: the prediction joins the ends over floor and is as "
        "short as can be. Then A* searches on the predicted costs; its heuristic takes a step to cost as much as the "
        "median cell. If it expands E cells, and E* on the true maze, where a cell costs 1, that is 1 - E / E* fewer; "
        "0 where it is not, or the path leads through walls. The method none is a plain U-Net, which predicts cells of "
        "the path; the costs for A* are then 1 minus the logarithm of their probability.",
        columns=COLUMNS,
        free=["workers", "no_baseline"],
    )


def train_and_draw(options: argparse.Namespace, mazes: dict[str, Mazes], run: Run) -> None:
    """Trains all methods for the same epochs, tabulates and draws."""
    training, test = mazes["train"], mazes["test"]
    print(
        f"{len(training)} problems to train on, {len(test)} in other mazes to test on; paths of "
        f"{training.lengths.mean():.1f} and {test.lengths.mean():.1f} cells"
    )
    methods = list(options.methods)
    single = len(methods) * options.seeds == 1
    if single and not options.no_baseline and PLAIN not in methods:
        methods.append(PLAIN)
    walls_known = options.walls == "known"
    add_references(options, test, run)
    shown: list[Shown] = []

    def measure(model: Model) -> tuple[Array, Array, dict[str, float]]:
        masks, costs = predict(model, test)
        return masks, costs, metrics_of(masks, guided(costs, test, walls_known=walls_known), test)

    for seed in seeds_of(options):
        for method in methods:
            model, name = make_model(options, method, seed), f"{method}, seed {seed}"
            *_, before = measure(model)
            if method == methods[0]:
                run.add("untrained", seed, before)
            curve, seconds = train(model, training, mazes["val"], options, seed, run.checkpoint(method, seed), name)
            masks, costs, after = measure(model)
            print(f"{name}: optimal {before['optimal']:.1%} before training, {after['optimal']:.1%} after")
            run.add(method, seed, after | {"seconds": seconds}, {"optimal": curve})
            if seed == options.seed and method in (methods[0], PLAIN):
                shown.append(Shown(method, masks, costs, curve))
            model.close()
    pictures = [save_picture(draw(shown, test, walls_known=walls_known), options.out, "maze_planning")]
    if not single:
        bars = {name: COLUMNS[name] for name in ("optimal", "optimal_searched", "expanded")}
        pictures.append(save_picture(draw_comparison(run.results, bars), options.out, "compare"))
    run.finish(pictures)


def add_references(options: argparse.Namespace, test: Mazes, run: Run) -> None:
    """Adds searches that know the walls, and some on random costs."""
    for name, step in (("A* on the true maze", 1.0), ("Dijkstra on the true maze", 0.0)):
        found = astar(test, step)
        run.add(name, options.seed, metrics_of(np.stack([each.path for each in found]), found, test))
    for seed in seeds_of(options):
        costs = 1 + np.random.default_rng(seed).exponential(size=test.walls.shape)
        known = options.walls == "known"
        cheapest = search_all(costs, test, walls_known=known, steps=np.zeros(len(test)))
        masks = np.stack([each.path for each in cheapest])
        run.add("random costs", seed, metrics_of(masks, guided(costs, test, walls_known=known), test))
