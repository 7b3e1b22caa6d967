"""The pictures of the noise study: noises, gradients, steps, the optimisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from examples.common.results import Results
from examples.noise_study import noises
from examples.noise_study.estimates import ADAPTING, EXACT, METHODS, NOISELESS
from examples.noise_study.gradients import Quality, best
from examples.noise_study.noises import Likeness, Sum, distance_to_gumbel, mean_variation
from examples.noise_study.problem import RANDOM, UNTRAINED
from imle_solvers.viz.canvas import COLOURS

STYLES = ("-", "--", ":")
MARKERS = "os^DvPX<>"

LOOKS: dict[str, dict[str, Any]] = {
    method: {"color": colour, "linestyle": STYLES[index % len(STYLES)], "marker": marker, "markersize": 4.5}
    for index, (method, colour, marker) in enumerate(zip((EXACT, *METHODS), COLOURS, MARKERS, strict=True))
}
"""Colour, line and marker of each method, in all pictures."""

STAR: dict[str, Any] = {
    "linestyle": "",
    "marker": "*",
    "markersize": 11,
    "markeredgecolor": "white",
    "markeredgewidth": 0.7,
}
"""Where AIMLE's own lambda is."""


def draw_noises(sums: Sequence[Sum], likenesses: Sequence[Likeness], k: int) -> Figure:
    """Histograms of sums against Gumbel's density, as the paper's figure, and what such noise is good for."""
    figure = Figure(figsize=(13, 6.6), layout="constrained")
    panels = figure.subplots(2, len(sums), squeeze=False)
    x = np.linspace(-4, 8, 500)
    for axes, each in zip(panels[0], sums, strict=True):
        axes.hist(each.draws, bins=70, range=(-4, 8), density=True, color="0.75", label=f"sums of {k} draws")
        axes.plot(x, np.exp(-x - np.exp(-x)), color=COLOURS[1], label="Gumbel(0, 1)")
        axes.set(title=f"{each.name}\ndistance {each.distance:.3f}", xlim=(-4, 8), ylim=(0, 0.5), xlabel="sum")
    panels[0, 0].set_ylabel("density")
    panels[0, 0].legend(fontsize="small")
    for axes in panels[1]:
        axes.remove()
    grid = panels[1, 0].get_gridspec()
    half = grid.ncols // 2
    _draw_distances(figure.add_subplot(grid[1, :half]))
    _draw_likeness(figure.add_subplot(grid[1, half:]), likenesses)
    return figure


def _draw_distances(axes: Axes) -> None:
    terms = np.unique(np.geomspace(1, 1000, 20).round().astype(int))
    axes.loglog(terms, [distance_to_gumbel(count) for count in terms.tolist()], color=COLOURS[0])
    axes.set_title("Sum-of-Gamma: from the sum of k draws to Gumbel, for any k", fontsize="medium")
    axes.set(
        xlabel="terms s",
        ylabel="Kolmogorov distance",
    )
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _draw_likeness(axes: Axes, likenesses: Sequence[Likeness]) -> None:
    names = dict.fromkeys(each.noise for each in likenesses)
    for index, name in enumerate(names):
        points = mean_variation(likenesses, name)
        style = STYLES[index % len(STYLES)]
        axes.plot(*zip(*points.items(), strict=True), style, color=COLOURS[index], marker="o", markersize=4, label=name)
    axes.axhline(mean(each.floor for each in likenesses), color="0.6", linewidth=1, label="seen by chance")
    axes.set_title("Distance of perturb-and-MAP to the Gibbs distribution at temperature 1", fontsize="medium")
    axes.set(
        xlabel="temperature of the noise",
        ylabel="total variation",
        xscale="log",
        ylim=(0, None),
    )
    axes.set_xticks(noises.TEMPERATURES, [f"{each:g}" for each in noises.TEMPERATURES], minor=False)
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.set_ylim(top=1.35 * axes.dataLim.y1)
    axes.legend(fontsize="small", loc="upper right")  # above all points but the first


