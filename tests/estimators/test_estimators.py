"""The rivals of I-MLE: closed forms by hand, exact gradients by enumeration, both senses."""

from __future__ import annotations

import pytest
import torch

from imle_adapters import TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    Gumbel,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    SolverLayer,
    StraightThrough,
    SumOfGamma,
    Target,
)
from tests.fixed import Fixed
from tests.solvers import StatusAdapter

ESTIMATORS = {
    "imle": lambda: IMLE(Normal()),
    "imle, other target noise": lambda: IMLE(Normal(), input_noise_temperature=1.0, target_noise_temperature=0.3),
    "imle, scaled": lambda: IMLE(Normal(), Target(), scale_gradient=True),
    "imle, hamming target": lambda: IMLE(Normal(), HammingTarget()),
    "imle, marginals": lambda: IMLE(Normal(), num_marginal_samples=3),
    "aimle": lambda: AIMLE(Normal(), initial_beta=2.0),
    "aimle, central": lambda: AIMLE(Normal(), symmetric=True, initial_beta=2.0),
    "aimle, other target noise": lambda: AIMLE(Normal(), input_noise_temperature=1.0, target_noise_temperature=0.3),
    "aimle, marginals": lambda: AIMLE(Normal(), initial_beta=2.0, num_marginal_samples=3),
    "blackbox": lambda: Blackbox(),
    "identity": lambda: Identity(),
    "identity, mean": lambda: Identity("mean"),
    "identity, norm": lambda: Identity("norm"),
    "identity, none": lambda: Identity(None, noise=Normal()),
    "straight-through": lambda: StraightThrough(Normal()),
    "perturbed": lambda: PerturbedOptimizer(),
    "perturbed, gumbel": lambda: PerturbedOptimizer(Gumbel(), variance_reduction=False),
    "perturbed, multiplicative": lambda: PerturbedOptimizer(multiplicative=True),
}


def top2(scores):
    return torch.zeros_like(scores).scatter(-1, scores.topk(2).indices, 1.0)


