"""Methods as they are on Warcraft maps, for every front end: an estimator, and in which tiles paths differ.

The functions of tiles need nothing but operators, so that they take the arrays of any front end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from examples.common.methods import PASSING_ON, make_estimator
from imle_solvers import Estimator, SumOfGamma

PLAIN = "none"
"""In place of a method: a plain network without a layer."""


def estimator(method: str, *, beta: float, temperature: float) -> Estimator:
    """The estimator of a method.

    Args:
        method: one of `examples.common.methods.METHODS`.
        beta: lambda of I-MLE.
        temperature: of the noise, in units of cost.

    Raises:
        ValueError: an argument is not what the estimator takes.
    """
    return make_estimator(
        method,
        noise=SumOfGamma(k="auto"),
        beta=beta,
        temperature=temperature,
        # Some hundred steps are too few to find beta from 0 with the published eta of 1e-4.
        aimle={"initial_beta": 0.5, "step": 1e-3, "target_norm": 6.0},
        density_temperature=10 * temperature,
        projection="norm",  # paths differ in length, so that their mean means something
    )


def differences(method: str) -> Callable[[Any, Any], Any]:
    """By which of the two functions below a method learns: their sum over tiles, and the mean of that over maps."""
    return squared if method in PASSING_ON else hamming


def hamming(predicted: Any, paths: Any) -> Any:
    """By how much soft or hard masks and paths differ in each tile, (B, k, k) twice -> (B, k, k).

    The loss is the mean over B of the sum. As in the paper, lambda acts on the gradient of this mean: the target's
    costs are lambda / B lower on the label, and higher on the predicted path. With lambda 20 and batches of 70, that is
    0.29.
    """
    return predicted * (1 - paths) + (1 - predicted) * paths


def squared(predicted: Any, paths: Any) -> Any:
    """The same for masks of 0 and 1 as `hamming`, but with a gradient that is zero where the mask is right."""
    return (predicted - paths) ** 2
