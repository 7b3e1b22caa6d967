"""Paths on a map of cheap and dear areas: sampled under noise, differentiated, and the map learned from one path.

It samples paths at several temperatures of Sum-of-Gamma noise, and draws their marginals and the gradient of the
Hamming loss to a gold path. Then it forgets the map, starts from random costs, and learns costs whose cheapest path is
the gold one, in all settings of input noise, target noise and number of samples.

In the folder --out it leaves pictures, animations, and page.html, in which sliders move the settings: open it in a
browser, it needs no network.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from examples.common.methods import METHODS
from examples.common.options import Parser, positive, positive_number, trainings
from examples.common.pictures import save_picture
from examples.common.results import Column
from examples.common.run import Run
from examples.map_demo.animation import animate_learning, animate_sampling
from examples.map_demo.learning import Learned, first_map, learn
from examples.map_demo.maps import cheapest, hamming, paths_over, read_map, walls
from examples.map_demo.page import write_page
from examples.map_demo.picture import draw_sampling, draw_summary
from examples.map_demo.settings import SAMPLES, TEMPERATURES, settings_of
from imle_adapters import ShortestPathAdapter

COLUMNS = {
    "reached": Column("settings that reach the gold path", ".0%"),
    "stays": Column("settings that end on it", ".0%"),
    "steps": Column("steps until then, median", ".0f"),
    "wrong": Column("wrong cells at the end, mean", ".1f"),
}
RANDOM_MAPS = 1000


def parse() -> tuple[Parser, argparse.Namespace, Tensor]:
    """The parser, for errors, what it made of the command line, and the map."""
    parser = Parser("map_demo", __doc__, methods=METHODS, lr=0.05, seeds=3)
    add = parser.add_argument
    add("--map", type=Path, metavar="FILE", help="a map, a row of costs a line; default: the published 16 x 16 cells")
    add("--temperatures", type=_temperatures, default=TEMPERATURES, metavar="T,T,..", help="default 0,1,2,5")
    add("--samples", type=_counts, default=SAMPLES, metavar="N,N,..", help="samples a step; default 1,10,100")
    add("--steps", type=positive, default=200, metavar="N", help="of Adam in each setting; default 200")
    add("--beta", type=positive_number, default=10.0, help="lambda of I-MLE, the step of the target; default 10")
    add(
        "--gifs",
        choices=("few", "all", "none"),
        default="few",
        help="animations of learning: the second temperature for each number of samples, or all settings; default few",
    )
    options = parser.parse(quick={"temperatures": (0.0, 1.0), "samples": (1, 10), "steps": 30, "seeds": 1})
    options.frames = 4 if options.quick else 24  # of animations, and on the page
    for method in options.methods:
        if not settings_of(method, options.temperatures, options.samples):
            parser.error(f"--method {method}: no setting left; it needs a temperature above 0, and score two samples")
    try:
        return parser, options, read_map(options.map) if options.map else walls()
    except (OSError, ValueError) as error:
        parser.error(f"--map: {error}")


def main() -> None:
    """Samples, learns, draws."""
    parser, options, costs = parse()
    run = Run(
        parser,
        options,
        title="Paths on a map",
        about=(
            "A map of cheap and dear cells is learned from its cheapest path alone, from random costs, in all settings "
            "of the temperatures of input and target noise and of the number of samples; a setting reaches the gold "
            "path when that is the cheapest on the learned map, without noise."
        ),
        columns=COLUMNS,
        free=("gifs",),
    )
    adapter = paths_over(costs)
    gold = cheapest(adapter, costs)
    count = 20 if options.quick else 100
    warm = [temperature for temperature in options.temperatures if temperature > 0][:3] or [1.0]
    sampling = draw_sampling(adapter, costs, options.beta, warm, count, options.seed)
    pictures = [save_picture(sampling, options.out, "sampling")]
    add_baselines(run, adapter, gold)
    learned: dict[str, list[list[Learned]]] = {method: [] for method in options.methods}
    for method, seed in trainings(options):
        learned[method].append(learn(method, seed, adapter, gold, options, run.checkpoint(method, seed)))
        run.add(method, seed, *metrics_of(learned[method][-1]))
    pictures.insert(0, save_picture(draw_summary(learned, options.steps), options.out, "map_demo"))
    if options.gifs != "none":
        animate_sampling(adapter, costs, warm[0], count=options.frames, seed=options.seed, folder=options.out)
    method = options.methods[0]
    for each in shown_settings(learned[method][0], options):
        animate_learning(adapter, gold, each, method=method, seed=options.seed, folder=options.out)
    page = write_page(adapter, costs, gold, learned[method][0], method=method, options=options)
    print(f"page: {page}")
    run.finish(pictures)


def add_baselines(run: Run, adapter: ShortestPathAdapter, gold: Tensor) -> None:
    """Adds how far from the gold path the cheapest are on the maps that trainings start from, and on random ones."""
    options = run.options
    many = torch.cat([first_map(gold.shape, 2**32 + number) for number in range(RANDOM_MAPS)])
    for seed in range(options.seed, options.seed + options.seeds):
        run.add("untrained", seed, _of_paths(hamming(cheapest(adapter, first_map(gold.shape, seed)), gold)))
    run.add("random", options.seed, _of_paths(hamming(cheapest(adapter, many), gold)))


def _of_paths(wrong: Tensor) -> dict[str, float]:
    right = (wrong == 0).float().mean().item()
    return {"reached": right, "stays": right, "wrong": wrong.mean().item()}


def metrics_of(learned: Sequence[Learned]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """What a run has learned in numbers, and the mean of wrong cells by step."""
    reached = [each.steps for each in learned if not math.isnan(each.steps)]
    metrics = {
        "reached": len(reached) / len(learned),
        "stays": sum(each.wrong[-1] == 0 for each in learned) / len(learned),
        "wrong": statistics.mean(each.wrong[-1] for each in learned),
    }
    if reached:
        metrics["steps"] = statistics.median(reached)
    for each in learned:
        metrics[f"steps, {each.setting}"] = each.steps
        metrics[f"wrong, {each.setting}"] = each.wrong[-1]
    return metrics, {"wrong": [statistics.mean(wrong) for wrong in zip(*(each.wrong for each in learned), strict=True)]}


def shown_settings(learned: Sequence[Learned], options: argparse.Namespace) -> list[Learned]:
    """Those of which there are animations."""
    if options.gifs == "all":
        return list(learned)
    temperatures = sorted({each.setting.input for each in learned})
    chosen = temperatures[min(1, len(temperatures) - 1)]
    few = [each for each in learned if each.setting.input == each.setting.target == chosen]
    return [] if options.gifs == "none" else few


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        values = sorted({float(word) for word in text.split(",")})
    except ValueError:
        values = [math.nan]
    if not all(0 <= value < math.inf for value in values):
        raise argparse.ArgumentTypeError(f"expected numbers of 0 or more, as 0,1,2,5, got {text!r}")
    return tuple(values)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(sorted({positive(word) for word in text.split(",")}))
