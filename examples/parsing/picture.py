"""The picture: dependency trees as arcs above the words, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from examples.common.results import Results
from examples.parsing.data import Data
from examples.parsing.evaluation import are_trees, greedy
from examples.parsing.losses import PLAIN
from examples.parsing.model import Scorer
from examples.parsing.sentences import Sentence, make_batch
from examples.parsing.trees import Trees
from imle_solvers.viz import plot_curves
from imle_solvers.viz.canvas import COLOURS

RIGHT, WRONG = "0.35", COLOURS[1]
COUNT, LONGEST = 2, 15  # sentences that are shown, and their words
REFERENCES = {"word after": "-.", "untrained": "--", "random tree": ":"}


class Shown(NamedTuple):
    """Parses of the held-out sentences that can be shown.

    Attributes:
        method: by which the network was trained.
        arcs: for each sentence the matrix of arcs, by the solver, or for the method without one, without it.
        trees: which of these are trees.
    """

    method: str
    arcs: list[NDArray[np.bool_]]
    trees: list[bool]


def _candidates(data: Data) -> list[Sentence]:
    """The sentences of which some are shown: the first ones that are short enough, or the shortest."""
    several = [sentence for sentence in data.test if len(sentence.words) > 1]
    short = [sentence for sentence in several if len(sentence.words) <= LONGEST]
    return short[:100] or sorted(several, key=lambda sentence: len(sentence.words))[:COUNT]


@torch.no_grad()
def parse_some(method: str, scorer: Scorer, trees: Trees, data: Data, device: str) -> Shown:
    """Parses the sentences of which some are shown."""
    scorer.eval()
    batch = make_batch(_candidates(data), data.vocabulary, device)
    scores = scorer(batch)
    found = greedy(scores, batch, trees) if method == PLAIN else trees.solve(scores, batch)
    sizes = (batch.lengths + 1).tolist()
    arcs = [each[:size, :size] for each, size in zip(found.cpu().numpy() != 0, sizes, strict=True)]
    return Shown(method, arcs, are_trees(found, batch, trees).tolist())


def draw(shown: Sequence[Shown], data: Data, results: Results, kind: str) -> Figure:
    """Draws some sentences with their true trees and with what methods made of them, and curves of training.

    Args:
        shown: parses by each method.
        data: of which they are.
        results: of the run, for the curves of the methods that are shown, and baselines.
        kind: of the trees.
    """
    rooted = kind == "rooted"
    sentences = _candidates(data)
    true = [_true(sentence, rooted=rooted) for sentence in sentences]
    differing = [index for index in range(len(sentences)) if _differ([each.arcs[index] for each in shown])]
    chosen = (differing or list(range(len(sentences))))[:COUNT]
    widest = max(len(sentences[index].words) for index in chosen)
    lines = len(chosen) * (1 + len(shown))
    figure = Figure(figsize=(2 + 0.62 * widest, 1.75 * lines + 3.6), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.75 * lines, 3.6))[:, 0]
    panels = iter(above.subplots(lines, 1, squeeze=False)[:, 0])
    for number, index in enumerate(chosen, start=1):
        sentence = sentences[index]
        _draw_tree(next(panels), sentence, true[index], true[index], f"sentence {number}, true", rooted=rooted)
        for each in shown:
            found = each.arcs[index]
            right, count = (found & true[index]).sum(), true[index].sum()
            by = "without a solver" if each.method == PLAIN else f"solver layer ({each.method})"
            wrong = (found & ~true[index]).sum()
            text = f"{by}: {right} of {count} found, {wrong} wrong" + ("" if each.trees[index] else "; not a tree")
            _draw_tree(next(panels), sentence, found, true[index], text, rooted=rooted)
    which = (
        "The first short held-out sentences that are parsed in different ways" if differing else "Held-out sentences"
    )
    above.suptitle(f"{which}; dashed orange arcs with a cross are wrong", fontsize=10)
    _draw_curves(below.subplots(), [each.method for each in shown], results)
    return figure


def _true(sentence: Sentence, *, rooted: bool) -> NDArray[np.bool_]:
    arcs = np.zeros((len(sentence.words) + 1,) * 2, dtype=bool)
    for word, head in enumerate(sentence.heads, start=1):
        if rooted:
            arcs[head, word] = True
        elif head:
            arcs[min(head, word), max(head, word)] = True
    return arcs


def _differ(found: Sequence[NDArray[np.bool_]]) -> bool:
    return len(found) > 1 and not (found[0] == found[1]).all()


def _draw_tree(
    axes: Axes, sentence: Sentence, arcs: NDArray[np.bool_], true: NDArray[np.bool_], title: str, *, rooted: bool
) -> None:
    """Draws arcs from heads to dependents above the words; the root's come from above."""
    words = len(sentence.words)
    pairs = np.argwhere(arcs)
    top = max([1.0, *(_height(head, word) for head, word in pairs.tolist() if head)]) + 0.3
    for head, word in pairs.tolist():
        right = bool(true[head, word])
        colour, line = (RIGHT, "-") if right else (WRONG, "--")
        if head:
            height = _height(head, word)
            # A little beside the middle of words, so that arcs to both sides of a word do not begin in one point.
            aside = 0.12 if word > head else -0.12
            start, end = head + aside, word - aside / 2
            corners = [(start, 0), (start, height * 4 / 3), (end, height * 4 / 3), (end, 0)]
            path, middle = Path(corners, [Path.MOVETO, *[Path.CURVE4] * 3]), ((start + end) / 2, height)
        else:
            path, middle = Path([(word, top), (word, 0)], [Path.MOVETO, Path.LINETO]), (word, top * 0.7)
        style = "-|>" if rooted else "-"
        arc = FancyArrowPatch(path=path, arrowstyle=style, mutation_scale=9, shrinkA=0, shrinkB=0)
        arc.set(color=colour, linestyle=line, linewidth=1.3)
        axes.add_patch(arc)
        if not right:
            axes.plot(*middle, "x", color=WRONG, markersize=7, markeredgewidth=2)
    axes.set(xlim=(0.4, words + 0.6), ylim=(0, top), yticks=[])
    axes.set_xticks(range(1, words + 1), sentence.words, fontsize=9, va="baseline")
    axes.tick_params(length=0, pad=11)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9, pad=2)


def _height(head: int, word: int) -> float:
    return float(abs(head - word) ** 0.7)


def _draw_curves(axes: Axes, methods: Sequence[str], results: Results) -> None:
    """Curves of the first seed, with baselines as lines."""
    first = {row.method: row for row in reversed(results.rows)}
    curves = {}
    for method in methods:
        name = "without a solver" if method == PLAIN else f"solver layer ({method})"
        if method == PLAIN:
            curves[f"{name}, parsed by the solver"] = first[method].curves["attachment"]
            curves[f"{name}, parsed without"] = first[method].curves["greedy_attachment"]
        else:
            curves[name] = first[method].curves["attachment"]
    plot_curves(curves, xlabel="epoch", percent=True, title="attachment, held-out sentences", axes=axes)
    for name, style in REFERENCES.items():
        axes.axhline(first[name].metrics["attachment"], color="0.5", linestyle=style, linewidth=1, label=name)
    axes.set_ylim(0, 1)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
