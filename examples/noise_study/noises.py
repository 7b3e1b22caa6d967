"""What Sum-of-Gamma noise is for: k draws of it add up to Gumbel noise, as samples of a Gibbs distribution need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import gumbel_r, ks_1samp
from torch import Generator, Tensor

from examples.noise_study.problem import Problem
from examples.noise_study.subsets import probabilities
from imle_adapters import TopKAdapter
from imle_solvers import IMLE, Gumbel, Noise, Normal, SolverLayer, SumOfGamma

Array = NDArray[np.float64]

TEMPERATURES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
"""Of the noise, in units of that of the Gibbs distribution."""


@dataclass(frozen=True)
class Sum:
    """Draws of the sum of k draws of a noise.

    Attributes:
        name: of the noise.
        draws: (N,).
        distance: the largest difference between their distribution function and that of Gumbel(0, 1) (Kolmogorov).
    """

    name: str
    draws: Array
    distance: float


def sum_of_draws(name: str, noise: Noise, k: int, count: int, seed: int) -> Sum:
    """Draws `count` sums of k draws each."""
    draws = noise.sample((count, k), generator=Generator().manual_seed(seed), dtype=torch.float64).sum(1).numpy()
    return Sum(name, draws, float(ks_1samp(draws, gumbel_r.cdf).statistic))


def sum_distribution(x: Array, terms: int) -> Array:
    """The distribution function of the sum of k draws of SumOfGamma(k, terms), whatever k.

    The i-th terms of k draws add up to an exponential variable over i, and the sum of those is, by Renyi, the largest
    of s exponential variables: less log s, its law is (1 - exp(-x) / s)^s, which tends to Gumbel's, exp(-exp(-x)).
    """
    return np.asarray(np.clip(1 - np.exp(-x) / terms, 0, 1) ** terms)


def distance_to_gumbel(terms: int) -> float:
    """The Kolmogorov distance between `sum_distribution` and Gumbel(0, 1), exact to 1e-5; about 0.27 / terms."""
    x = np.linspace(-np.log(terms) - 5, 15, 50_001)
    return float(np.abs(sum_distribution(x, terms) - gumbel_r.cdf(x)).max())


@dataclass(frozen=True)
class Likeness:
    """How like the Gibbs distribution at temperature 1 the samples are that MAP(theta + temperature * noise) gives.

    Attributes:
        noise: its title.
        temperature: of the noise.
        total_variation: between the two distributions over all subsets; 0 where they are the same, 1 at most.
        marginals: the largest difference of the probabilities that an entry is chosen.
        floor: the total variation of as many samples of the Gibbs distribution itself: less cannot be seen.
    """

    noise: str
    temperature: float
    total_variation: float
    marginals: float
    floor: float


def likeness(problem: Problem, title: str, noise: Noise, temperature: float, count: int, seed: int) -> Likeness:
    """Samples `count` subsets by perturb-and-MAP, and compares with p(z; theta), enumerated."""
    generator = Generator().manual_seed(seed)
    estimator = IMLE(noise, input_noise_temperature=temperature)
    layer = SolverLayer(TopKAdapter(len(problem.theta), problem.k), estimator=estimator, generator=generator)
    with layer, torch.no_grad():
        drawn = layer.sample(problem.theta, count).cpu()
    subsets = problem.subsets.cpu()
    exact = probabilities(problem.theta.cpu(), subsets)
    again = exact.multinomial(count, replacement=True, generator=generator).bincount(minlength=len(exact)) / count
    return Likeness(
        noise=title,
        temperature=temperature,
        total_variation=_variation(frequencies(drawn, subsets), exact),
        marginals=float((drawn.mean(0) - exact @ subsets).abs().max()),
        floor=_variation(again, exact),
    )


def mean_variation(likenesses: Sequence[Likeness], noise: str) -> dict[float, float]:
    """The total variation of a noise at each temperature, by the mean over problems."""
    found: dict[float, list[float]] = {}
    for each in likenesses:
        if each.noise == noise:
            found.setdefault(each.temperature, []).append(each.total_variation)
    return {temperature: mean(values) for temperature, values in found.items()}


def frequencies(drawn: Tensor, subsets: Tensor) -> Tensor:
    """How often each of the subsets, (C, n), is among those drawn, (N, n): shares, (C,)."""
    bits = 2.0 ** torch.arange(subsets.shape[1], dtype=torch.float64)
    numbers, order = (subsets @ bits).sort()
    places = torch.searchsorted(numbers, drawn.double() @ bits)
    return torch.zeros(len(subsets), dtype=torch.float64).index_add(0, order[places], _ones(drawn) / len(drawn))


def noises(k: int) -> dict[str, Noise]:
    """The noises that are compared, by their titles."""
    return {
        "Sum-of-Gamma, 10 terms": SumOfGamma(k, terms=10),
        "Sum-of-Gamma, 100 terms": SumOfGamma(k, terms=100),
        "Gumbel": Gumbel(),
        "normal": Normal(),
    }


def _ones(drawn: Tensor) -> Tensor:
    return torch.ones(len(drawn), dtype=torch.float64)


def _variation(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().sum() / 2)
