"""The settings that are compared: temperatures of the noise, and numbers of samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

TEMPERATURES = (0.0, 1.0, 2.0, 5.0)
SAMPLES = (1, 10, 100)

WITH_TARGET = ("imle", "aimle", "aimle-central")
"""Methods that solve for a target, under noise whose temperature is its own."""

WITHOUT_NOISE = ("blackbox", "identity")
WITH_DENSITY = ("perturbed", "score", "fenchel-young")
"""Methods that cannot do without noise."""


class Setting(NamedTuple):
    """Temperatures of the noise in the forward pass and in the target's solve, and samples a step."""

    input: float
    target: float
    samples: int

    def __str__(self) -> str:
        return f"in={self.input:g} target={self.target:g} samples={self.samples}"


def settings_of(method: str, temperatures: Sequence[float], samples: Sequence[int]) -> list[Setting]:
    """All settings that a method tells apart; those without a target have that of the input in its place.

    Args:
        method: one of `examples.common.methods.METHODS`.
        temperatures: of the noise.
        samples: numbers of them.
    """
    if method in WITHOUT_NOISE:
        return [Setting(0.0, 0.0, 1)]
    if method in WITH_TARGET:
        return [Setting(*values) for values in product(temperatures, temperatures, samples)]
    least = 2 if method == "score" else 1  # which compares samples with each other
    return [
        Setting(temperature, temperature, count)
        for temperature, count in product(temperatures, samples)
        if (temperature > 0 or method not in WITH_DENSITY) and count >= least
    ]
