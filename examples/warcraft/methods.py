"""Ways to differentiate the layer."""

from __future__ import annotations

from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    Estimator,
    Identity,
    Normal,
    PerturbedOptimizer,
    StraightThrough,
    SumOfGamma,
    Target,
)

METHODS = ("imle", "aimle", "aimle-central", "blackbox", "identity", "ste", "perturbed", "fenchel-young")
"""Ways to differentiate the layer; they share the network, the maps, the noise and the number of wrong tiles as loss.

All but "fenchel-young", whose loss compares costs with paths.
"""

PLAIN = "none"
"""In place of a method: a plain network without a layer."""


def make_estimator(method: str, *, beta: float, temperature: float) -> Estimator:
    """The estimator of a method.

    Args:
        method: one of `METHODS`.
        beta: lambda of I-MLE and of the blackbox method; the others have none, or adapt it.
        temperature: of the noise, in units of cost.
    """
    noise = SumOfGamma(k="auto")
    if method == "blackbox":
        return Blackbox(beta)
    if method == "identity":
        return Identity("norm")  # paths differ in length, so that their mean means something
    if method == "ste":
        return StraightThrough(noise, noise_temperature=temperature)
    if method.startswith("aimle"):
        # Some hundred steps are too few to find beta from 0 with the published eta of 1e-4.
        return AIMLE(
            noise,
            symmetric=method == "aimle-central",
            initial_beta=0.5,
            step=1e-3,
            target_norm=6.0,
            input_noise_temperature=temperature,
            target_noise_temperature=temperature,
        )
    if method == "perturbed":
        return PerturbedOptimizer(Normal(), sigma=10 * temperature, num_marginal_samples=10)
    if method == "fenchel-young":
        return IMLE(Normal(), input_noise_temperature=10 * temperature)
    return IMLE(noise, Target(beta=beta), input_noise_temperature=temperature, target_noise_temperature=temperature)
