"""The pictures: what sampling on a map gives, and which settings learn it."""

from __future__ import annotations

import itertools
import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from examples.map_demo.learning import Learned
from examples.map_demo.maps import cheapest, hamming
from examples.map_demo.sampling import make_layer
from examples.map_demo.settings import WITH_TARGET, WITHOUT_NOISE, Setting
from imle_adapters import ShortestPathAdapter
from imle_solvers.viz import plot_matrix

Runs = Mapping[str, Sequence[Sequence[Learned]]]
"""What each method has learned, for each seed."""

NEVER = "#f2f2f2"


def draw_sampling(
    adapter: ShortestPathAdapter, costs: Tensor, beta: float, temperatures: Sequence[float], count: int, seed: int
) -> Figure:
    """Draws the map, a sampled path, marginals at these temperatures, and gradients of the loss to two gold paths.

    Args:
        adapter: of paths.
        costs: (H, W).
        beta: lambda.
        temperatures: of the noise, above zero.
        count: samples.
        seed: of the noise.
    """
    figure = Figure(figsize=(4.1 * (len(temperatures) + 1), 7.6), layout="constrained")
    above, below = figure.subplots(2, len(temperatures) + 1)
    gold = cheapest(adapter, costs)
    straight = cheapest(adapter, torch.ones_like(costs))
    with make_layer(adapter, 0.0, 0.0, beta, seed) as layer:
        layer.plot(costs, axes=above[0])
    above[0].set_title("the map, and its cheapest path", fontsize=10)
    for column, temperature in enumerate(temperatures):
        with make_layer(adapter, temperature, temperature, beta, seed) as layer:
            layer.plot(costs, "marginals", num_samples=count, axes=above[column + 1])
            above[column + 1].set_title(
                f"marginals, {count} samples,\nnoise of temperature {temperature:g}", fontsize=10
            )
            if column == 0:
                layer.plot(costs, "sample", axes=below[0])
                below[0].set_title(f"a sampled path,\nnoise of temperature {temperature:g}", fontsize=10)
    # A step against the gradient makes cells dearer where it is below zero: where sampled paths are wrong.
    middle = temperatures[len(temperatures) // 2]
    cases = [
        ("the cheapest path", gold, beta),
        ("the straight path", straight, beta),
        ("the straight path", straight, 3 * beta),
    ]
    for axes, (name, path, step) in zip(below[1:], cases, strict=False):
        with make_layer(adapter, middle, middle, step, seed) as layer:

            def loss(found: Tensor, path: Tensor = path) -> Tensor:
                return hamming(found, path).sum()  # the estimator takes the mean over samples

            layer.num_samples = count
            layer.plot(costs.unsqueeze(0), "gradient", loss=loss, axes=axes)
        axes.set_title(
            f"gradient of the loss to {name},\nlambda {step:g}, temperature {middle:g}; orange: gets dearer",
            fontsize=10,
        )
    return figure


def draw_summary(runs: Runs, steps: int) -> Figure:
    """Draws for each setting after how many steps the map's path was the gold one: a row for each method.

    A column has one number of samples. Methods without noise, to which that is nothing, have the whole row.

    Args:
        runs: what was learned.
        steps: of each training.
    """
    shapes = {method: sorted({learned.setting.samples for learned in seeds[0]}) for method, seeds in runs.items()}
    counts = sorted({count for method, own in shapes.items() if method not in WITHOUT_NOISE for count in own}) or [1]
    columns = len(counts)
    heights = [1.1 + 0.7 * len({learned.setting.input for learned in seeds[0]}) for seeds in runs.values()]
    figure = Figure(figsize=(max(6.0, 4.3 * columns + 0.6), sum(heights) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(runs), columns, height_ratios=heights)
    known = [run.steps for seeds in runs.values() for run in itertools.chain(*seeds) if run.steps > 0]
    low, high = min(known, default=1.0), max(known, default=steps)
    norm = LogNorm(low, max(high, 2 * low))
    for row, (method, seeds) in enumerate(runs.items()):
        for samples in shapes[method]:
            place = slice(None) if method in WITHOUT_NOISE else counts.index(samples)
            _draw_settings(figure.add_subplot(grid[row, place]), method, seeds, samples, norm)
    seeds_text = f", median of {len(next(iter(runs.values())))} seeds" if len(next(iter(runs.values()))) > 1 else ""
    text = (
        f"Steps until the cheapest path of the learned map is the gold path{seeds_text}, of {steps}. "
        "Below: for how many seeds it was, and for how many it still is at the end; white: for none. "
        "Axes: temperatures."
    )
    figure.suptitle("\n".join(textwrap.wrap(text, int(10.5 * figure.get_figwidth()))), fontsize=11)
    return figure


def _draw_settings(axes: Axes, method: str, seeds: Sequence[Sequence[Learned]], samples: int, norm: LogNorm) -> None:
    """One matrix of input and target temperatures."""
    found = {
        learned.setting: [again for run in seeds for again in run if again.setting == learned.setting]
        for learned in seeds[0]
        if learned.setting.samples == samples
    }
    inputs = sorted({setting.input for setting in found})
    targets = sorted({setting.target for setting in found}) if method in WITH_TARGET else [math.nan]
    medians = np.full((len(inputs), len(targets)), np.nan)
    for row, temperature in enumerate(inputs):
        for column, target in enumerate(targets):
            learned = found[Setting(temperature, temperature if math.isnan(target) else target, samples)]
            reached = [run.steps for run in learned if not math.isnan(run.steps)]
            stays = sum(run.wrong[-1] == 0 for run in learned)
            text = "never"
            if reached:
                medians[row, column] = max(1.0, statistics.median(reached))
                text = f"{statistics.median(reached):g}\n{len(reached)}, {stays} of {len(learned)}"
            light = not reached or norm(medians[row, column]) > 0.6
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color="black" if light else "white")
    axes.set_facecolor(NEVER)
    plot_matrix(
        medians,
        rows="input noise",
        columns="target noise",
        norm=norm,
        bar=False,  # the numbers stand in the cells
        axes=axes,
    )
    axes.set_aspect("auto")
    sampled = "no noise, so that all samples are the same" if method in WITHOUT_NOISE else _samples(samples)
    axes.set_title(f"{method}, {sampled}", fontsize=10)
    axes.set(xticks=range(len(targets)), xticklabels=[f"{t:g}" for t in targets])
    axes.set(yticks=range(len(inputs)), yticklabels=[f"{t:g}" for t in inputs])
    if method not in WITH_TARGET:
        axes.set(xticks=[], xlabel="")
    if method in WITHOUT_NOISE:
        axes.set(yticks=[], ylabel="")


def _samples(count: int) -> str:
    return f"{count} sample{'s' * (count > 1)}"
