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

import torch

from examples.common.pictures import save_picture
from examples.warcraft.compare import Result, chart, result_of, solves_of, table, write_table
from examples.warcraft.files import read, write
from examples.warcraft.generator import generate
from examples.warcraft.maps import SPLITS, Maps
from examples.warcraft.methods import PLAIN
from examples.warcraft.model import PlainModel, SolverModel
from examples.warcraft.options import parse
from examples.warcraft.picture import draw
from examples.warcraft.training import Budget, Training
from imle_solvers import Executor, RayExecutor

# The options that decide the numbers of a run, on which a resumed one must agree.
DECISIVE = ["size", "method", "seed", "train_maps", "batch_size", "lr", "schedule", "samples", "beta", "temperature"]


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


def start_training(options: argparse.Namespace, method: str, seed: int, executor: Executor | None) -> Training:
    """A new training of the layer, which solves where `executor` says, or of the plain network."""
    torch.manual_seed(seed)
    model: SolverModel | PlainModel
    if method == PLAIN:
        model = PlainModel(options.size)
    else:
        model = SolverModel(
            options.size,
            method=method,
            samples=options.samples,
            beta=options.beta,
            temperature=options.temperature,
            workers=options.workers,
            executor=executor,
            seed=seed,
        )
    return Training(
        model,
        device=torch.device(options.device),
        lr=options.lr,
        schedule=options.schedule,
        batch_size=options.batch_size,
        seed=seed,
        settings={"maps": "real" if options.data else "generated"}
        | {name: getattr(options, name) for name in DECISIVE},
    )


def title(method: str) -> str:
    """What a method is called in bars and pictures."""
    return "plain ResNet18" if method == PLAIN else f"ResNet18 front + solver layer ({method})"


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
        executor = RayExecutor(options.ray, options.workers) if options.ray else None
        if not options.compare:
            training = start_training(options, options.method, options.seed, executor)
        if options.resume:
            training.resume(options.resume)
        if options.save:
            options.save.parent.mkdir(parents=True, exist_ok=True)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    with executor or contextlib.nullcontext():
        try:
            if options.compare:
                compare(options, maps, executor)
            else:
                train_and_draw(options, maps, training)
        except ConnectionError as error:
            parser.error(f"--ray: {error}")


def train_and_draw(options: argparse.Namespace, maps: dict[str, Maps], training: Training) -> None:
    """Trains one method, and the plain network for the same time; draws both."""
    test, name = maps["test"], title(options.method)
    print(f"{len(maps['train'])} maps of {options.size}x{options.size} to train on, {len(test)} held out to test on")
    report(name, training, test, "resumed" if options.resume else "before training")
    training.fit(maps["train"], maps["val"], Budget(options.epochs), title=name, save=options.save)
    report(name, training, test, "after training")
    trainings = {name: training}
    if isinstance(training.model, SolverModel):
        print(f"layer: {training.model.layer.stats()}")
        shares = ", ".join(f"{point.skipped:.0%}" for point in training.history[1:])
        print(f"layer: solves that were known without solving, by epoch: {shares}")
        if not options.no_baseline:
            plain = start_training(options, PLAIN, options.seed, None)
            report(title(PLAIN), plain, test, "before training")
            budget = Budget(options.epochs, seconds=training.history[-1].seconds)
            plain.fit(maps["train"], maps["val"], budget, title=title(PLAIN))
            report(title(PLAIN), plain, test, "after training")
            trainings[title(PLAIN)] = plain
    save_picture(draw(trainings, test), options.out, "warcraft")


def compare(options: argparse.Namespace, maps: dict[str, Maps], executor: Executor | None) -> None:
    """Trains several methods for the same epochs, the plain network for the time of the slowest; tabulates and draws.

    The learning curve is not measured on the way, so that the time and the solves are those of training.
    """
    results: dict[str, list[Result]] = {method: [] for method in options.compare}
    for seed in range(options.seed, options.seed + options.seeds):
        for method in sorted(options.compare, key=lambda method: method == PLAIN):
            training = start_training(options, method, seed, executor)
            slowest = max((runs[-1].seconds for runs in results.values() if runs), default=None)
            budget = Budget(options.epochs, seconds=slowest if method == PLAIN else None)
            training.fit(maps["train"], None, budget, title=f"{method}, seed {seed}")
            results[method].append(result_of(training, maps["test"], solves_of(training)))
            if isinstance(training.model, SolverModel):
                training.model.layer.close()
    text = table(results)
    print(text)
    print(f"table: {write_table(text, options.out)}")
    counts = f"{len(maps['train'])} maps of {options.size}x{options.size}, {options.epochs} epochs"
    save_picture(
        chart(results, f"{counts}, {options.seeds} seed{'s' if options.seeds > 1 else ''}"), options.out, "compare"
    )


def report(name: str, training: Training, test: Maps, when: str) -> None:
    """Prints both metrics."""
    exact, optimal = training.score(test)
    print(f"{name}, {when}: exact match {exact:.1%}, cost-optimal {optimal:.1%}")
