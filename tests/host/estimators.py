"""The estimators that front ends are tried with."""

from __future__ import annotations

from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    StraightThrough,
    Target,
)

ESTIMATORS = {
    "IMLE": IMLE,
    "IMLE at a temperature": lambda: IMLE(Normal(), Target(beta=3.0), input_noise_temperature=0.5),
    "IMLE of means": lambda: IMLE(num_marginal_samples=3),
    "IMLE with Hamming's target": lambda: IMLE(target=HammingTarget()),
    "AIMLE": AIMLE,
    "AIMLE with a central difference": lambda: AIMLE(symmetric=True, per_instance=True),
    "Blackbox": Blackbox,
    "Identity": Identity,
    "StraightThrough": StraightThrough,
    "PerturbedOptimizer": PerturbedOptimizer,
}
