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
from pathlib import Path

import torch

from examples.common.options import Parser, positive, positive_number
from examples.common.pictures import save_picture
from examples.warcraft.compare import Result, chart, result_of, solves_of, table, write_table
from examples.warcraft.data import SIZES, SPLITS, Maps, generate, read, write
from examples.warcraft.model import METHODS, PlainModel, SolverModel
from examples.warcraft.picture import draw
from examples.warcraft.training import SCHEDULES, Budget, Training
from imle_solvers import Executor, RayExecutor

PLAIN = "none"

# The options that decide the numbers of a run, on which a resumed one must agree.
DECISIVE = ["size", "method", "seed", "train_maps", "batch_size", "lr", "schedule", "samples", "beta", "temperature"]

EPILOG = """\
The recipe that was published for the real maps (10 000 of them, 95 % cost-optimal at 12x12):
  python examples/warcraft --data DIR --train-maps 10000 --epochs 50 --batch-size 70 --beta 20 --lr 5e-4 \\
    --schedule steps
"""


def parse_options() -> tuple[Parser, argparse.Namespace]:
    """The options of the command line, and their parser for later errors."""
    parser = Parser("warcraft", __doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of the real maps; default: maps are generated")
    add("--write", type=Path, metavar="DIR", help="write the maps in the published layout to DIR, and stop")
    add("--size", type=int, choices=SIZES, default=12, help="tiles along the side of a map; default 12")
    add("--train-maps", type=positive, default=2000, metavar="N", help="maps to train on; default 2000")
    add("--test-maps", type=positive, default=500, metavar="N", help="held-out maps; default 500")
    add(
        "--method",
        choices=(*METHODS, PLAIN),
        default="imle",
        help="how the layer is differentiated, or none: a plain ResNet18 without a layer; default imle",
    )
    add(
        "--compare",
        metavar="METHODS",
        help="train several methods on the same maps and seeds, for example imle,aimle,none, or all; writes a table "
        "and a chart",
    )
    add("--seeds", type=positive, default=3, metavar="N", help="with --compare: seeds for each method; default 3")
    add("--no-baseline", action="store_true", help="do not train the plain ResNet18 after the layer")
    add("--epochs", type=positive, default=4, metavar="N", help="passes over the training maps; default 4")
    add("--batch-size", type=positive, default=20, metavar="N", help="maps per step; default 20")
    add("--lr", type=positive_number, default=2e-3, help="the highest learning rate of Adam; default 2e-3")
    add(
        "--schedule",
        choices=SCHEDULES,
        default="cycle",
        help="of the learning rate: cycle, a warm-up and a cosine, or the published steps; default cycle",
    )
    add("--samples", type=positive, default=1, metavar="S", help="perturbed paths per map in training; default 1")
    add(
        "--beta",
        type=float,
        default=6.0,
        help="lambda of I-MLE; as the loss is a mean over the batch, it should grow with it; default 6",
    )
    add("--temperature", type=float, default=0.01, help="of the noise, in units of cost; default 0.01")
    add("--device", default="cpu", help="device of the network, for example cuda; default cpu")
    add("--workers", type=int, metavar="N", help="threads that solve, 0 for none; default: one for each CPU")
    add(
        "--ray",
        metavar="ADDRESS",
        help="solve on a Ray cluster, by --workers actors: its host:port, auto for the one that runs here, or local to "
        "start one",
    )
    add("--save", type=Path, metavar="FILE", help="save the training here after each epoch")
    add("--resume", type=Path, metavar="FILE", help="go on with a saved training, up to --epochs in all")
    options = parser.parse()
    if options.quick:
        options.train_maps, options.test_maps, options.epochs = 40, 10, 2
    if options.compare is not None:
        known = (*METHODS, PLAIN)
        options.compare = known if options.compare == "all" else options.compare.split(",")
        if unknown := [method for method in options.compare if method not in known]:
            parser.error(f"--compare: unknown method {unknown[0]!r}; expected all, or some of {','.join(known)}")
        if options.save or options.resume:
            parser.error("--compare trains anew each time; leave out --save and --resume")
    if options.write and options.data:
        parser.error("--write writes generated maps; leave out --data")
    if options.save and options.save.is_dir():
        parser.error(f"--save: expected a file, got the folder {options.save}")
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {options.device}: {str(error).splitlines()[0]}")
    return parser, options


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
    parser, options = parse_options()
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
