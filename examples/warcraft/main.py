"""Learns to find paths on Warcraft maps: a network predicts the costs of tiles, a solver layer finds the path.

The network sees images and, as labels, cheapest paths; never a cost. By default it is trained on generated maps, and
then a plain ResNet18, which predicts the path directly, on the same maps for the same time.

Two metrics are printed. Exact match: the predicted path is the label, tile by tile; many maps have several cheapest
paths, so this counts good paths as wrong. Cost-optimal: the prediction is a path, and by the true costs as cheap as the
label. Before training all tiles cost about the same to the layer; it goes straight, which on some maps is right.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

import torch

from examples.common.checkpoints import Checkpoint
from examples.common.options import seeds_of
from examples.common.pictures import draw_comparison, save_picture
from examples.common.results import Column
from examples.common.run import Run
from examples.warcraft.files import read, write
from examples.warcraft.frontends.choice import front_end, versions
from examples.warcraft.generator import generate
from examples.warcraft.learning import Budget, Learning
from examples.warcraft.maps import SPLITS, Maps
from examples.warcraft.methods import PLAIN
from examples.warcraft.model import PlainModel, SolverModel
from examples.warcraft.options import parse
from examples.warcraft.picture import draw
from examples.warcraft.published import published
from examples.warcraft.training import Training
from imle_solvers import Executor, RayExecutor

COLUMNS = {
    "optimal": Column("cost-optimal", ".1%"),
    "exact": Column("exact match", ".1%"),
    "optimal_before": Column("cost-optimal before training", ".1%", deviation=False),
    "seconds": Column("seconds of training", ".0f", deviation=False),
    "solves": Column("solves in training", ".0f", deviation=False),
}


def load_maps(options: argparse.Namespace) -> dict[str, Maps]:
    """The maps of each split, read or generated.

    Raises:
        FileNotFoundError, ValueError: the real maps are not there, or not what they should be.
    """
    counts = {"train": options.train_maps, "val": min(200, options.test_maps), "test": options.test_maps}
    if options.data:
        return {split: read(options.data, options.size, split)[:count] for split, count in counts.items()}
    return {
        split: generate(count, options.size, seed=(options.seed, SPLITS.index(split)))
        for split, count in counts.items()
    }


def start_training(
    options: argparse.Namespace, method: str, seed: int, checkpoint: Checkpoint | None, executor: Executor | None
) -> Learning:
    """A new training of the layer, which solves where `executor` says, or of the plain network."""
    torch.manual_seed(seed)
    layer: dict[str, Any] = {name: getattr(options, name) for name in ("samples", "beta", "temperature", "workers")}
    course: dict[str, Any] = {name: getattr(options, name) for name in ("lr", "schedule", "batch_size")}
    if options.frontend == "jax":
        from examples.warcraft.frontends.jax_training import JaxTraining

        return JaxTraining(options.size, method=method, seed=seed, **layer, **course)
    if options.frontend == "keras":
        from examples.warcraft.frontends.keras_training import KerasTraining

        return KerasTraining(options.size, method=method, seed=seed, **layer, **course)
    model: SolverModel | PlainModel
    if method == PLAIN:
        model = PlainModel(options.size)
    else:
        model = SolverModel(options.size, method=method, executor=executor, seed=seed, **layer)
    return Training(model, device=torch.device(options.device), seed=seed, checkpoint=checkpoint, **course)


def title(options: argparse.Namespace, method: str) -> str:
    """What a method is called in bars and pictures."""
    if method == PLAIN:
        return "plain ResNet18"
    return f"ResNet18 front + solver layer ({', '.join(filter(None, (method, front_end(options))))})"


def main() -> None:
    """Trains, compares, draws."""
    parser, options = parse(__doc__)
    try:
        maps = load_maps(options)
        if options.write:
            for split in SPLITS:
                write(options.write, split, maps[split])
            print(f"maps: {options.write}/{options.size}x{options.size}")
            return
        run = Run(
            parser,
            options,
            title=" in ".join(filter(None, ("Warcraft", front_end(options)))),
            about="Costs of terrain from images, learned from cheapest paths; shares of held-out maps. Cost-optimal: "
            "the prediction is a path that costs no more than the best. Exact match: it is the labelled path, of which "
            "there is often more than one. The method none is a plain ResNet18 with the time of the slowest other.",
            columns=COLUMNS,
            published=published(options),
            free=["epochs", "workers", "ray", "no_baseline"],
        )
        run.results.machine |= versions(options)
        executor = RayExecutor(options.ray, options.workers) if options.ray else None
        for method in options.methods:
            start_training(options, method, options.seed, None, executor)  # says what is wrong with options
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    with executor or contextlib.nullcontext():
        try:
            train_and_draw(options, maps, run, executor)
        except ConnectionError as error:
            parser.error(f"--ray: {error}")


def train_and_draw(options: argparse.Namespace, maps: dict[str, Maps], run: Run, executor: Executor | None) -> None:
    """Trains all methods for the same epochs, the plain network for the time of the slowest; tabulates and draws."""
    train, test, side = maps["train"], maps["test"], f"{options.size}x{options.size}"
    print(f"{len(train)} maps of {side} to train on, {len(test)} held out to test on")
    methods = sorted(options.methods, key=lambda method: method == PLAIN)
    single = len(methods) * options.seeds == 1
    if single and options.frontend == "torch" and not options.no_baseline and PLAIN not in methods:
        methods.append(PLAIN)
    shown: dict[str, Learning] = {}
    for seed in seeds_of(options):
        slowest = 0.0
        for method in methods:
            name = title(options, method) + (f", seed {seed}" if options.seeds > 1 else "")
            # What trains for a time never gives the same numbers twice, and starts anew in a resumed run.
            timed = method == PLAIN and slowest > 0
            checkpoint = None if timed else run.checkpoint(method, seed)
            training = start_training(options, method, seed, checkpoint, executor)
            before = report(name, training, test, "before training")
            training.fit(train, maps["val"], Budget(options.epochs, slowest if timed else 0.0), title=name)
            after = report(name, training, test, "after training")
            report_layer(training)
            history = training.history
            slowest = max(slowest, history[-1].seconds)
            last = {"seconds": history[-1].seconds, "solves": history[-1].solves}
            metrics = dict(zip(("exact", "optimal", "exact_before", "optimal_before"), after + before, strict=True))
            curves = {curve: [getattr(point, curve) for point in history] for curve in ("exact", "optimal", "seconds")}
            run.add(method, seed, metrics | last, curves)
            if seed == options.seed and method in (methods[0], PLAIN):
                shown[title(options, method)] = training
            else:
                training.close()
    pictures = [save_picture(draw(shown, test), options.out, "warcraft")]
    if not single:
        bars = {name: COLUMNS[name] for name in ("optimal", "exact", "seconds")}
        heading = f"{len(train)} maps of {side}, {options.epochs} epochs, seeds: {options.seeds}"
        pictures.append(save_picture(draw_comparison(run.results, bars, heading), options.out, "compare"))
    run.finish(pictures)


def report(name: str, training: Learning, test: Maps, when: str) -> tuple[float, float]:
    """Prints exact match and cost-optimal, and returns them."""
    exact, optimal = training.score(test)
    print(f"{name}, {when}: exact match {exact:.1%}, cost-optimal {optimal:.1%}")
    return exact, optimal


def report_layer(training: Learning) -> None:
    """Prints how the layer did, where there is one."""
    if stats := training.stats():
        print(f"layer: {stats}")
        shares = ", ".join(f"{point.skipped:.0%}" for point in training.history[1:])
        print(f"layer: solves that were known without solving, by epoch: {shares}")
