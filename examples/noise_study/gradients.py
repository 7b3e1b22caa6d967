"""How good estimated gradients are: each setting's against the exact gradient at the same theta."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from statistics import mean

import torch
from torch import Generator, Tensor

from examples.noise_study.estimates import ADAPTING, EXACT, NOISELESS, STEPPING, Estimates, Setting
from examples.noise_study.problem import Problem
from examples.noise_study.subsets import exact_gradient, gumbel_probabilities

STEPS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TEMPERATURES = (0.5, 1.0, 2.0, 5.0)
SAMPLES = (1, 10, 100)


@dataclass(frozen=True)
class Quality:
    """Of a setting's estimates, against the exact gradient under the Gibbs distribution at its temperature.

    Attributes:
        method, step, temperature, samples: the setting; the step is what AIMLE found where it is `adapted`.
        adapted: whether the step was found, not given.
        cosine: of one estimate with the exact gradient, by the mean; an estimate of zero has 0.
        direction: the cosine of the mean of all estimates.
        bias: length of the difference of that mean to the exact gradient, in units of the latter's length; what the
            mean of so many estimates would have by chance is taken off.
        deviation: root of the variance, summed over entries, in the same units.
        nonzero: share of entries that are not zero.
        solves: for one estimate, forward and backward.
        own_bias: as bias, but against the gradient under the distribution that perturb-and-MAP really draws from. Known
            where the noise is Gumbel's ("score", "perturbed"), else NaN.
    """

    method: str
    step: float
    adapted: bool
    temperature: float
    samples: int
    cosine: float
    direction: float
    bias: float
    deviation: float
    nonzero: float
    solves: float
    own_bias: float


def settings(method: str, temperatures: Sequence[float], samples: Sequence[int]) -> Iterator[Setting]:
    """All settings of a method; AIMLE's only without a step, since with one it is I-MLE; of the exact gradient none."""
    if method == EXACT:
        return
    steps: tuple[float | None, ...] = STEPS if method in STEPPING and method != "aimle" else (None,)
    if method == "aimle-central":
        steps = (*STEPS, None)
    for temperature in temperatures:
        for count in samples[:1] if method in NOISELESS else samples:
            for step in steps:
                yield Setting(method, step, temperature, count)


def measure(problem: Problem, setting: Setting, draws: int, generator: Generator) -> Quality:
    """Estimates the gradient at the problem's theta so many times."""
    theta = problem.theta.expand(draws, -1)
    adapted = setting.method in ADAPTING and setting.step is None
    if adapted:
        finding = Estimates(problem, setting, generator, adapting=0.05)
        setting = replace(setting, step=finding.find_step(theta[: max(50, draws // 10)]))
    estimates = Estimates(problem, setting, generator)
    found = estimates(theta)
    exact = exact_gradient(problem.theta, problem.subsets, problem.losses, setting.temperature)
    center, variance = found.mean(0), float(found.var(0).sum())
    own = own_gradient(problem, setting)
    return Quality(
        method=setting.method,
        step=math.nan if setting.step is None else setting.step,
        adapted=adapted,
        temperature=setting.temperature,
        samples=setting.samples,
        cosine=float(torch.cosine_similarity(found, exact.unsqueeze(0)).mean()),
        direction=float(torch.cosine_similarity(center, exact, dim=0)),
        bias=_bias(center, exact, variance / draws),
        deviation=math.sqrt(variance) / float(exact.norm()),
        nonzero=float((found != 0).double().mean()),
        solves=estimates.solves / draws,
        own_bias=math.nan if own is None else _bias(center, own, variance / draws),
    )


def own_gradient(problem: Problem, setting: Setting) -> Tensor | None:
    """The gradient of the expected loss under perturb-and-MAP with the method's noise, where that is Gumbel's."""
    if setting.method not in ("perturbed", "score"):
        return None
    theta = problem.theta.detach().cpu().clone().requires_grad_()
    expected = gumbel_probabilities(theta, problem.subsets.cpu(), setting.temperature) @ problem.losses.cpu()
    (gradient,) = torch.autograd.grad(expected, theta)
    return gradient.to(problem.theta)


def average(qualities: Iterable[Quality]) -> list[Quality]:
    """The mean over seeds of each setting, in the order of settings; steps that were found count as one setting."""
    groups: dict[tuple[object, ...], list[Quality]] = {}
    for quality in qualities:
        step = None if quality.adapted or math.isnan(quality.step) else quality.step
        groups.setdefault((quality.method, step, quality.temperature, quality.samples), []).append(quality)
    numbers = [field.name for field in fields(Quality) if field.type == "float"]
    return [
        replace(group[0], **{name: mean(getattr(quality, name) for quality in group) for name in numbers})
        for group in groups.values()
    ]


def best(qualities: Iterable[Quality], method: str, temperature: float, samples: int) -> Quality | None:
    """Of a method's settings of this temperature and as many samples, that of the highest cosine.

    A method without noise has the same for any number of samples.
    """
    count = 1 if method in NOISELESS else samples
    fitting = (q for q in qualities if (q.method, q.temperature, q.samples) == (method, temperature, count))
    return max(fitting, key=lambda quality: quality.cosine, default=None)


def _bias(center: Tensor, exact: Tensor, by_chance: float) -> float:
    squared = float(((center - exact) ** 2).sum()) - by_chance
    return math.sqrt(max(squared, 0.0)) / float(exact.norm())
