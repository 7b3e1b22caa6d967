"""Published figures for the real maps."""

from __future__ import annotations

import argparse

from examples.common.results import Published

OPTIMAL = {12: 0.952, 18: 0.944, 24: 0.932, 30: 0.937}
"""Of I-MLE, on test maps: Niepert, Minervini and Franceschi, NeurIPS 2021, arXiv 2106.01798, the table of Warcraft."""

EXACT = {12: 0.866, 18: 0.765, 24: 0.727, 30: 0.675}
"""In the authors' logs of the same runs."""

RECIPE = {
    "train_maps": 10000,
    "epochs": 50,
    "batch_size": 70,
    "lr": 5e-4,
    "schedule": "steps",
    "beta": 20.0,
    "temperature": 0.01,
    "samples": 1,
}


def published(options: argparse.Namespace) -> list[Published]:
    """The figures for maps of this size, and in what their set-up is another than that of these options."""
    here = vars(options)
    differing = [] if options.data else ["real maps (here generated ones)"]
    differing += [
        f"{name} {value:g} (here {here[name]:g})" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in RECIPE.items()
        if here[name] != value
    ]
    figures = {"optimal": OPTIMAL[options.size], "exact": EXACT[options.size]}
    source = "I-MLE paper, arXiv 2106.01798; exact match: the authors' logs"
    return [Published("imle", figures, source, ", ".join(differing))]
