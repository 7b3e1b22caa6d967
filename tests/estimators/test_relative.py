"""Steps and noise in units of theta: closed forms, what does not change, and that defaults learn."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from imle_adapters import AssignmentAdapter, TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    FenchelYoungLoss,
    Gumbel,
    HammingLoss,
    Normal,
    RegretLoss,
    Relative,
    ScoreFunctionLoss,
    SolverLayer,
    StraightThrough,
    SumOfGamma,
    Target,
)
from imle_solvers.estimators.relative import direction, magnitude, spread
from tests.fixed import Fixed
from tests.solvers import top_k

ESTIMATORS = {
    "imle": IMLE,
    "imle without noise": lambda: IMLE(None),
    "imle of the gradient alone": lambda: IMLE(target=Target(alpha=0.0, beta=Relative(1.0))),
    "aimle": AIMLE,
    "aimle, central": lambda: AIMLE(symmetric=True, per_instance=True),
}


def top2(scores):
    return torch.zeros_like(scores).scatter(-1, scores.topk(2).indices, 1.0)


def make(estimator, num_samples=None, n=6, seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    return SolverLayer(TopKAdapter(n, 2), estimator=estimator, num_samples=num_samples, generator=generator, **kwargs)


def gradient(estimator, theta, dz, num_samples=4):
    variable = theta.clone().requires_grad_()
    make(estimator, num_samples)(variable).backward(dz)
    return variable.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.0])
def test_a_step_is_so_many_times_as_long_as_theta_for_each_sample(dtype, alpha):
    theta, dz = torch.randn(4, 1, 3, 2, dtype=dtype), torch.randn(4, 5, 3, 2, dtype=dtype)
    dz[1, 2] = 0
    length = theta.square().sum((2, 3), keepdim=True).sqrt()
    lengths = dz.square().sum((2, 3), keepdim=True).sqrt()
    step = torch.where(lengths > 0, 1.5 * length / lengths, 0) * dz
    torch.testing.assert_close(Target(alpha, Relative(1.5))(theta, dz), alpha * theta - step)
    assert torch.equal(Target(beta=Relative(1.5))(theta, dz)[1, 2], theta[1, 0])


def test_noise_has_so_many_times_the_standard_deviation_of_theta():
    theta = 10 + torch.randn(5, 6, dtype=torch.float64)
    noise = torch.randn(5, 3, 6, dtype=torch.float64)
    kept = noise.clone()
    samples = make(IMLE(Fixed(noise), input_noise_temperature=Relative(0.5)), 3)(theta)
    perturbed = theta[:, None] + 0.5 * theta.std(1, correction=0).mean() * noise
    assert torch.equal(samples, top2(perturbed))
    assert torch.equal(noise, kept)


def test_the_first_batch_that_is_differentiated_fixes_the_scale_of_noise():
    layer = make(IMLE(Normal()))
    scale = layer.estimator.theta_scale
    first = torch.randn(5, 6).mul_(8)
    for theta in (torch.randn(5, 6), torch.randn(5, 6, requires_grad=True)):
        with torch.no_grad():
            layer.sample(theta, 3)
        layer.map(theta)
        assert float(scale) == 0
    layer(first.clone().requires_grad_())
    assert float(scale) == pytest.approx(float(first.std(1, correction=0).mean()))
    kept = float(scale)
    for copied in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        copied(torch.randn(5, 6, requires_grad=True))
        assert float(copied.estimator.theta_scale) == kept
    assert float(layer.bfloat16().estimator.theta_scale) == kept
    other = make(IMLE(Normal()))
    other.load_state_dict(layer.state_dict())
    assert float(other.estimator.theta_scale) == kept
    older = {name: value for name, value in layer.state_dict().items() if "theta_scale" not in name}
    other.load_state_dict(older)
    assert float(other.estimator.theta_scale) == 0


def test_the_scale_is_taken_anew_where_that_is_asked_for():
    layer = make(IMLE(Normal()))
    layer(torch.full((5, 6), 1e-9, requires_grad=True))
    theta = torch.randn(5, 6)
    layer.estimator.fix_scale(theta)
    assert float(layer.estimator.theta_scale) == pytest.approx(float(theta.std(1, correction=0).mean()))
    for wrong, said in ((theta[:0], "one without entries"), (theta / 0, "entries that are not finite")):
        with pytest.raises(ValueError, match=f"IMLE: expected theta of which to take the scale, got .*{said}"):
            layer.estimator.fix_scale(wrong)


def test_a_temperature_made_relative_later_has_a_scale_too():
    layer = make(IMLE(Normal(), input_noise_temperature=0.3))
    assert layer.estimator.state_dict() == {}
    layer.estimator.input_noise_temperature = layer.estimator.target_noise_temperature = Relative(0.3)
    layer(torch.randn(5, 6, requires_grad=True))
    assert float(layer.estimator.state_dict()["theta_scale"]) > 0


@pytest.mark.parametrize("loss", [FenchelYoungLoss, lambda layer: ScoreFunctionLoss(layer, lambda z: z[..., 0])])
def test_losses_on_theta_fix_it_too(loss):
    layer = make(IMLE(Normal()))
    theta = torch.randn(5, 6, requires_grad=True)
    loss(layer)(theta, *([top2(theta.detach())] if loss is FenchelYoungLoss else []))
    scale = float(theta.detach().std(1, correction=0).mean())
    assert float(layer.estimator.theta_scale) == pytest.approx(scale)


@pytest.mark.parametrize("noise", [Normal(), Gumbel(), SumOfGamma(4.0), SumOfGamma(20.0, 50), SumOfGamma(2.0, 3)])
def test_noise_says_its_standard_deviation(noise):
    drawn = noise.sample((400_000,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert noise.std == pytest.approx(float(drawn.std()), rel=0.02)
    theta = torch.tensor([[0.0, 2.0, 4.0]]).double()  # of standard deviation sqrt(8 / 3)
    unit = IMLE(noise).noise_unit(noise, theta)
    assert float(unit) == pytest.approx(math.sqrt(8 / 3) / noise.std)


def test_temperatures_left_out_are_those_of_the_other_solve():
    def temperatures(**given):
        estimator = IMLE(**given)
        return estimator.input_noise_temperature, estimator.target_noise_temperature

    assert temperatures() == (Relative(0.3), Relative(0.3))
    assert temperatures(input_noise_temperature=0.3) == (0.3, 0.3)
    assert temperatures(target_noise_temperature=0.3) == (0.3, 0.3)
    assert not isinstance(IMLE(input_noise_temperature=0.3).target_noise_temperature, Relative)
    assert isinstance(AIMLE().target_noise_temperature, Relative)
    assert isinstance(StraightThrough().input_noise_temperature, Relative)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("of_theta", [1.0, 2.0**-40, 2.0**40])
@pytest.mark.parametrize("of_loss", [1.0, 2.0**-40, 2.0**40])
def test_no_scale_of_theta_or_loss_changes_a_direction(name, of_theta, of_loss):
    theta, dz = torch.randn(8, 6), torch.randn(8, 4, 6)
    usual = gradient(ESTIMATORS[name](), theta, dz)
    scaled = gradient(ESTIMATORS[name](), of_theta * theta, of_loss * dz)
    assert usual.abs().sum() > 0
    wide = scaled.double()  # AIMLE divides by its step, which may be tiny
    torch.testing.assert_close((wide / wide.norm()).float(), usual / usual.norm())
    if name.startswith("imle"):
        assert torch.equal(scaled, usual)


def test_no_other_instance_nor_the_number_of_samples_changes_a_gradient():
    theta, dz = torch.randn(8, 6), torch.randn(8, 4, 6)
    whole = gradient(IMLE(None), theta, dz)
    assert torch.equal(gradient(IMLE(None), theta[3:4], dz[3:4]), whole[3:4])
    other = 1000 * torch.rand(8, 1, 1) * dz
    assert torch.equal(gradient(IMLE(None), theta, other), whole)
    assert torch.equal(
        gradient(IMLE(None), theta, dz[:, :1].repeat(1, 9, 1), 9), gradient(IMLE(None), theta, dz[:, :1], 1)
    )


@pytest.mark.parametrize("noise", [None, Normal()])
@pytest.mark.parametrize("scale", [0.0, 3.0, 1e-30, 1e30])
def test_theta_without_a_scale_has_a_gradient_towards_the_target(noise, scale):
    theta = torch.full((1, 6), scale, requires_grad=True)
    dz = torch.tensor([[-1.0, -1, 1, 1, 1, 1]])
    total = sum(gradient(IMLE(noise), theta.detach(), dz, None) for _ in range(3))
    assert bool((total[0, :2] <= 0).all() and (total[0, 2:] >= 0).all())
    z = make(IMLE(Normal()), 200)(theta)
    assert bool((z.mean((0, 1)) > 0.1).all())  # noise, not the order of entries, breaks the ties


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "alone" not in name])
def test_without_a_downstream_gradient_there_is_none(name):
    for theta in (torch.randn(3, 6), torch.zeros(3, 6)):
        assert gradient(ESTIMATORS[name](), theta, torch.zeros(3, 4, 6)).abs().sum() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_downstream_gradient_that_is_not_finite_is_nan_in_its_instance_alone(bad):
    theta, dz = torch.randn(4, 6), torch.ones(4, 1, 6)
    expected = gradient(IMLE(None), theta, dz, 1)
    dz[1, 0, 2] = bad
    found = gradient(IMLE(None), theta, dz, 1)
    assert bool(found[1].isnan().all())
    assert torch.equal(found[[0, 2, 3]], expected[[0, 2, 3]])


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30, 1e38])
def test_sizes_neither_overflow_nor_vanish(scale):
    tensor = scale * torch.tensor([[3.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    sizes = torch.tensor([scale * math.sqrt(5), 1, scale])[:, None]
    torch.testing.assert_close(magnitude(tensor, 1), sizes, rtol=1e-5, atol=0)
    torch.testing.assert_close(spread(tensor, 1), torch.tensor([scale, 1, scale])[:, None], rtol=1e-5, atol=0)
    torch.testing.assert_close(direction(tensor, 1), tensor / sizes, rtol=1e-5, atol=0)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0)])
def test_instances_of_one_entry_or_none(shape):
    tensor = torch.full((3, *shape), 2.0)
    for function, value in ((magnitude, 2.0), (spread, 2.0), (direction, 1.0)):
        found = function(tensor, 1)
        assert found.shape == ((3, *(1 for _ in shape)) if function is not direction else tensor.shape)
        assert bool((found == value).all()) or tensor.numel() == 0


def test_relative_is_a_number_that_travels():
    share = Relative(0.3)
    assert (repr(share), share) == ("Relative(0.3)", 0.3)
    for other in (pickle.loads(pickle.dumps(share)), copy.deepcopy(share)):
        assert isinstance(other, Relative)
        assert other == share
    assert "beta=Relative(2.0)" in repr(IMLE())
    assert "input_noise_temperature=Relative(0.3)" in repr(IMLE())
    assert isinstance(pickle.loads(pickle.dumps(IMLE())).target.beta, Relative)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: Relative(-1.0), "Relative: share must be finite and not negative, got -1.0"),
        (lambda: Relative(math.inf), "share must be finite"),
        (lambda: Relative("much"), "share must be finite and not negative, got 'much'"),
        (lambda: Target(beta=Relative(0.0)), r"beta must be positive and finite, got Relative\(0.0\)"),
        (lambda: IMLE(scale_gradient=True), "scale_gradient divides by a beta that is a number.*or take AIMLE"),
    ],
)
def test_bad_arguments(run, message):
    with pytest.raises(ValueError, match=message):
        run()


def test_one_temperature_relative_and_the_other_not_is_refused():
    layer = make(IMLE(input_noise_temperature=Relative(0.5), target_noise_temperature=0.1))
    message = r"IMLE: expected both temperatures relative, or neither, got input_noise_temperature=Relative\(0.5\)"
    with pytest.raises(ValueError, match=message):
        layer(torch.randn(2, 6))
    layer.estimator.target_noise_temperature = 0.0  # is both
    layer(torch.randn(2, 6))


def test_the_score_function_knows_the_temperature_that_theta_gave():
    theta = torch.tensor([[0.5, -0.2, 0.3, 0.1, 0.0, 1.0]])
    number = 0.5 * float(theta.std(correction=0))
    grads = []
    for temperature in (Relative(0.5), number):
        variable = theta.clone().requires_grad_()
        layer = make(IMLE(Normal(), input_noise_temperature=temperature))
        ScoreFunctionLoss(layer, lambda z: z[..., 0] + 2 * z[..., 5], num_samples=50)(variable).backward()
        grads.append(variable.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-3, atol=1e-5)
    assert grads[0].abs().sum() > 0


@pytest.mark.parametrize("target_norm", [Relative(1.0), 2.0])
def test_aimle_aims_at_a_share_of_what_samples_have(target_norm):
    """A sample has two ones, so that a share of one is a number of two."""
    moves = []
    for size in (1e-3, 10.0):  # beta of which next to nothing, and nearly everything changes
        estimator = AIMLE(Normal(), initial_beta=size, target_norm=target_norm, step=1e-4, decay=0.0)
        gradient(estimator, torch.randn(60, 6), torch.randn(60, 4, 6))
        moves.append(float(estimator.last_move))
    assert moves == [pytest.approx(1e-4), pytest.approx(-1e-4)]


PROBLEMS = {
    "top-k": lambda: TopKAdapter(10, 3),
    "assignment": lambda: AssignmentAdapter(4, 4),
    "own": lambda: top_k(6, 2),
}


@pytest.mark.parametrize("kind", [HammingLoss, RegretLoss])
@pytest.mark.parametrize("estimator", [None, AIMLE])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_layer_with_no_argument_learns_whatever_the_scale(kind, estimator, problem, scale):
    generator = torch.Generator().manual_seed(0)
    layer = SolverLayer(PROBLEMS[problem](), estimator=estimator and estimator(), num_workers=0, generator=generator)
    shape = layer.adapter.instance_shape
    features = torch.randn(64, 3, generator=generator)
    truth = (features @ torch.randn(3, math.prod(shape), generator=generator)).view(64, *shape)
    best = layer.map(truth)
    # From zero, where theta has a scale; there is none to be seen in theta of zero.
    start = 0.0 if scale == 1 else 0.1
    weight = (start * torch.randn(3, math.prod(shape), generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([weight], 0.1, eps=1e-30)  # the usual one would be a scale
    loss = kind(layer)
    for _ in range(60):
        optimiser.zero_grad()
        z = layer(scale * (features @ weight).view(64, *shape))
        (loss(z, best if kind is HammingLoss else truth) / scale).backward()
        optimiser.step()
    found = layer.map((features @ weight.detach()).view(64, *shape))
    wrong = float((found - best).abs().sum() / (2 * best.sum()))
    assert wrong < 0.25, wrong  # untrained 0.6 to 0.8
