"""Values that change in the course of training: temperatures, lambda, anything that an attribute holds.

A schedule is a small callable from the step, counted from zero, to the value:

    temperature = exponential(1.0, 0.1, steps=1000)
    for step in range(1000):
        layer.estimator.input_noise_temperature = temperature(step)
        layer.estimator.target = Target(alpha=1.0, beta=beta(step))
        ...

Before step 0 and after `steps` the value stays at the end it has reached. Both passes of a step read these attributes,
so set them before a forward pass, and not again until its backward pass is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def linear(start: float, end: float, steps: int) -> Schedule:
    """From start to end in equal moves."""
    _check(start, end, steps)
    return lambda step: start + (end - start) * _progress(step, steps)


def cosine(start: float, end: float, steps: int) -> Schedule:
    """From start to end along half a cosine: slowly at both ends."""
    _check(start, end, steps)
    return lambda step: end + (start - end) * (1 + math.cos(math.pi * _progress(step, steps))) / 2


def exponential(start: float, end: float, steps: int) -> Schedule:
    """From start to end by a constant factor; both must be positive.

    Raises:
        ValueError: an end that is not positive.
    """
    _check(start, end, steps)
    if start <= 0 or end <= 0:
        raise ValueError(f"an exponential schedule needs positive ends, got {start} and {end}")
    return lambda step: start * (end / start) ** _progress(step, steps)


def _progress(step: float, steps: int) -> float:
    return min(max(step / steps, 0.0), 1.0)


def _check(start: float, end: float, steps: int) -> None:
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError(f"a schedule needs finite ends, got {start} and {end}")
    if steps < 1:
        raise ValueError(f"a schedule needs at least one step, got {steps}")
