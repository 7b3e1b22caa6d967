"""The tables of the noise study, as Markdown to read and as CSV to go on with."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from examples.common.files import write_whole
from examples.common.tables import markdown
from examples.noise_study.gradients import Quality, best
from examples.noise_study.noises import Likeness, Sum, mean_variation

HEAD = ("method", "lambda", "temperature", "samples", "cosine", "cosine of the mean", "bias", "deviation", "non-zero",
        "solves")  # fmt: skip


def write(
    folder: Path,
    sums: Sequence[Sum],
    likenesses: Sequence[Likeness],
    qualities: Mapping[int, Sequence[Quality]],
    mean: Sequence[Quality],
) -> None:
    """Prints what is short, and writes all of it.

    Args:
        folder: gets noises.md, noises.csv, gradients.md and gradients.csv.
        sums, likenesses: of each noise.
        qualities: of all settings, by seed.
        mean: of them over seeds.
    """
    noises = noise_table(sums, likenesses)
    print(noises)
    _write_text(folder / "noises.md", noises)
    _write_csv(folder / "noises.csv", [asdict(each) for each in likenesses])
    if mean:
        print(f"each at its best lambda, temperature 1\n{best_table(mean)}")
        _write_text(folder / "gradients.md", gradient_table(mean))
        rows = [{"seed": seed} | asdict(quality) for seed, found in qualities.items() for quality in found]
        _write_csv(folder / "gradients.csv", rows)
        print(f"all settings: {folder / 'gradients.csv'}, means over seeds: {folder / 'gradients.md'}")


def noise_table(sums: Sequence[Sum], likenesses: Sequence[Likeness]) -> str:
    """For each noise its sum's distance to Gumbel, and its samples' to the Gibbs distribution."""
    rows = []
    for each in sums:
        variation = mean_variation(likenesses, each.name)
        nearest = min(variation, key=variation.__getitem__)
        numbers = (f"{each.distance:.3f}", f"{variation[1.0]:.3f}", f"{nearest:g}", f"{variation[nearest]:.3f}")
        rows.append((each.name, numbers))
    head = ("noise", "sum to Gumbel", "samples to Gibbs, at temperature 1", "nearest at temperature", "there")
    return markdown(head, rows)


def best_table(mean: Sequence[Quality]) -> str:
    """Each method with one sample and with more, at its best lambda."""
    rows = []
    for method in dict.fromkeys(quality.method for quality in mean):
        for samples in sorted({quality.samples for quality in mean if quality.method == method}):
            quality = best(mean, method, 1.0, samples)
            if quality is not None:
                rows.append((method, _cells(quality)))
    return markdown(HEAD, rows)


def gradient_table(mean: Iterable[Quality]) -> str:
    """All settings."""
    return markdown(HEAD, [(quality.method, _cells(quality)) for quality in mean])


def _cells(quality: Quality) -> list[str]:
    step = "-" if math.isnan(quality.step) else f"{quality.step:.3g}{' (found)' if quality.adapted else ''}"
    numbers = (quality.cosine, quality.direction, quality.bias, quality.deviation)
    return [
        step,
        f"{quality.temperature:g}",
        str(quality.samples),
        *(f"{number:.2f}" for number in numbers),
        f"{quality.nonzero:.0%}",
        f"{quality.solves:.3g}",
    ]


def _write_text(file: Path, text: str) -> None:
    write_whole(file, lambda path: path.write_text(text + "\n", encoding="utf-8"))


def _write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write_text(file, text.getvalue().rstrip("\n"))
