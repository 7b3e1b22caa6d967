"""The noise study's exact gradients are exact, and its estimates are what their estimators estimate."""

import csv
import itertools
import math
import re

import numpy as np
import pytest
import torch
from scipy.stats import ks_1samp

from examples.common.results import read_results
from examples.noise_study.estimates import METHODS, Estimates, Setting
from examples.noise_study.gradients import STEPS, average, best, measure, settings
from examples.noise_study.noises import distance_to_gumbel, frequencies, likeness, sum_distribution, sum_of_draws
from examples.noise_study.optimisation import EXACT, descend
from examples.noise_study.problem import Problem, make_problem
from examples.noise_study.subsets import enumerate_subsets, exact_gradient, gumbel_probabilities, probabilities
from imle_solvers import Gumbel, SumOfGamma


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def differences(function, theta, width=1e-5):
    """Central finite differences of a number in each entry of theta."""
    return torch.stack(
        [(function(theta + e) - function(theta - e)) / (2 * width) for e in width * torch.eye(len(theta))]
    )


def test_all_subsets_are_enumerated():
    subsets = enumerate_subsets(10, 5)
    assert subsets.shape == (252, 10)
    assert (subsets.sum(1) == 5).all()
    assert len(subsets.unique(dim=0)) == 252


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_exact_gradient_equals_finite_differences(temperature):
    problem = make_problem(3)
    expected = differences(lambda theta: problem.gap(theta, temperature), problem.theta)
    exact = exact_gradient(problem.theta, problem.subsets, problem.losses, temperature)
    torch.testing.assert_close(exact, expected, rtol=1e-6, atol=1e-8)
    batch = exact_gradient(problem.theta.repeat(3, 1), problem.subsets, problem.losses, temperature)
    torch.testing.assert_close(batch, exact.repeat(3, 1))


def test_gumbel_probabilities_are_those_of_all_orders_of_draws():
    theta, subsets, temperature = torch.tensor([0.3, -1.0, 2.0, 0.5, 0.0]).double(), enumerate_subsets(5, 3), 0.7
    weights = (theta / temperature).softmax(0).tolist()
    for subset, probability in zip(subsets, gumbel_probabilities(theta, subsets, temperature), strict=True):
        orders = itertools.permutations(subset.nonzero().flatten().tolist())
        by_hand = sum(
            math.prod(weights[i] / (1 - sum(weights[j] for j in order[:place])) for place, i in enumerate(order))
            for order in orders
        )
        assert float(probability) == pytest.approx(by_hand, rel=1e-12)


def test_the_gradient_of_gumbel_probabilities_equals_finite_differences():
    problem = make_problem(1)

    def loss(theta):
        return gumbel_probabilities(theta, problem.subsets) @ problem.losses

    theta = problem.theta.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(theta), theta)
    torch.testing.assert_close(gradient, differences(loss, problem.theta), rtol=1e-6, atol=1e-8)


def test_the_problem_of_seed_0_is_the_published_one():
    generator = np.random.RandomState(0)
    theta, b = generator.randn(10), np.abs(generator.randn(10))
    problem = make_problem(0)
    assert problem.theta.tolist() == theta.tolist()
    assert problem.b.tolist() == b.tolist()
    ordered = np.sort(b)  # the best subset has the largest entries of b
    assert problem.least == pytest.approx((ordered[:5] ** 2).sum() + ((1 - ordered[5:]) ** 2).sum())
    torch.testing.assert_close(problem.loss(problem.subsets), problem.losses)
    assert problem.found(100 * problem.b)
    assert float(problem.gap(100 * problem.b)) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("k", [2, 5, 17])
@pytest.mark.parametrize("method", ["quantile", "gamma"])
def test_sums_of_draws_have_the_distribution_in_closed_form(k, method):
    draws = sum_of_draws("", SumOfGamma(k, terms=4, method=method), k, 4000, seed=k).draws
    assert ks_1samp(draws, lambda x: sum_distribution(x, 4)).pvalue > 0.01


def test_sums_tend_to_gumbel():
    distances = [distance_to_gumbel(terms) for terms in (1, 10, 100, 1000)]
    assert distances[0] == pytest.approx(math.exp(-1), abs=1e-5)  # where Gumbel's has e^-1, at 0, that has none yet
    assert all(1000 * late < 110 * early for early, late in itertools.pairwise(distances))
    assert sum_of_draws("", Gumbel(), 1, 4000, seed=0).distance < 0.03
    assert sum_of_draws("", Gumbel(), 5, 4000, seed=0).distance > 0.4


def test_samples_are_compared_with_the_gibbs_distribution():
    problem = make_problem(2)
    exact, drawn = probabilities(problem.theta, problem.subsets), problem.subsets[[7, 7, 0, 251]].float()
    shares = frequencies(drawn, problem.subsets)
    assert shares[[7, 0, 251]].tolist() == [0.5, 0.25, 0.25]
    assert float(shares.sum()) == 1
    found = likeness(problem, "Gumbel", Gumbel(), 1.0, 20_000, seed=0)
    known = float((gumbel_probabilities(problem.theta, problem.subsets) - exact).abs().sum() / 2)
    assert found.total_variation == pytest.approx(known, abs=found.floor)
    alone = Problem(problem.theta[:3], problem.b[:3], enumerate_subsets(3, 1), problem.losses[:3])
    of_one = likeness(alone, "Gumbel", Gumbel(), 1.0, 20_000, seed=0)  # k = 1: Gumbel noise is exact
    assert of_one.total_variation < 0.02
    assert of_one.marginals < 0.02


