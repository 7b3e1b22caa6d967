"""The estimators' numbers: against published runs, and against exact gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import IMLE, Gumbel, Normal, SolverLayer, SumOfGamma, Target
from tests.fixed import Fixed
from tests.solvers import EnumeratedAdapter, subsets, top_k


def imle(noise, alpha=1.0, beta=10.0, input_temperature=1.0, target_temperature=1.0):
    return IMLE(
        noise,
        Target(alpha, beta),
        input_noise_temperature=input_temperature,
        target_noise_temperature=target_temperature,
    )


TOP_K_RUNS = [f"imle_{i}" for i in range(18)]
GRID_RUNS = [f"imle_{i}" for i in range(18, 30)]


def check_against_published_run(case, adapter):
    """The published runs are in max form, whatever the adapter's sense."""
    sign = -1 if adapter.sense == "min" else 1
    estimator = imle(
        Fixed(case["noise"]),
        case["alpha"],
        case["beta"],
        case["input_noise_temperature"],
        case["target_noise_temperature"],
    )
    layer = SolverLayer(adapter, estimator=estimator, num_samples=case["nb_samples"])
    theta = (sign * case["theta"]).requires_grad_()
    z = layer(theta)
    z.backward(case["dy"])
    torch.testing.assert_close(z, case["z"].to(z), rtol=0, atol=0)
    torch.testing.assert_close(sign * theta.grad, case["grad"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TOP_K_RUNS)
@pytest.mark.parametrize("sense", ["max", "min"])
def test_imle_equals_the_published_implementation_on_top_k(reference, name, sense):
    case = reference[name]
    check_against_published_run(case, TopKAdapter(20, case["k"], sense))


@pytest.mark.parametrize("name", GRID_RUNS)
def test_imle_equals_the_published_implementation_on_shortest_paths(reference, name):
    check_against_published_run(reference[name], ShortestPathAdapter.grid(6, 6, neighbourhood=8, costs="vertex"))


SOLUTIONS = {
    "top 2 of 5": subsets(5, 2),
    "paths of a 3 x 3 grid": np.array(
        [
            [1, 0, 0, 0, 1, 0, 0, 0, 1],
            [1, 1, 0, 0, 0, 1, 0, 0, 1],
            [1, 0, 0, 1, 0, 0, 0, 1, 1],
            [1, 1, 1, 0, 0, 1, 0, 0, 1],
            [1, 0, 0, 1, 0, 0, 1, 1, 1],
        ]
    ),
    "matchings of 3 x 3": np.array([np.eye(3)[list(p)].ravel() for p in itertools.permutations(range(3))]),
}


@pytest.mark.parametrize("problem", SOLUTIONS)
@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("noise", [Gumbel(), SumOfGamma(k=3, terms=30)], ids=["gumbel", "sum-of-gamma"])
def test_mean_gradient_points_along_the_exact_gradient(problem, sense, noise):
    """E_z~p [L(z)] with p(z) = exp(<theta, z>) / Z has the gradient Cov(z, L), exact by enumeration.

    I-MLE is biased, by the noise that is no exact Gibbs sampler and by the finite step, so the directions agree, not
    the lengths: a cosine of 0.9 or more, where two independent directions of nine entries would have 0.9 with
    probability below 1e-3.
    """
    solutions = torch.tensor(SOLUTIONS[problem], dtype=torch.float64)
    sign = -1.0 if sense == "min" else 1.0
    generator = torch.Generator().manual_seed(3)
    n = solutions.shape[1]
    theta = torch.randn(n, generator=generator, dtype=torch.float64) * 0.5
    price = torch.randn(n, generator=generator, dtype=torch.float64)

    variable = theta.clone().requires_grad_()
    p = torch.softmax(solutions @ (sign * variable), 0)
    (p @ (solutions @ price)).backward()

    layer = SolverLayer(
        EnumeratedAdapter(solutions.numpy(), sense),
        estimator=imle(noise, beta=0.5),
        num_workers=0,
        generator=torch.Generator().manual_seed(0),
    )
    estimate = theta.clone().requires_grad_()
    (layer.sample(estimate, 6000) @ price).sum().backward()
    cosine = torch.cosine_similarity(estimate.grad, variable.grad, dim=0)
    assert cosine > 0.9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("num_samples", [None, 1, 4])
def test_minimising_costs_mirrors_maximising_scores_bit_for_bit(dtype, temperatures, num_samples):
    grads, samples = [], []
    theta = torch.randn(7, 5, dtype=dtype, generator=torch.Generator().manual_seed(1))
    for sense, sign in (("max", 1), ("min", -1)):
        layer = SolverLayer(
            top_k(5, 2, sense),
            estimator=imle(SumOfGamma(2.0), 1.0, 10.0, *temperatures),
            num_samples=num_samples,
            num_workers=0,
            generator=torch.Generator().manual_seed(0),
        )
        variable = (sign * theta).requires_grad_()
        z = layer(variable)
        assert z.shape == ((7, 5) if num_samples is None else (7, num_samples, 5))
        weights = torch.randn(z.shape, dtype=dtype, generator=torch.Generator().manual_seed(2))
        (z * weights).sum().backward()
        grads.append(variable.grad)
        samples.append(z.detach())
    assert torch.equal(samples[0], samples[1])
    assert torch.equal(grads[0], -grads[1])
    assert grads[0].abs().sum() > 0


def test_backward_does_not_solve_forward_again():
    layer = SolverLayer(top_k(5, 2), num_samples=3, num_workers=0)
    theta = torch.randn(4, 5, requires_grad=True)
    layer(theta).sum().backward()
    assert (layer.stats().batches, layer.stats().instances) == (2, 24)


def test_marginals_send_the_downstream_gradient_to_each_sample_unscaled(generator):
    """By hand: mean_s [z_s - MAP(theta - beta * dL/dm + eps_s)]."""
    noise = torch.randn(3, 6, 5, generator=generator)
    theta = torch.randn(3, 5, generator=generator, requires_grad=True)
    weights = torch.randn(3, 5, generator=generator)
    layer = SolverLayer(TopKAdapter(5, 2), estimator=imle(Fixed(noise), beta=2.0))
    marginals = layer.marginals(theta, 6)
    (marginals * weights).sum().backward()

    def top2(scores):
        return torch.zeros_like(scores).scatter(-1, scores.topk(2).indices, 1.0)

    scores = theta.detach().unsqueeze(1)
    z = top2(scores + noise)
    target = top2(scores - 2.0 * weights.unsqueeze(1) + noise)
    torch.testing.assert_close(marginals.detach(), z.mean(1))
    torch.testing.assert_close(theta.grad, (z - target).mean(1))


def test_without_noise_the_estimator_is_deterministic(generator):
    theta = torch.randn(3, 5, generator=generator, requires_grad=True)
    layer = SolverLayer(TopKAdapter(5, 2), estimator=IMLE(noise=None))
    assert torch.equal(layer(theta), layer.map(theta))


def test_noise_is_added_to_scores_and_so_subtracted_from_costs():
    """On four costs, top-1 under Gumbel noise samples the softmax of the negated costs; c + eps would not."""
    costs = torch.tensor([0.0, 1.0, 2.0, 3.0])
    layer = SolverLayer(
        TopKAdapter(4, 1, sense="min"),
        estimator=IMLE(Gumbel(), input_noise_temperature=1.0),
        generator=torch.Generator().manual_seed(0),
    )
    frequencies = layer.marginals(costs, 40_000)
    torch.testing.assert_close(frequencies, torch.softmax(-costs, 0), rtol=0, atol=0.01)
    added = torch.tensor([0.701, 0.241, 0.052, 0.006])  # the distribution of the sign error
    assert (frequencies - added).abs().max() > 0.03


def test_a_gradient_that_is_not_finite_stays_in_its_instance():
    theta = torch.randn(4, 5, requires_grad=True)
    layer = SolverLayer(TopKAdapter(5, 2), estimator=imle(Normal()))
    dz = torch.ones(4, 5)
    dz[1, 2], dz[3, 0] = float("nan"), float("inf")
    layer(theta).backward(dz)
    assert theta.grad[[1, 3]].isnan().all()
    assert theta.grad[[0, 2]].isfinite().all()
