"""Losses on theta: values and gradients by hand and by enumeration, both senses."""

from __future__ import annotations

import pytest
import torch

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    Estimator,
    FenchelYoungLoss,
    Gumbel,
    Identity,
    Normal,
    PerturbedOptimizer,
    ScoreFunctionLoss,
    SolverLayer,
    SPOPlusLoss,
    StraightThrough,
    SumOfGamma,
)
from tests.fixed import Fixed
from tests.solvers import StatusAdapter, function_adapter, subsets, top_k

QUIET = IMLE(Normal(), input_noise_temperature=1e-7)


def top2(scores):
    return torch.zeros_like(scores).scatter(-1, scores.topk(2).indices, 1.0)


def make(estimator=None, sense="max", n=5):
    return SolverLayer(
        TopKAdapter(n, 2, sense), estimator=estimator or IMLE(Normal()), generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fenchel_young_is_the_perturbed_maximum_less_the_targets_value(sense, dtype):
    sign = 1 if sense == "max" else -1
    noise = torch.randn(4, 7, 5, dtype=dtype)
    theta, target = torch.randn(4, 5, dtype=dtype), top2(torch.randn(4, 5, dtype=dtype))
    layer = make(IMLE(Fixed(noise), input_noise_temperature=0.5), sense)
    variable = (sign * theta).requires_grad_()
    loss = FenchelYoungLoss(layer, 7, reduction="none")(variable, target)
    perturbed = theta[:, None] + 0.5 * noise
    expected = (perturbed * top2(perturbed)).sum(2).mean(1) - (theta * target).sum(1)
    torch.testing.assert_close(loss.detach(), expected)
    weights = torch.tensor([1.0, 2, 3, 4], dtype=dtype)
    (loss * weights).sum().backward()
    gradient = (top2(perturbed).mean(1) - target) * weights[:, None]
    torch.testing.assert_close(sign * variable.grad, gradient)


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("multiplicative", [False, True])
def test_fenchel_young_perturbs_as_a_perturbed_optimizer_does(sense, multiplicative):
    """Its gradient is that of finite differences of the loss, on the same draws."""
    sign = 1 if sense == "max" else -1
    noise = torch.randn(3, 6, 5, dtype=torch.float64)
    theta, target = torch.rand(3, 5, dtype=torch.float64) + 0.2, top2(torch.randn(3, 5, dtype=torch.float64))

    class Draws(Normal):
        def sample(self, shape, **options):
            return noise

    estimator = PerturbedOptimizer(Draws(), sigma=0.5, multiplicative=multiplicative)
    layer = make(estimator, sense)
    variable = (sign * theta).requires_grad_()
    loss = FenchelYoungLoss(layer, 6, reduction="none")(variable, target)
    perturbed = theta[:, None] * (0.5 * noise - 0.125).exp() if multiplicative else theta[:, None] + 0.5 * noise
    torch.testing.assert_close(loss.detach(), (perturbed * top2(perturbed)).sum(2).mean(1) - (theta * target).sum(1))
    loss.sum().backward()
    factor = perturbed / theta[:, None] if multiplicative else 1.0
    torch.testing.assert_close(sign * variable.grad, (factor * top2(perturbed)).mean(1) - target)


class Shaken(Estimator):
    """Somebody's own estimator, with noise of its own making."""

    def __init__(self, calls=1):
        super().__init__()
        self.noise, self.calls = Gumbel(), calls

    def draw(self, scores, solve, sampling):
        for _ in range(self.calls):
            solved = solve(scores.unsqueeze(1) + 3 * sampling.noise(self.noise, scores), owned=True)
        return solved, ()


@pytest.mark.parametrize(
    "estimator",
    [
        AIMLE(Normal()), AIMLE(Gumbel(), symmetric=True), IMLE(), StraightThrough(), Identity(noise=Normal()),
        IMLE(Gumbel(), num_marginal_samples=3), PerturbedOptimizer(Gumbel(), num_marginal_samples=3), Shaken(),
    ],
    ids=repr,
)  # fmt: skip
def test_fenchel_young_takes_every_estimator_with_noise(estimator):
    layer = make(estimator)
    theta = torch.zeros(50, 5, requires_grad=True)
    target = top2(torch.randn(50, 5))
    FenchelYoungLoss(layer, 4, reduction="sum")(theta, target).backward()
    expected = theta.grad + target
    assert layer.stats().instances == 200
    assert bool(((expected * 4).round() == expected * 4).all())  # a mean of four solutions
    torch.testing.assert_close(expected.sum(1), torch.full((50,), 2.0))
    assert expected.std(0).min() > 0.05


class Plain(Estimator):
    """Somebody's own estimator without any."""


def test_fenchel_young_says_that_it_needs_all_draws_in_one_call():
    with pytest.raises(TypeError, match="solves all 4 draws in one call, which Shaken does not"):
        FenchelYoungLoss(make(Shaken(calls=2)), 4)(torch.zeros(2, 5), torch.zeros(2, 5))


def test_fenchel_young_is_lowest_in_theta_where_the_target_is_expected():
    """Gradient descent on the loss makes the target the expected solution."""
    theta = torch.zeros(1, 5, requires_grad=True)
    target = torch.tensor([[0.0, 1, 1, 0, 0]])
    layer = make()
    loss = FenchelYoungLoss(layer, 20)
    optimizer = torch.optim.SGD([theta], lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        loss(theta, target).backward()
        optimizer.step()
    assert torch.equal(layer.map(theta), target)
    assert float((layer.marginals(theta, 200) - target).detach().abs().max()) < 0.1


@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("given", [True, False])
def test_spo_plus_equals_its_definition(sense, given):
    """Definition 3 for costs, by enumeration; for scores the same problem with signs turned."""
    theta, truth = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    solutions = torch.from_numpy(subsets(5, 2))
    optimal = solutions[(truth @ solutions.T).argmin(1)]
    costs = theta.clone().requires_grad_()
    worst = ((truth - 2 * costs) @ solutions.T).amax(1)
    expected = worst + 2 * (costs * optimal).sum(1) - (truth * optimal).sum(1)
    expected.sum().backward()
    sign = 1 if sense == "min" else -1
    variable = (sign * theta).requires_grad_()
    layer = make(sense=sense)
    loss = SPOPlusLoss(layer, reduction="none")(variable, sign * truth, optimal if given else None)
    torch.testing.assert_close(loss.detach(), expected.detach())
    loss.sum().backward()
    torch.testing.assert_close(sign * variable.grad, costs.grad)
    assert layer.stats().batches == (1 if given else 2)
    regret = (truth * (solutions[(theta @ solutions.T).argmin(1)] - optimal)).sum(1)
    assert bool((loss >= regret - 1e-9).all())


@pytest.mark.slow
@pytest.mark.parametrize("sense", ["max", "min"])
@pytest.mark.parametrize("noise", [Normal(), Gumbel()])
def test_score_function_is_unbiased(sense, noise):
    """Against finite differences of the expectation of a loss that is not differentiable."""
    sign = 1 if sense == "max" else -1
    theta = torch.tensor([0.5, -0.2, 0.3, 0.1], dtype=torch.float64)

    def loss(z):
        return ((z @ torch.tensor([1.0, 2, 4, 8], dtype=z.dtype)) % 5).round()

    def expected(shifted):
        draws = noise.sample((400_000, 4), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return loss(top2(shifted + 0.7 * draws)).mean()

    unit, step = torch.eye(4, dtype=torch.float64), 0.1
    exact = torch.stack([(expected(theta + step * e) - expected(theta - step * e)) / (2 * step) for e in unit])
    layer = SolverLayer(
        TopKAdapter(4, 2, sense),
        estimator=IMLE(noise, input_noise_temperature=0.7),
        generator=torch.Generator().manual_seed(0),
    )
    variable = (sign * theta).repeat(50, 1).requires_grad_()
    value = ScoreFunctionLoss(layer, loss, num_samples=8000)(variable)
    assert float(value.detach()) == pytest.approx(float(expected(theta)), abs=0.02)
    value.backward()
    torch.testing.assert_close(sign * variable.grad.sum(0), exact, rtol=0.05, atol=0.05)


def test_the_baseline_lowers_the_variance():
    def spread(baseline):
        layer = make()
        theta = torch.zeros(300, 5, requires_grad=True)
        ScoreFunctionLoss(layer, lambda z: 100 + z[..., 0], num_samples=8, baseline=baseline)(theta).backward()
        return float(theta.grad.var(0).mean())

    assert spread(True) < 0.01 * spread(False)


@pytest.mark.parametrize("kind", [FenchelYoungLoss, SPOPlusLoss])
def test_reductions_and_single_instances(kind):
    theta, other = torch.randn(4, 5), top2(torch.randn(4, 5))

    def loss(reduction, rows=slice(None)):
        layer = make(QUIET)
        return kind(layer, reduction=reduction)(theta[rows], other[rows])

    each = loss("none")
    assert each.shape == (4,)
    torch.testing.assert_close(loss("mean"), each.mean())
    torch.testing.assert_close(loss("sum"), each.sum())
    torch.testing.assert_close(loss("none", 1), each[1])
    torch.testing.assert_close(loss("mean", 1), each[1])


@pytest.mark.parametrize("kind", [FenchelYoungLoss, SPOPlusLoss])
def test_scalar_instances(kind):
    """The loss of an instance of one entry, bit for bit."""

    def loss(shape, theta, other):
        adapter = function_adapter(lambda theta: (theta > 0) * 1.0, instance_shape=shape)
        generator = torch.Generator().manual_seed(0)
        layer = SolverLayer(adapter, estimator=IMLE(Normal()), num_workers=0, generator=generator)
        return kind(layer, reduction="none")(theta, other)

    theta, other = torch.randn(4, requires_grad=True), torch.rand(4)
    each = loss((), theta, other)
    assert torch.equal(each, loss((1,), theta[:, None], other[:, None]))
    each.sum().backward()
    assert theta.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [FenchelYoungLoss, SPOPlusLoss])
def test_solutions_of_another_shape_are_refused(kind):
    """They could broadcast, to losses that are wrong."""
    layer = SolverLayer(function_adapter(lambda theta: theta.max(keepdims=True), n=3, solution_shape=(1,)))
    with pytest.raises(ValueError, match=r"Loss: expected solutions of theta's shape \(3,\), got \(1,\)"):
        kind(layer)


@pytest.mark.parametrize("kind", [FenchelYoungLoss, SPOPlusLoss])
def test_context_may_be_called_target(kind):
    """As that of shortest paths is; path by path, the adapter's own target gives the same."""
    torch.manual_seed(0)
    costs, other = torch.rand(2, 3, 3), torch.rand(2, 3, 3)
    targets = [(2, 2), (2, 0)]
    ends = torch.tensor([3 * row + column for row, column in targets])
    layer = SolverLayer(ShortestPathAdapter.grid(3, 3), estimator=QUIET, num_workers=0)
    losses = kind(layer, reduction="none")(costs, other, target=ends)
    for row, target in enumerate(targets):
        own = SolverLayer(ShortestPathAdapter.grid(3, 3, target=target), estimator=QUIET, num_workers=0)
        torch.testing.assert_close(losses[row], kind(own)(costs[row], other[row]))


@pytest.mark.parametrize("kind", [FenchelYoungLoss, SPOPlusLoss])
def test_failed_instances_contribute_nothing(kind):
    layer = SolverLayer(StatusAdapter(), estimator=IMLE(Normal()), num_workers=0, on_failure="zero_grad")
    theta = torch.randn(3, 3, requires_grad=True)
    other = torch.randn(3, 3)
    losses = kind(layer, reduction="none")(theta, other, status=torch.tensor([0, 2, 0]))
    losses.sum().backward()
    assert losses[1] == 0
    assert theta.grad[1].abs().sum() == 0
    assert theta.grad[[0, 2]].abs().sum() > 0


@pytest.mark.parametrize("baseline", [False, True])
def test_failed_instances_contribute_nothing_to_an_expected_loss(baseline):
    layer = SolverLayer(StatusAdapter(), estimator=IMLE(Normal()), num_workers=0, on_failure="zero_grad")
    theta = torch.randn(3, 3, requires_grad=True)
    expected = ScoreFunctionLoss(layer, lambda z: 6 + 0 * z.sum(-1), 5, baseline)
    loss = expected(theta, status=torch.tensor([0, 2, 0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(4.0)
    assert theta.grad[1].abs().sum() == 0


@pytest.mark.parametrize(
    ("make_loss", "error", "message"),
    [
        (lambda: FenchelYoungLoss(make(), 0), ValueError, "num_samples must be at least 1"),
        (lambda: FenchelYoungLoss(make(IMLE(None))), TypeError, r"perturbs theta, such as IMLE.*noise=None.*no noise"),
        (lambda: FenchelYoungLoss(make(Blackbox())), TypeError, r"got Blackbox\(lam=10.0\), which has no noise"),
        (lambda: FenchelYoungLoss(make(Identity())), TypeError, "Identity.*which has no noise"),
        (lambda: FenchelYoungLoss(make(Plain())), TypeError, r"got Plain\(\), which has no noise"),
        (
            lambda: FenchelYoungLoss(make(IMLE(Normal(), input_noise_temperature=0.0))),
            ValueError,
            "FenchelYoungLoss: expected an input_noise_temperature above 0",
        ),
        (lambda: FenchelYoungLoss(make(), reduction="max"), ValueError, "expected one of mean, sum, none"),
        (lambda: SPOPlusLoss(make(), "max"), ValueError, "expected one of mean, sum, none"),
        (lambda: ScoreFunctionLoss(make(IMLE(SumOfGamma(2.0))), sum), TypeError, "noise that has a score"),
        (lambda: ScoreFunctionLoss(make(Blackbox()), sum), TypeError, "noise that has a score"),
        (lambda: ScoreFunctionLoss(make(PerturbedOptimizer()), sum), TypeError, "perturbs theta.*PerturbedOpt"),
        (lambda: ScoreFunctionLoss(make(), sum, 1), ValueError, "num_samples must be at least 2, got 1"),
        (
            lambda: ScoreFunctionLoss(make(IMLE(Normal(), input_noise_temperature=0.0)), sum),
            ValueError,
            "input_noise_temperature above 0",
        ),
        (lambda: FenchelYoungLoss(make())(torch.zeros(2, 5), torch.zeros(5)), ValueError, r"theta's shape \(2, 5\)"),
        (lambda: SPOPlusLoss(make())(torch.zeros(2, 5), torch.zeros(5)), ValueError, r"theta's shape \(2, 5\)"),
        (
            lambda: ScoreFunctionLoss(make(), lambda z: z.mean())(torch.zeros(2, 5)),
            ValueError,
            r"losses of shape \(2, 10\), got \(\)",
        ),
    ],
)
def test_bad_arguments(make_loss, error, message):
    with pytest.raises(error, match=message):
        make_loss()


@pytest.mark.parametrize("name", ["fenchel-young", "spo+", "score function"])
def test_theta_that_is_not_finite_is_named(name):
    layer = SolverLayer(top_k(4, 2), estimator=IMLE(Normal()), num_workers=0)
    theta, target = torch.zeros(3, 4), torch.ones(3, 4)
    theta[1, 2] = torch.nan
    loss = {
        "fenchel-young": lambda: FenchelYoungLoss(layer)(theta, target),
        "spo+": lambda: SPOPlusLoss(layer)(theta, target),
        "score function": lambda: ScoreFunctionLoss(layer, lambda z: z.sum(-1))(theta),
    }[name]
    with pytest.raises(ValueError, match="got nan in instance 1 at .2,."):
        loss()


def test_fenchel_young_is_for_solutions_and_means_of_them():
    layer = SolverLayer(ShortestPathAdapter.grid(4, 5), num_workers=0)
    theta = torch.rand(3, 4, 5) + 0.5
    loss = FenchelYoungLoss(layer, 2)
    paths = layer.map(theta)
    loss(theta, (paths + paths.roll(1, 0)) / 2)
    for wrong in (theta + 1, -paths):
        with pytest.raises(ValueError, match=r"target: expected entries from 0 to 1, got .* in instance 0.*the order"):
            loss(theta, wrong)