MEASURES = {
    "cosine": "cosine of an estimate",
    "bias": "bias / length of the gradient",
    "deviation": "deviation / length of the gradient",
    "nonzero": "share of entries not zero",
}


def draw_gradients(qualities: Sequence[Quality], temperature: float, samples: int) -> Figure:
    """What lambda, temperature and samples do to each method's estimates, one of them varied at a time.

    Args:
        qualities: means over seeds.
        temperature, samples: where they are not varied. Lambda is then that of the highest cosine; stars are at that
            which AIMLE finds.
    """
    figure = Figure(figsize=(14.5, 9.5), layout="constrained")
    panels = figure.subplots(3, len(MEASURES), squeeze=False, sharey="col")
    for method in dict.fromkeys(quality.method for quality in qualities):
        own = [quality for quality in qualities if quality.method == method]
        count = 1 if method in NOISELESS else samples
        stepped = [quality for quality in own if (quality.temperature, quality.samples) == (temperature, count)]
        given, found = ([q for q in stepped if q.adapted == adapted] for adapted in (False, True))
        _draw_line(panels[0], method, given, "step", f"lambda, temperature {temperature:g}, {samples} samples")
        _mark(panels[0], method, found)
        varied = _bests(own, method, "temperature", samples)
        _draw_line(panels[1], method, varied, "temperature", f"temperature, {samples} samples")
        varied = _bests(own, method, "samples", temperature)
        _draw_line(panels[2], method, varied, "samples", f"samples, temperature {temperature:g}")
    _finish_gradients(figure, panels, list(dict.fromkeys(quality.method for quality in qualities)))
    for axes in panels[1]:
        axes.set_xticks(sorted({quality.temperature for quality in qualities}))
    return figure


def _draw_line(panels: NDArray[Any], method: str, points: Sequence[Quality], varied: str, xlabel: str) -> None:
    """A method's measures over what is varied; a method to which that is nothing has the same everywhere."""
    for axes, measure in zip(panels, MEASURES, strict=True):
        values = [getattr(quality, measure) for quality in points]
        if len(points) == 1 and (varied == "step" or method in NOISELESS):
            axes.axhline(values[0], **LOOKS[method] | {"marker": ""})
        else:
            at = [getattr(quality, varied) for quality in points]
            axes.plot(at, values, **LOOKS[method])
        axes.set_xlabel(xlabel)


def _mark(panels: NDArray[Any], method: str, found: Sequence[Quality]) -> None:
    for quality in found:
        for axes, measure in zip(panels, MEASURES, strict=True):
            size = 17 if method == ADAPTING[0] else 11  # of stars in one place both are seen
            at = (quality.step, getattr(quality, measure))
            axes.plot(*at, **STAR | {"color": LOOKS[method]["color"], "markersize": size})


def _bests(own: Sequence[Quality], method: str, varied: str, fixed: float) -> list[Quality]:
    values = sorted({getattr(quality, varied) for quality in own})
    found = [
        best(own, method, value, int(fixed)) if varied == "temperature" else best(own, method, fixed, value)
        for value in values
    ]
    return [quality for quality in found if quality is not None]


