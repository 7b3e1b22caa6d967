"""Noise and gradient estimators, measured where everything is known: choosing 5 of 10, which has 252 solutions.

Three things. Sums of k draws of Sum-of-Gamma noise against Gumbel's distribution, and how like the Gibbs distribution
the samples are that each noise gives. The gradient of an expected loss, exact by enumeration, against what each
estimator of the package makes of it, over lambda, temperature and samples. And the toy problem of the I-MLE paper
(section 6.1): the expectation of |z - b|^2 minimised by such gradients, from a given theta, in 50 steps.

Each seed is another problem, theta and b; seed 0 is the published one. Every method may choose its learning rate, on
problems that are not reported.
"""

from __future__ import annotations

import argparse

import numpy as np

from examples.common.options import seeds_of, trainings
from examples.common.pictures import save_picture
from examples.common.progress import progress_bar
from examples.common.results import Column
from examples.common.run import Run
from examples.noise_study import noises, picture, tables
from examples.noise_study.gradients import Quality, average
from examples.noise_study.noises import Likeness, Sum, likeness, sum_of_draws
from examples.noise_study.options import parse
from examples.noise_study.problem import K, make_problem
from examples.noise_study.study import baselines, choose_rate, count_settings, study

COLUMNS = {
    "gap": Column("optimality gap", ".3f"),
    "found": Column("best subset found", ".0%"),
    "rate": Column("learning rate", ".3g", deviation=False),
    "solves": Column("solves a step", ".0f", deviation=False),
    "cosine": Column("cosine", ".2f"),
    "bias": Column("bias", ".2f"),
    "deviation": Column("deviation", ".2f"),
    "nonzero": Column("non-zero", ".0%"),
}


def main() -> None:
    """Measures, optimises, tabulates, draws."""
    parser, options = parse(__doc__)
    run = Run(
        parser,
        options,
        title="Noise, gradients and the toy problem of the I-MLE paper",
        about="The expectation of |z - b|^2 over subsets of 5 of 10, minimised in "
        f"{options.steps} steps: by how much it is above the best subset's, and how often that is found. Cosine, bias "
        "and deviation (in units of the exact gradient's length) are those of one estimate before the first step. The "
        "paper (section 6.1) and tf-imle (SYNTH) show curves of the first problem, without numbers.",
        columns=COLUMNS,
    )
    sums, likenesses = study_noises(options)
    for seed in seeds_of(options):
        for name, metrics in baselines(seed).items():
            run.add(name, seed, metrics)
    rates = choose_rates(options)
    qualities: dict[int, list[Quality]] = {seed: [] for seed in seeds_of(options)}
    deviations: dict[str, list[list[float]]] = {method: [] for method in options.methods}
    total = options.seeds * sum(count_settings(method, options) for method in options.methods)
    with progress_bar("gradients and optimisation", total=total) as bar:
        for method, seed in trainings(options):
            rate = min(rates[method], key=rates[method].__getitem__)
            found = study(method, seed, rate, options, run.checkpoint(method, seed), bar.update)
            qualities[seed] += found.qualities
            deviations[method].append(found.deviations)
            run.add(method, seed, found.metrics, {"gap": found.gaps})
    mean = average(quality for seed in qualities for quality in qualities[seed])
    tables.write(options.out, sums, likenesses, qualities, mean)
    spread = {method: np.mean(runs, axis=0).tolist() for method, runs in deviations.items()}
    figures = {
        "noise_study": picture.draw_optimisation(run.results, spread, rates),
        "noises": picture.draw_noises(sums, likenesses, K),
    }
    if mean:
        figures["gradients"] = picture.draw_gradients(mean, temperature=1.0, samples=10)
    if any(quality.method in ("imle", "aimle-central") for quality in mean):
        figures["steps"] = picture.draw_steps(mean)
    run.finish([save_picture(figure, options.out, name) for name, figure in figures.items()])


def study_noises(options: argparse.Namespace) -> tuple[list[Sum], list[Likeness]]:
    """Sums of each noise's draws, and how like the Gibbs distribution its samples are, on the problem of each seed."""
    sums, likenesses = [], []
    compared = noises.noises(K)
    with progress_bar("noises", total=len(compared) * (1 + options.seeds * len(noises.TEMPERATURES))) as bar:
        for name, noise in compared.items():
            sums.append(sum_of_draws(name, noise, K, options.sums, options.seed))
            bar.update()
            for seed in seeds_of(options):
                for temperature in noises.TEMPERATURES:
                    likenesses.append(likeness(make_problem(seed), name, noise, temperature, options.sums, seed))
                    bar.update()
    return sums, likenesses


def choose_rates(options: argparse.Namespace) -> dict[str, dict[float, float]]:
    """For each method, the gap at the end by learning rate, on problems of their own."""
    rates = {}
    with progress_bar("learning rates", total=len(options.methods)) as bar:
        for method in options.methods:
            rates[method] = choose_rate(method, options)
            bar.update()
    return rates
