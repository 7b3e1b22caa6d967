"""Sum-of-Gamma noise by quantiles against a loop of Gamma draws, side by side.

In every round each contender draws the same shape, one after another, so that a busy machine slows all of them. The
table has medians over the rounds. What the tables of quantiles cost is measured apart, once for each (k, terms).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from imle_solvers.noise.distributions import Noise, SumOfGamma

# Shape, k, terms.
SETTINGS = [((64, 10, 30, 30), 39.0, 100), ((70, 4, 12, 12), 15.6, 10), ((8, 10, 435), 29.0, 10), ((64, 10), 5.0, 10)]


def main() -> int:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which medians are taken (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads (default: 2)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    SumOfGamma(1.0, 1).sample((1,))  # loads the kernel
    print(f"{'shape':20}{'k':>6}{'terms':>7}{'table, ms':>11}{'quantiles, ms':>15}{'x gamma':>10}{'x loop':>10}")
    for shape, k, terms in SETTINGS:
        noise = SumOfGamma(k, terms)
        table = milliseconds(drawing(noise, (1,)))
        quantiles, gamma, loop = compare(
            [drawing(noise, shape), drawing(SumOfGamma(k, terms, "gamma"), shape), gamma_loop(shape, k, terms)],
            arguments.rounds,
        )
        ratios = f"{gamma / quantiles:10.0f}{loop / quantiles:10.0f}"
        print(f"{'x'.join(map(str, shape)):20}{k:6}{terms:7}{table:11.1f}{quantiles:15.2f}{ratios}")
    return 0


def drawing(noise: Noise, shape: Sequence[int]) -> Callable[[], Tensor]:
    """What a layer does."""
    return lambda: noise.sample(shape)


def gamma_loop(shape: Sequence[int], k: float, terms: int) -> Callable[[], Tensor]:
    """The definition as a user would write it."""

    def draw() -> Tensor:
        total = torch.zeros(tuple(shape))
        for i in range(1, terms + 1):
            total += torch.distributions.Gamma(torch.tensor(1 / k), torch.tensor(i / k)).sample(tuple(shape))
        return (total - torch.log(torch.tensor(float(terms)))) / k

    return draw


def compare(draws: Sequence[Callable[[], Tensor]], rounds: int) -> list[float]:
    """Median milliseconds of each."""
    times: list[list[float]] = [[] for _ in draws]
    for _ in range(rounds):
        for draw, own in zip(draws, times, strict=True):
            repeats = 1 + int(30 / milliseconds(draw))  # the first warms up
            own.append(median(milliseconds(draw) for _ in range(repeats)))
    return [median(own) for own in times]


def milliseconds(draw: Callable[[], Tensor]) -> float:
    """Of one call."""
    start = time.perf_counter()
    draw()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    sys.exit(main())
