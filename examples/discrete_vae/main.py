"""A variational auto-encoder with a discrete code: 20 rows, in each of which k of 20 columns are chosen.

An encoder scores the entries of the code, a layer draws codes, a decoder makes the image of them again. Nobody says
what a code should be: the gradient of the reconstruction comes to the encoder through the layer, for which each row is
an instance of choosing k of 20. By default it learns on the 8 x 8 digits that are embedded here.

Measured is the N-ELBO on images held out, in nats an image: cross-entropy of the pixels, and the divergence of the code
from one that is drawn uniformly, both as published. Pixels are shares of white, so that no reconstruction has a
cross-entropy of 0. Codes are drawn in tests as in training, and are of 0 and 1 for every method.
"""

from __future__ import annotations

import argparse

import torch

from examples.common.options import seeds_of
from examples.common.pictures import save_picture
from examples.common.results import Column
from examples.common.run import Run
from examples.discrete_vae import published
from examples.discrete_vae.codes import RANDOM, Codes
from examples.discrete_vae.data import DATA, Images, load
from examples.discrete_vae.model import COLUMNS, ROWS, DiscreteVAE
from examples.discrete_vae.options import parse, plan_of, settings_of
from examples.discrete_vae.picture import draw, draw_learning
from examples.discrete_vae.training import Point, Training

UNTRAINED = "untrained"

TABLE = {
    "nelbo": Column("N-ELBO", ".2f"),
    "reconstruction": Column("reconstruction", ".2f"),
    "divergence": Column("divergence", ".2f"),
}


def make_training(method: str, seed: int, options: argparse.Namespace, images: Images) -> Training:
    """A new training.

    Raises:
        ValueError: an option is not what an estimator takes.
    """
    torch.manual_seed(seed)
    network = DiscreteVAE(images.train.shape[1])
    return Training(network, Codes(method, settings_of(options)), plan_of(options))


def main() -> None:
    """Trains, tabulates, draws."""
    parser, options = parse(__doc__)
    try:
        images = load(options.idx, options.train_images, options.test_images, fewer=options.quick)
        for method in options.methods:
            make_training(method, options.seed, options, images)  # says what is wrong with options
    except (OSError, ValueError) as error:
        parser.error(str(error))
    run = Run(
        parser,
        options,
        title=title(options),
        about=about(options, images),
        columns=TABLE | published.columns(options, images),
        free=["preset", "no_baseline"],
    )
    print(f"{DATA[options.data]}: {len(images.train)} images to train on, {len(images.test)} held out to test on")
    shown: dict[str, Training] = {}
    for seed in seeds_of(options):
        untrained = make_training(options.methods[0], seed, options, images).evaluate(images)
        run.add(UNTRAINED, seed, metrics_of(untrained))
        for method in (*([] if options.no_baseline else [RANDOM]), *options.methods):
            training = make_training(method, seed, options, images)
            training.fit(images, run.checkpoint(method, seed), f"{method}, seed {seed}")
            history = training.history
            metrics = metrics_of(history[-1])
            if options.preset:
                metrics |= published.losses(history, options.samples)
            points = [metrics_of(point) for point in history]
            run.add(method, seed, metrics, {name: [point[name] for point in points] for name in points[0]})
            if seed == options.seed and method != RANDOM:
                shown[method] = training
    run.results.published = published.published(options, images, run.results.rows)
    torch.manual_seed(options.seed)
    figures = {"discrete_vae": draw(shown, images), "curves": draw_learning(run.results)}
    run.finish([save_picture(figure, options.out, name) for name, figure in figures.items()])


def metrics_of(point: Point) -> dict[str, float]:
    """By the names of `TABLE`."""
    return {"nelbo": point.nelbo, "reconstruction": point.reconstruction, "divergence": point.divergence}


def title(options: argparse.Namespace) -> str:
    """Of the section of results of this run."""
    name = "A discrete variational auto-encoder"
    if options.k != 10:
        name += f", {options.k} of {COLUMNS} a row"
    return name if options.data == "digits" else f"{name}, {DATA[options.data]}"


def about(options: argparse.Namespace, images: Images) -> str:
    """What the section of results says of this run."""
    text = (
        f"{DATA[options.data][0].upper()}{DATA[options.data][1:]}, {len(images.train)} to train on and "
        f"{len(images.test)} held out, encoded as {ROWS} rows with {options.k} of {COLUMNS} columns chosen in each. In "
        "nats an image, on those held out: the N-ELBO, and its parts, the cross-entropy of the pixels and the "
        "divergence of the codes."
    )
    if options.preset:
        text += " In the published test loss the divergence counts for a tenth; it is compared after as many steps."
    return text if options.no_baseline else f"{text} random is a decoder that was trained on random codes."