def make(estimator, num_samples=None, n=6, sense="max", seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    return SolverLayer(
        TopKAdapter(n, 2, sense), estimator=estimator, num_samples=num_samples, generator=generator, **kwargs
    )


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("num_samples", [None, 1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_minimising_mirrors_maximising_bit_for_bit(name, num_samples, dtype):
    results = []
    for sense, sign in (("max", 1), ("min", -1)):
        layer = make(ESTIMATORS[name](), num_samples, sense=sense)
        torch.manual_seed(0)
        theta = (sign * torch.randn(5, 6, dtype=dtype)).requires_grad_()
        z = layer(theta)
        assert z.shape == ((5, 6) if num_samples is None else (5, num_samples, 6))
        (z * torch.randn_like(z)).sum().backward()
        assert theta.grad.dtype == dtype
        results.append((z.detach(), sign * theta.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][1].abs().sum() > 0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_evaluation_gives_the_map(name):
    theta = torch.randn(5, 6)
    assert torch.equal(make(ESTIMATORS[name]()).eval()(theta), top2(theta))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_failed_instances_give_no_gradient_to_themselves_and_the_usual_to_others(name):
    def run(status):
        layer = SolverLayer(
            StatusAdapter(),
            estimator=ESTIMATORS[name](),
            num_samples=4,
            num_workers=0,
            on_failure="zero_grad",
            generator=torch.Generator().manual_seed(0),
        )
        theta = torch.tensor([[1.0, 2, 3], [3, 2, 1], [2, 1, 1]], requires_grad=True)
        z = layer(theta, status=torch.tensor([0, status, 0]))
        (z * torch.tensor([1.0, -2, 0.5])).sum().backward()
        return theta.grad

    failed = run(2)
    assert failed[1].abs().sum() == 0
    if not name.startswith("aimle"):  # whose one step for the batch feels every instance
        torch.testing.assert_close(failed[[0, 2]], run(0)[[0, 2]])
    assert failed[[0, 2]].abs().sum() > 0


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("num_samples", [None, 3])
def test_solves_are_those_the_table_promises(name, num_samples):
    estimator = ESTIMATORS[name]()
    layer = make(estimator, num_samples)
    theta = torch.randn(5, 6, requires_grad=True)
    z = layer(theta)
    forward = layer.stats().instances
    z.sum().backward()
    assert forward == 5 * (num_samples or 1) * estimator.num_marginal_samples
    solved = {"blackbox": 1, "aimle, central": 2}.get(name, 1 if name.startswith(("imle", "aimle")) else 0)
    assert layer.stats().instances - forward == solved * forward


def test_hamming_target_replaces_theta_where_the_loss_says_so():
    noise, theta = torch.randn(4, 3, 6), torch.randn(4, 6)
    dz = torch.randint(-1, 2, (4, 3, 6)).float()
    variable = theta.clone().requires_grad_()
    make(IMLE(Fixed(noise), HammingTarget(3.0), input_noise_temperature=1.0), 3)(variable).backward(dz)
    target = torch.where(dz != 0, -3 * dz, theta[:, None])
    expected = (top2(theta[:, None] + noise) - top2(target + noise)).mean(1)
    torch.testing.assert_close(variable.grad, expected)


def test_scaling_divides_by_beta():
    grads = []
    for scale in (False, True):
        theta = torch.arange(12.0).view(2, 6).requires_grad_()
        make(IMLE(Normal(), Target(beta=4.0), scale_gradient=scale))(theta).backward(torch.arange(-6.0, 6).view(2, 6))
        grads.append(theta.grad)
    torch.testing.assert_close(grads[0], 4 * grads[1])
    assert grads[0].abs().sum() > 0


def test_marginal_samples_are_means_whose_draws_get_the_whole_gradient():
    noise, theta, weights = torch.randn(3, 8, 6), torch.randn(3, 6), torch.randn(3, 2, 6)
    variable = theta.clone().requires_grad_()
    estimator = IMLE(Fixed(noise), Target(beta=2.0), input_noise_temperature=1.0, num_marginal_samples=4)
    z = make(estimator, 2)(variable)
    (z * weights).sum().backward()
    draws = top2(theta[:, None] + noise)
    torch.testing.assert_close(z.detach(), draws.view(3, 2, 4, 6).mean(2))
    target = top2(theta[:, None] - 2 * weights.repeat_interleave(4, 1) + noise)
    torch.testing.assert_close(variable.grad, (draws - target).mean(1))


def test_a_target_may_be_a_function():
    def target(scores, dz):
        assert (scores.shape, dz.shape) == ((4, 1, 6), (4, 2, 6))
        return scores - 5 * dz.sign()

    theta = torch.randn(4, 6, requires_grad=True)
    make(IMLE(Normal(), target), 2)(theta).backward(torch.randn(4, 2, 6))
    assert theta.grad.abs().sum() > 0


@pytest.mark.parametrize("sense", ["max", "min"])
def test_blackbox_is_the_slope_of_the_interpolated_loss(sense):
    """The paper's own formula for costs: -(y(w) - y(w + lambda dL/dy)) / lambda; for scores, s = -w."""
    theta, dz = torch.randn(4, 6), torch.randn(4, 6)
    variable = theta.clone().requires_grad_()
    make(Blackbox(3.0), sense=sense)(variable).backward(dz)
    costs = theta if sense == "min" else -theta
    of_costs = -(top2(-costs) - top2(-(costs + 3.0 * dz))) / 3.0
    torch.testing.assert_close(variable.grad, of_costs if sense == "min" else -of_costs)


def projected(projection, theta):
    if projection in ("mean", "standardize"):
        theta = theta - theta.mean(1, keepdim=True)
    if projection in ("norm", "standardize"):
        theta = theta / theta.norm(dim=1, keepdim=True)
    return theta


@pytest.mark.parametrize("projection", ["mean", "norm", "standardize", None])
def test_identity_is_the_derivative_of_its_projection(projection):
    theta, dz = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 3, 6, dtype=torch.float64)
    one, other = theta.clone().requires_grad_(), theta.clone().requires_grad_()
    make(Identity(projection), 3)(one).backward(dz)
    (projected(projection, other) * dz.sum(1)).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(("projection", "value"), [("standardize", 0.0), ("standardize", 2.0), ("norm", 0.0)])
def test_identity_takes_theta_without_a_direction_as_of_length_one(projection, value):
    theta = torch.full((2, 6), value, requires_grad=True)
    make(Identity(projection))(theta).square().sum().backward()
    plain = torch.full((2, 6), value, requires_grad=True)
    make(Identity("mean" if projection == "standardize" else None))(plain).square().sum().backward()
    assert torch.equal(theta.grad, plain.grad)
    assert theta.grad.any()


def test_identity_of_a_constant_theta_is_finite():
    theta = torch.zeros(2, 6, requires_grad=True)
    make(Identity())(theta).sum().backward()
    assert bool(theta.grad.isfinite().all())


def test_straight_through_is_the_sum_of_downstream_gradients():
    theta, dz = torch.randn(4, 6, requires_grad=True), torch.randn(4, 3, 6)
    make(StraightThrough(Normal()), 3)(theta).backward(dz)
    torch.testing.assert_close(theta.grad, dz.sum(1))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_double_backward_is_refused(name):
    theta = torch.randn(2, 6, requires_grad=True)
    z = make(ESTIMATORS[name]())(theta)
    (gradient,) = torch.autograd.grad((z**2).sum(), theta, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("make_estimator", "error", "message"),
    [
        (lambda: Blackbox(0.0), ValueError, "Blackbox: lam must be positive"),
        (lambda: Identity("median"), ValueError, "projection must be one of mean, norm, standardize or None"),
        (lambda: IMLE(target=3), TypeError, "expected a target such as Target"),
        (lambda: IMLE(target=HammingTarget(), scale_gradient=True), ValueError, "divides by the beta of a Target"),
        (lambda: IMLE(num_marginal_samples=0), ValueError, "num_marginal_samples must be at least 1"),
        (lambda: HammingTarget(0), ValueError, "scale must be positive"),
        (lambda: PerturbedOptimizer(SumOfGamma(3.0)), TypeError, "expected noise with a score"),
        (lambda: PerturbedOptimizer(sigma=0), ValueError, "sigma must be positive"),
        (lambda: PerturbedOptimizer(num_marginal_samples=0), ValueError, "at least 1"),
        (lambda: PerturbedOptimizer(Gumbel(), multiplicative=True), ValueError, r"must be Normal\(\)"),
    ],
)
def test_bad_arguments(make_estimator, error, message):
    with pytest.raises(error, match=message):
        make_estimator()
