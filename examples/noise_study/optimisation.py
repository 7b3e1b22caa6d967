"""The optimisation of the toy problem, by gradient descent with momentum as published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from examples.noise_study.estimates import ADAPTING, DENSE, EXACT, STEPPING, Estimates, Setting
from examples.noise_study.problem import Problem
from examples.noise_study.subsets import exact_gradient

MOMENTUM = 0.9
RATES = tuple(round(10 ** (third / 3), 5) for third in range(-9, 4))
"""Learning rates that each method may choose from: 0.001 to 10."""


@dataclass(frozen=True)
class Descent:
    """R runs for each of Q learning rates, all from the same theta, with noise of their own.

    Attributes:
        gaps: (T + 1, Q, R), the exact gap of the expected loss at temperature one, at first and after each step.
        found: (Q, R) bool, whether the best subset is at last the most probable one.
        solves: for one step of one run.
    """

    gaps: Tensor
    found: Tensor
    solves: float


def setting_of(method: str, step: float, temperature: float, samples: int) -> Setting:
    """How a method estimates in the optimisation: AIMLE finds its step; methods of high variance have ten samples."""
    return Setting(
        method,
        step if method in STEPPING and method not in ADAPTING else None,
        temperature,
        max(samples, 10) if method in DENSE else samples,
    )


def descend(
    problem: Problem, setting: Setting, rates: Sequence[float], steps: int, runs: int, generator: Generator
) -> Descent:
    """Minimises the expected loss from the problem's theta, in runs side by side, the rows of one batch.

    Nothing passes between them but the beta of AIMLE, of which there is one for a batch.
    """
    theta = problem.theta.repeat(len(rates) * runs, 1)
    rate = torch.tensor(rates).to(theta).repeat_interleave(runs).unsqueeze(1)
    velocity = torch.zeros_like(theta)
    gradient, estimates = _gradient(problem, setting, generator)
    gaps = [problem.gap(theta)]
    for _ in range(steps):
        velocity = MOMENTUM * velocity + gradient(theta)
        theta = theta - rate * velocity
        gaps.append(problem.gap(theta))
    solves = estimates.solves / (steps * len(theta)) if estimates else 0.0
    shape = (len(rates), runs)
    return Descent(torch.stack(gaps).cpu().unflatten(1, shape), problem.found(theta).cpu().unflatten(0, shape), solves)


def rate_gaps(problems: Sequence[Problem], setting: Setting, steps: int, runs: int, seed: int) -> dict[float, float]:
    """The gap at the end for each learning rate, by the mean over problems and runs."""
    ends = [
        descend(problem, setting, RATES, steps, runs, Generator().manual_seed(seed)).gaps[-1].mean(1)
        for problem in problems
    ]
    return dict(zip(RATES, torch.stack(ends).mean(0).tolist(), strict=True))


def _gradient(
    problem: Problem, setting: Setting, generator: Generator
) -> tuple[Callable[[Tensor], Tensor], Estimates | None]:
    if setting.method == EXACT:
        return lambda theta: exact_gradient(theta, problem.subsets, problem.losses, setting.temperature), None
    estimates = Estimates(problem, setting, generator, apart=True)
    return estimates, estimates
