"""Published figures, and in what a run differs from the set-up that they are of."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from examples.common.results import Published

SOURCE = "I-MLE paper (arXiv 2106.01798), table 2"

NETWORKS: Mapping[str, Any] = {
    "encoder": "conv",
    "predictor": "mean",
    "features": False,
    "filters": 100,
    "kernel": 3,
    "hidden": 250,
    "dropout": 0.2,
    "lr": 1e-3,
    "decay": False,
}
"""What all published programs have in common."""

SETUP: Mapping[str, Any] = {
    **NETWORKS,
    "length": 350,
    "epochs": 20,
    "batch_size": 40,
    "train_texts": None,
    "test_texts": None,
}
"""Of the paper's notebook, for all methods."""

FIGURES = (
    (
        "imle",
        {"test_error": 0.0271, "subset_precision": 0.4798},
        {"noise": "sog", "temperature": 10.0, "target_temperature": 10.0, "beta": 1000.0},
    ),
    ("l2x", {"test_error": 0.0668, "subset_precision": 0.2665}, {"l2x_temperature": 0.1}),
)
"""BeerAdvocate, aroma, 10 words: method, figures, its settings."""


def published(options: argparse.Namespace) -> list[Published]:
    """Published figures for the data and the number of words of these options; none for others."""
    if not options.beer or options.aspect != 1 or options.k != "10":
        return []
    rows = []
    for method, figures, settings in FIGURES:
        differing = [name for name, value in {**SETUP, **settings}.items() if getattr(options, name) != value]
        rows.append(Published(method, figures, SOURCE, ", ".join(differing)))
    return rows