@pytest.mark.parametrize(
    ("method", "samples", "draws"), [("score", 1, 99_000), ("score", 10, 9000), ("perturbed", 1, 99_000)]
)
def test_unbiased_estimates_are_unbiased_for_what_they_sample_from(method, samples, draws):
    quality = measure(make_problem(0), Setting(method, samples=samples), draws, seeded())
    assert quality.own_bias < 0.1
    assert quality.bias > 0.1  # perturb-and-MAP is not the Gibbs distribution


def test_estimates_of_the_exact_distribution_have_no_bias():
    one_of_ten = make_problem(0)
    subsets = enumerate_subsets(10, 1)
    problem = Problem(one_of_ten.theta, one_of_ten.b, subsets, ((subsets - one_of_ten.b) ** 2).sum(1))
    quality = measure(problem, Setting("score", samples=10), 20_000, seeded())
    assert quality.bias < 0.05
    assert quality.direction > 0.99
    assert quality.cosine < quality.direction


def test_a_finite_difference_is_one_by_whatever_estimator():
    problem, theta = make_problem(4), make_problem(4).theta.repeat(20, 1)
    for samples, step in ((1, 1.0), (3, 4.0)):
        imle, aimle = (
            Estimates(problem, Setting(method, step, samples=samples), seeded(5))(theta) for method in ("imle", "aimle")
        )
        torch.testing.assert_close(aimle, imle)
        assert (imle != 0).any()


@pytest.mark.parametrize(
    ("method", "solves"),
    [("imle", 6), ("aimle", 6), ("aimle-central", 9), ("blackbox", 2), ("identity", 1), ("ste", 3), ("perturbed", 3),
     ("score", 3)],
)  # fmt: skip
def test_solves_are_counted_and_gradients_make_the_loss_smaller(method, solves):
    step = 2.0 if method in ("imle", "blackbox", "aimle-central", "aimle") else None
    quality = measure(make_problem(0), Setting(method, step, samples=3), 2000, seeded())
    assert quality.solves == solves
    assert quality.direction > 0.2
    assert quality.nonzero > 0.3


def test_aimle_finds_the_step_that_changes_as_many_entries_as_a_solution_has():
    quality = measure(make_problem(0), Setting("aimle"), 500, seeded())
    assert quality.adapted
    assert quality.nonzero == pytest.approx(0.5, abs=0.06)


def test_all_methods_have_settings_whose_means_over_seeds_are_taken():
    assert {method: len(list(settings(method, (1.0, 2.0), (1, 10)))) for method in (EXACT, *METHODS)} == {
        EXACT: 0, "imle": 24, "aimle": 4, "aimle-central": 28, "blackbox": 12, "identity": 2, "ste": 4, "perturbed": 4,
        "score": 4,
    }  # fmt: skip
    chosen = (Setting("imle", 1.0), Setting("imle", 3.0), Setting("aimle"), Setting("identity"))
    found = [[measure(make_problem(seed), each, 50, seeded(seed)) for each in chosen] for seed in (0, 1)]
    mean = average(found[0] + found[1])
    assert [quality.method for quality in mean] == ["imle", "imle", "aimle", "identity"]
    assert mean[0].step == 1.0
    for name in ("cosine", "step"):
        assert getattr(mean[2], name) == pytest.approx(sum(getattr(each[2], name) for each in found) / 2)
    assert best(mean, "imle", 1.0, 1).cosine == max(mean[0].cosine, mean[1].cosine)
    assert best(mean, "identity", 1.0, 100) == mean[3]
    assert best(mean, "score", 1.0, 1) is None


def test_descent_is_that_of_torch_and_finds_the_best_subset_by_exact_gradients():
    problem = make_problem(0)
    descent = descend(problem, Setting(EXACT), [0.3, 2.0], steps=20, runs=2, generator=seeded())
    theta = problem.theta.clone().requires_grad_()
    optimizer = torch.optim.SGD([theta], lr=0.3, momentum=0.9)
    for gap in descent.gaps[:-1, 0, 0]:
        assert problem.gap(theta).item() == pytest.approx(gap.item())
        optimizer.zero_grad()
        problem.gap(theta).backward()
        optimizer.step()
    assert descent.gaps.shape == (21, 2, 2)
    assert (descent.gaps[-1] < 0.1).all()
    assert descent.found.all()


def test_the_study_learns_and_writes_its_tables(call, tmp_path):
    code, printed, errors = call("noise_study", "--quick", "--method", "imle,identity", "--seeds", 2)
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    gaps = {method: results.values(method, "gap") for method in results.methods}
    assert list(gaps) == ["untrained", "random subset", "imle", "identity"]
    assert all(learned < start / 3 for learned, start in zip(gaps["imle"], gaps["untrained"], strict=True))
    for row in results.rows[4:]:
        assert row.curves["gap"][-1] == row.metrics["gap"]
        assert row.curves["gap"][0] == pytest.approx(results.values("untrained", "gap")[row.seed])
    with (tmp_path / "out" / "gradients.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows].count("imle") == 2 * 2 * len(STEPS)
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert all(-1 <= float(row["cosine"]) <= 1 for row in rows)
    assert (tmp_path / "out" / "gradients.md").read_text().count("| imle |") == 2 * len(STEPS)
    assert any(re.match(r"\| Sum-of-Gamma, 10 terms \| 0\.\d+ \|", line) for line in printed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--draws", 1], "--draws: expected at least 2, got 1"),
        (["--beta", 0], "--beta: expected a number above 0, got '0'"),
        (["--temperature", "hot"], "--temperature: expected a number above 0, got 'hot'"),
        (
            ["--method", "imle,fenchel-young"],
            "--method: unknown method 'fenchel-young'; expected all, or",
        ),
    ],
)
def test_it_says_what_is_wrong(call, arguments, message):
    code, _, errors = call("noise_study", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert message in errors[0]