def _finish_gradients(figure: Figure, panels: NDArray[Any], methods: Sequence[str]) -> None:
    for line in panels:
        for axes, (measure, title) in zip(line, MEASURES.items(), strict=True):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(title, fontsize="medium")
            axes.grid(alpha=0.3)
            if measure in ("bias", "deviation"):
                axes.set_yscale("symlog", linthresh=0.1)
                axes.set_ylim(0, None)
    handles = [Line2D([], [], **LOOKS[method], label=method) for method in methods]
    if any(method in ADAPTING for method in methods):
        handles.append(Line2D([], [], **STAR | {"color": "0.4"}, label="at the lambda that AIMLE finds"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def draw_steps(qualities: Sequence[Quality]) -> Figure:
    """Cosines over lambda and temperature, for each number of samples; AIMLE's own lambda as a star."""
    methods = [m for m in ("imle", "aimle-central") if any(quality.method == m for quality in qualities)]
    counts = sorted({quality.samples for quality in qualities})
    figure = Figure(figsize=(1.5 + 3.9 * len(counts), 0.8 + 2.7 * max(1, len(methods))), layout="constrained")
    panels = figure.subplots(max(1, len(methods)), len(counts), squeeze=False)
    image = None
    for line, method in zip(panels, methods, strict=False):
        for axes, samples in zip(line, counts, strict=True):
            own = [q for q in qualities if q.method == method and q.samples == samples]
            steps = sorted({q.step for q in own if not q.adapted})
            temperatures = sorted({q.temperature for q in own})
            cells = {(q.temperature, q.step): q.cosine for q in own if not q.adapted}
            image = axes.imshow([[cells[t, s] for s in steps] for t in temperatures], vmin=0, vmax=1, cmap="viridis")
            for (t, s), cosine in cells.items():
                colour = "black" if cosine > 0.6 else "white"
                at = (steps.index(s), temperatures.index(t))
                axes.text(*at, f"{cosine:.2f}", ha="center", va="center", fontsize=8, color=colour)
            name = "aimle" if method == "imle" else method
            for q in (q for q in qualities if q.adapted and (q.method, q.samples) == (name, samples)):
                place = np.interp(math.log(q.step), np.log(steps), range(len(steps)))
                star = (place, temperatures.index(q.temperature) - 0.32)
                axes.plot(*star, marker="*", color="#D55E00", markersize=12, markeredgecolor="white")
            axes.set_xticks(range(len(steps)), [f"{step:g}" for step in steps])
            axes.set_yticks(range(len(temperatures)), [f"{temperature:g}" for temperature in temperatures])
            title = f"{method}, {samples} sample{'s' if samples > 1 else ''}"
            axes.set(title=title, xlabel="lambda", ylabel="temperature")
    figure.suptitle("stars: the lambda that AIMLE finds", fontsize="medium")
    if image is not None:
        figure.colorbar(image, ax=list(panels.flat), label="cosine of an estimate with the exact gradient", shrink=0.8)
    return figure


def draw_optimisation(
    results: Results, deviations: Mapping[str, Sequence[float]], rates: Mapping[str, Mapping[float, float]]
) -> Figure:
    """The gap over the steps, with deviations over runs, and at the end for each learning rate.

    Args:
        results: rows with a curve "gap".
        deviations: by method, of the gap, over runs.
        rates: by method, gaps by learning rate, on other problems.
    """
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for method, spread in deviations.items():
        look = LOOKS[method]
        gaps = np.mean([row.curves["gap"] for row in results.rows if row.method == method], axis=0)
        left.plot(gaps, **look, markevery=0.1, label=method)
        left.fill_between(range(len(gaps)), gaps - spread, gaps + spread, color=look["color"], alpha=0.12, linewidth=0)
        right.plot(*zip(*rates[method].items(), strict=True), **look, label=method)
    references = {name: mean(results.values(name, "gap")) for name in (UNTRAINED, RANDOM)}
    for name, gap in references.items():
        left.axhline(gap, color="0.6", linewidth=1)
        side = "bottom" if gap == max(references.values()) else "top"  # not between lines that may be close
        left.text(
            0.99, gap, name, fontsize="small", color="0.4", ha="right", va=side, transform=left.get_yaxis_transform()
        )
    left.set(title="each at its learning rate; bands: deviation over runs", xlabel="step")
    left.set(ylabel="gap of the expected loss to the best subset", ylim=(0, 1.08 * left.dataLim.y1))
    right.set(title="after the last step, on problems for tuning", xlabel="learning rate", xscale="log", ylim=(0, None))
    right.set(ylabel="gap after the last step")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
