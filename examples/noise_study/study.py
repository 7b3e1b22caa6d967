"""What is measured for one method on one problem: its gradients, and the optimisation by them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass

from torch import Generator

from examples.common.checkpoints import Checkpoint
from examples.noise_study.estimates import EXACT, Setting
from examples.noise_study.gradients import Quality, measure, settings
from examples.noise_study.optimisation import descend, rate_gaps, setting_of
from examples.noise_study.problem import RANDOM, UNTRAINED, make_problem

TUNING = 1_000_000
"""Learning rates are chosen on problems of seeds from here on, and reported on others."""


@dataclass(frozen=True)
class Study:
    """What came of a method on the problem of a seed.

    Attributes:
        qualities: of its gradients, all settings.
        metrics: of the optimisation, and of its gradients where that begins.
        gaps: after each step, the mean over runs.
        deviations: of gaps, over runs.
    """

    qualities: list[Quality]
    metrics: dict[str, float]
    gaps: list[float]
    deviations: list[float]


def choose_rate(method: str, options: argparse.Namespace) -> dict[float, float]:
    """The gap at the end for each learning rate, on problems apart from those that are reported."""
    problems = [make_problem(TUNING + number, options.device) for number in range(options.tuning)]
    return rate_gaps(problems, _setting(method, options), options.steps, max(1, options.runs // 5), options.seed)


def study(
    method: str,
    seed: int,
    rate: float,
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    done: Callable[[], object],
) -> Study:
    """Measures a method's gradients, then optimises by them.

    Args:
        method: its name.
        seed: of the problem, and of all noise.
        rate: learning rate of the optimisation.
        options: of the command line.
        checkpoint: where measured gradients are kept.
        done: is called after each setting, so many of which `count_settings` says.
    """
    problem = make_problem(seed, options.device)
    qualities = [Quality(**quality) for quality in checkpoint.restore({}).get("qualities", [])]
    for index, setting in enumerate(settings(method, options.temperatures, options.counts)):
        if index >= len(qualities):
            qualities.append(measure(problem, setting, options.draws, _generator(seed, index)))
            checkpoint.save({}, qualities=[asdict(quality) for quality in qualities])
        done()
    setting = _setting(method, options)
    descent = descend(problem, setting, [rate], options.steps, options.runs, _generator(seed, -1))
    done()
    gaps, found = descent.gaps[:, 0], float(descent.found.double().mean())
    metrics = {"gap": float(gaps[-1].mean()), "found": found, "rate": rate, "solves": descent.solves}
    if method != EXACT:
        start = measure(problem, setting, options.draws, _generator(seed, -2))
        metrics |= {name: getattr(start, name) for name in ("cosine", "bias", "deviation", "nonzero")}
    return Study(qualities, metrics, gaps.mean(1).tolist(), gaps.std(1, correction=0).tolist())


def count_settings(method: str, options: argparse.Namespace) -> int:
    """How often `study` says that something is done."""
    return 1 + sum(1 for _ in settings(method, options.temperatures, options.counts))


def baselines(seed: int) -> dict[str, dict[str, float]]:
    """The gap before any step, and of a subset drawn at random."""
    problem = make_problem(seed)
    return {
        UNTRAINED: {"gap": float(problem.gap(problem.theta)), "found": float(problem.found(problem.theta))},
        RANDOM: {"gap": float(problem.losses.mean()) - problem.least, "found": 1 / len(problem.losses)},
    }


def _setting(method: str, options: argparse.Namespace) -> Setting:
    return setting_of(method, options.beta, options.temperature, options.samples)


def _generator(seed: int, index: int) -> Generator:
    """Noise of a setting's own, whatever was measured before it."""
    return Generator().manual_seed((seed * 1_000_003 + index + 2) % 2**63)
