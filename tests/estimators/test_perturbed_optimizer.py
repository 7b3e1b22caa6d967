"""Perturbed optimisers: unbiased by finite differences, with less variance where that is promised."""

from __future__ import annotations

import functools

import pytest
import torch

from imle_adapters import TopKAdapter
from imle_solvers import (
    Gumbel,
    InputError,
    Normal,
    PerturbedOptimizer,
    SolverLayer,
)
from tests.solvers import function_adapter


def top2(scores):
    return torch.zeros_like(scores).scatter(-1, scores.topk(2).indices, 1.0)


def make(estimator, num_samples=None, n=6, sense="max", seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    return SolverLayer(
        TopKAdapter(n, 2, sense), estimator=estimator, num_samples=num_samples, generator=generator, **kwargs
    )


THETA = torch.tensor([0.7, -0.4, 0.3, 1.1], dtype=torch.float64)


PRICE = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


SIGMA = 0.8


@functools.cache
def expected(multiplicative, draws=400_000, step=0.1):
    """The expected solution, and the gradient of its price: finite differences under common random numbers."""
    noise = torch.randn(draws, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))

    def solution(theta):
        perturbed = theta * torch.exp(SIGMA * noise - SIGMA**2 / 2) if multiplicative else theta + SIGMA * noise
        return top2(perturbed).mean(0)

    units = step * torch.eye(4, dtype=torch.float64)
    gradient = [(solution(THETA + unit) - solution(THETA - unit)) @ PRICE / (2 * step) for unit in units]
    return solution(THETA), torch.stack(gradient)


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("variance_reduction", [False, True])
def test_perturbed_optimizer_is_unbiased(multiplicative, variance_reduction):
    """Against finite differences of the expected loss under common random numbers, within sampling error."""
    layer = make(
        PerturbedOptimizer(
            sigma=SIGMA,
            num_marginal_samples=100_000,
            multiplicative=multiplicative,
            variance_reduction=variance_reduction,
        ),
        n=4,
    )
    theta = THETA.clone().requires_grad_()
    solution, gradient = expected(multiplicative)
    z = layer(theta)
    torch.testing.assert_close(z.detach(), solution, rtol=0, atol=0.01)
    (z @ PRICE).backward()
    torch.testing.assert_close(theta.grad, gradient, rtol=0.05, atol=0.05)


def test_variance_reduction_reduces_variance():
    def spread(variance_reduction):
        layer = make(PerturbedOptimizer(num_marginal_samples=8, variance_reduction=variance_reduction))
        theta = torch.zeros(500, 6, requires_grad=True)
        (layer(theta) @ torch.arange(10.0, 16.0)).sum().backward()
        return float(theta.grad.var(0).mean())

    assert spread(True) < 0.2 * spread(False)


def test_gumbel_and_normal_scores_are_those_of_their_densities():
    x = torch.linspace(-2, 3, 50, dtype=torch.float64, requires_grad=True)
    for noise, log_density in ((Normal(), -(x**2) / 2), (Gumbel(), -x - torch.exp(-x))):
        (gradient,) = torch.autograd.grad(log_density.sum(), x)
        torch.testing.assert_close(noise.score(x.detach()), -gradient)


def test_perturbed_optimizer_takes_solutions_of_another_shape():
    adapter = function_adapter(lambda theta: theta.max(keepdims=True), n=3, solution_shape=(1,))
    layer = SolverLayer(adapter, estimator=PerturbedOptimizer(num_marginal_samples=50), num_workers=0)
    theta = torch.randn(2, 3, requires_grad=True)
    layer(theta).sum().backward()
    assert theta.grad.abs().sum() > 0


def test_multiplicative_noise_refuses_theta_of_zero():
    theta = torch.ones(3, 6)
    theta[1, 4] = 0
    with pytest.raises(InputError, match=r"row 1 .*zero, as it is at \(4,\)"):
        make(PerturbedOptimizer(multiplicative=True))(theta)
