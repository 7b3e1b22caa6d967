"""Neural relational inference: which particles interact, learned from how they move, never from an interaction.

An encoder looks at tracks and scores pairs; a solver layer draws a tree of them, the latent variable; a decoder
predicts each next step by messages along it. As published by Kipf et al. (2018), with trees as by Paulus et al. (2020).
"""

from __future__ import annotations

import argparse

import torch

from examples.common.options import seeds_of, trainings
from examples.common.pictures import draw_comparison, save_picture
from examples.common.results import Column
from examples.common.run import Run
from examples.relational_inference.baselines import baselines
from examples.relational_inference.data import Data, load
from examples.relational_inference.options import make_parser, parse, published
from examples.relational_inference.picture import draw
from examples.relational_inference.training import Model, Score, train

COLUMNS = {
    "elbo": Column("ELBO", ".1f"),
    "accuracy": Column("edge accuracy", ".1%"),
    "precision": Column("precision", ".1%"),
    "recall": Column("recall", ".1%"),
    "map_precision": Column("precision, MAP", ".1%"),
}
SHOWN = ("aimle-central", "rooted")  # of several methods, the pictures that results name
ABOUT = (
    "Particles whose interactions form a hidden tree; only their tracks are seen. ELBO over particles, without the "
    "normal density's constant; accuracy, precision and recall over pairs, of one sample for each held-out system. "
    "Nearest: the tree of least distances between last places. Spanning trees by four estimators; rooted trees, and "
    "the best n - 1 edges, by central AIMLE; relaxed edges by no solver."
)


def main() -> None:
    """Trains, prints a table and draws what was inferred."""
    parser = make_parser(__doc__ or "")
    options = parse(parser)
    run = Run(
        parser,
        options,
        title=f"Neural relational inference: {_name(options)}",
        about=ABOUT,
        columns=COLUMNS,
        published=published(options),
    )
    try:
        data = {seed: load(options, seed) for seed in seeds_of(options)}
    except ValueError as error:
        parser.error(f"--data: {error}")
    for seed, systems in data.items():
        for name, metrics in baselines(_model(systems, "imle", seed, options), systems.test):
            run.add(name, seed, metrics)
    pictures = {}
    for method, seed in trainings(options):
        systems = data[seed]
        model = _model(systems, method, seed, options)
        title = f"training, {method}, seed {seed}"
        scores, seconds = train(model, systems.train, systems.test, title, options, run.checkpoint(method, seed))
        curves = {name: [getattr(score, name) for score in scores] for name in Score._fields}
        run.add(method, seed, {**scores[-1]._asdict(), "seconds": seconds}, curves)
        if seed == options.seed:
            pictures[method] = _draw(model, systems, scores, method, options)
    if len(options.methods) > 1:
        shares = {name: column for name, column in COLUMNS.items() if name != "elbo"}  # which starts far off
        comparison = save_picture(draw_comparison(run.results, shares), options.out, "relational_inference")
        pictures = {"": comparison, **{name: pictures[name] for name in SHOWN if name in pictures}}
    run.finish(list(pictures.values()))


def _model(systems: Data, method: str, seed: int, options: argparse.Namespace) -> Model:
    torch.manual_seed(seed)
    return Model(systems.train, method, systems.directed, options).to(options.device)


def _draw(model: Model, systems: Data, scores: list[Score], method: str, options: argparse.Namespace) -> str:
    model.eval()
    tracks, truth = systems.test.tracks[:3], systems.test.influence[:3]
    with torch.no_grad():
        found = model.latent.mode(model.encoder(tracks))
    title = f"{_name(options)}, by {method}"
    figure = draw(tracks.cpu().numpy(), truth.cpu().numpy(), found.cpu().numpy(), scores, title, systems.directed)
    name = "relational_inference" if len(options.methods) == 1 else f"tracks-{method}"
    return save_picture(figure, options.out, name)


def _name(options: argparse.Namespace) -> str:
    return options.data if isinstance(options.data, str) else options.data.stem
