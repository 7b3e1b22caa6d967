"""The API of torch-imle and torch-adaptive-imle: their code, their numbers."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from imle_solvers import (
    AdaptiveTargetDistribution,
    BaseNoiseDistribution,
    BaseTargetDistribution,
    GumbelNoiseDistribution,
    SumOfGammaNoiseDistribution,
    TargetDistribution,
    aimle,
    imle,
    ste,
)


class Given(BaseNoiseDistribution):
    def __init__(self, noise):
        self.noise = noise

    def sample(self, shape):
        assert tuple(shape) == tuple(self.noise.shape)
        return self.noise


def top(k):
    def solve(weights_batch: Tensor) -> Tensor:
        return torch.zeros_like(weights_batch).scatter(-1, weights_batch.topk(k).indices, 1.0)

    return solve


@pytest.mark.parametrize("name", [f"imle_{i}" for i in range(18)])
def test_imle_equals_torch_imle(reference, name):
    case = reference[name]
    solver = imle(
        top(case["k"]),
        target_distribution=TargetDistribution(case["alpha"], case["beta"]),
        noise_distribution=Given(case["noise"]),
        nb_samples=case["nb_samples"],
        input_noise_temperature=case["input_noise_temperature"],
        target_noise_temperature=case["target_noise_temperature"],
    )
    theta = case["theta"].clone().requires_grad_()
    z = solver(theta)
    assert z.shape == (4 * case["nb_samples"], 20)
    assert torch.equal(z, case["z"].flatten(0, 1))
    z.backward(case["dy"].flatten(0, 1))
    torch.testing.assert_close(theta.grad, case["grad"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [f"aimle_{i}" for i in range(4)])
def test_aimle_equals_torch_adaptive_imle(reference, name):
    case = reference[name]
    target = AdaptiveTargetDistribution(
        case["initial_alpha"],
        case["initial_beta"],
        case["initial_grad_norm"],
        case["beta_update_step"],
        case["beta_update_momentum"],
        case["grad_norm_decay_rate"],
        case["target_norm"],
    )
    noise = Given(None)
    solver = aimle(
        top(case["k"]),
        target_distribution=target,
        noise_distribution=noise,
        theta_noise_temperature=case["theta_noise_temperature"],
        target_noise_temperature=case["target_noise_temperature"],
        symmetric_perturbation=case["symmetric"],
    )
    for step in range(6):
        noise.noise = case["noise"][step]
        theta = case["theta"][step].clone().requires_grad_()
        solver(theta).backward(case["dy"][step].flatten(0, 1))
        torch.testing.assert_close(theta.grad, case["grad"][step], rtol=1e-6, atol=1e-6)
        assert target.beta == pytest.approx(float(case["beta_after"][step]))


@pytest.mark.parametrize("symmetric", [False, True])
def test_costs_mirror_scores_bit_for_bit(symmetric):
    torch.manual_seed(0)
    noise = torch.randn(4, 3, 6)
    dy = torch.randn(12, 6)
    scores = torch.randn(4, 6)
    results = []
    for minimize in (False, True):
        solve = top(2)
        solver = imle(
            (lambda costs: top(2)(-costs)) if minimize else solve,
            noise_distribution=Given(noise),
            nb_samples=3,
            symmetric_perturbation=symmetric,
            _is_minimization=minimize,
        )
        theta = (-scores if minimize else scores.clone()).requires_grad_()
        z = solver(theta)
        z.backward(dy)
        results.append((z.detach(), -theta.grad if minimize else theta.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][1].abs().sum() > 0


def test_marginal_samples_average_draws():
    """By hand, for B = 4, S = 2, M = 3: all draws come out, their differences are averaged, nothing is rescaled."""
    noise, dy, theta = torch.randn(4, 6, 5), torch.randn(24, 5), torch.randn(4, 5)
    solver = imle(top(2), noise_distribution=Given(noise), nb_samples=2, nb_marginal_samples=3)
    variable = theta.clone().requires_grad_()
    z = solver(variable)
    assert torch.equal(z, top(2)(theta[:, None] + noise).flatten(0, 1))
    z.backward(dy)
    target = top(2)(theta[:, None] - dy.view(4, 6, 5) + noise)
    torch.testing.assert_close(variable.grad, (top(2)(theta[:, None] + noise) - target).mean(1))


def test_own_distributions_work():
    class Uniform(BaseNoiseDistribution):
        def sample(self, shape):
            return torch.rand(shape)

    class Half(BaseTargetDistribution):
        def params(self, theta, dy, _is_minimization=False):
            assert theta.shape == dy.shape == (8, 5)
            return theta - 0.5 * dy

        def process(self, theta, dy, gradient):
            assert gradient.shape == (4, 2, 5)
            return gradient * 7

    theta = torch.randn(4, 5, requires_grad=True)
    z = imle(top(2), target_distribution=Half(), noise_distribution=Uniform(), nb_samples=2)(theta)
    z.backward(torch.randn(8, 5) * 10)
    assert theta.grad.abs().sum() > 0
    assert bool(((theta.grad / 3.5).round() == theta.grad / 3.5).all())


def test_gradient_scaling_divides_by_beta():
    grads = []
    for scaling in (False, True):
        torch.manual_seed(0)
        theta = torch.randn(3, 6, requires_grad=True)
        target = TargetDistribution(beta=4.0, do_gradient_scaling=scaling)
        imle(top(2), target_distribution=target)(theta).backward(torch.randn(3, 6))
        grads.append(theta.grad)
    torch.testing.assert_close(grads[0], grads[1] * 4)
    assert grads[0].abs().sum() > 0


def test_extra_arguments_reach_both_solves():
    seen = []

    @imle(nb_samples=2)
    def solve(theta, mask, factor, *, shift):
        seen.append((mask.shape, factor, shift.tolist()))
        return (theta * factor + shift[:, None] > 0).float() * mask

    mask = torch.ones(3, 4)
    mask[1] = 0
    theta = torch.randn(3, 4, requires_grad=True)
    z = solve(theta, mask, 2.0, shift=torch.tensor([1.0, 2.0, 3.0]))
    assert z[2:4].abs().sum() == 0
    z.sum().backward()
    assert seen == [((6, 4), 2.0, [1, 1, 2, 2, 3, 3])] * 2


def test_an_argument_may_have_any_name():
    factor = torch.tensor([[2.0], [3.0]])
    z = imle(lambda weights, thetas: weights * thetas)(torch.ones(2, 3), thetas=factor)
    assert torch.equal(z, factor.expand(2, 3))


def test_ste_passes_the_mean_downstream_gradient():
    noise, dy = torch.randn(3, 4, 5), torch.randn(12, 5)
    theta = torch.randn(3, 5, requires_grad=True)
    z = ste(top(2), noise_distribution=Given(noise), noise_temperature=0.5, nb_samples=4)(theta)
    assert torch.equal(z, top(2)(theta.detach()[:, None] + 0.5 * noise).flatten(0, 1))
    z.backward(dy)
    torch.testing.assert_close(theta.grad, dy.view(3, 4, 5).mean(1))

    @ste(nb_samples=2)
    def decorated(weights):
        return top(2)(weights)

    assert decorated(theta).shape == (6, 5)


def test_the_adaptive_state_is_the_targets_and_is_saved_with_a_model():
    target = AdaptiveTargetDistribution(initial_beta=3.0, beta_update_step=0.5)
    model = torch.nn.ModuleDict({"target": target})
    for function, symmetric in itertools.product((top(2), top(1)), (False, True)):
        theta = torch.randn(4, 6, requires_grad=True)
        aimle(function, target, symmetric_perturbation=symmetric)(theta).backward(torch.randn(4, 6))
    assert target.beta != 3.0
    assert float(model.state_dict()["target.aimle.beta"]) == target.beta


def test_noise_distributions():
    torch.manual_seed(0)
    sample = GumbelNoiseDistribution(location=2.0, scale=3.0).sample(torch.Size([50_000]))
    assert float(sample.mean()) == pytest.approx(2 + 3 * 0.5772, abs=0.1)
    assert SumOfGammaNoiseDistribution(k=5, nb_iterations=100).sample(torch.Size([5])).shape == (5,)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"nb_samples": 0}, ValueError, "nb_samples must be at least 1, got 0"),
        ({"nb_marginal_samples": 0}, ValueError, "nb_marginal_samples must be at least 1, got 0"),
        ({"target_distribution": 3}, TypeError, "expected a BaseTargetDistribution, got 3"),
        ({"noise_distribution": 3}, TypeError, "expected a BaseNoiseDistribution, got 3"),
        ({"input_noise_temperature": 1.0, "theta_noise_temperature": 1.0}, ValueError, "two names for one"),
        ({"input_noise_temperature": -1.0}, ValueError, "input_noise_temperature must be finite"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        imle(top(2), **kwargs)


def test_an_adaptive_target_does_not_let_bad_temperatures_pass():
    with pytest.raises(ValueError, match="target_noise_temperature must be finite and not negative, got -1"):
        aimle(top(2), AdaptiveTargetDistribution(), target_noise_temperature=-1.0)


@pytest.mark.parametrize("function", [imle(top(2)), ste(top(2))])
def test_theta_that_cannot_be_solved_is_an_error_before_any_work(function):
    theta = torch.zeros(3, 4)
    theta[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"got nan in instance 1 at \(2,\)"):
        function(theta)
    with pytest.raises(TypeError, match="floating dtype"):
        function(torch.zeros(3, 4, dtype=torch.int64))


def test_an_argument_without_a_row_for_each_instance():
    with pytest.raises(
        ValueError, match=r"'argument 1': expected shape \(3, \.\.\.\), an entry for each instance, got \(2,\)"
    ):
        imle(lambda theta, a: theta)(torch.randn(3, 4), torch.zeros(2))
