"""Losses of solutions: values and gradients by hand, scale, both senses, shapes."""

from __future__ import annotations

import pytest
import torch

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import FunctionAdapter, HammingLoss, RegretLoss, SolverLayer

TOP = SolverLayer(TopKAdapter(5, 2))
CHEAPEST = SolverLayer(TopKAdapter(5, 2, "min"))
Z = torch.tensor([[1.0, 1, 0, 0, 0], [0, 0, 1, 0, 1]])
Y = torch.tensor([[1.0, 0, 0, 1, 0], [0, 0, 1, 0, 1]])


def test_hamming_counts_wrong_entries_and_its_gradient_says_which():
    z = Z.clone().requires_grad_()
    loss = HammingLoss(TOP)(z, Y)
    loss.backward()
    assert float(loss.detach()) == 1.0  # 2 and 0 wrong
    assert torch.equal(z.grad, torch.tensor([[0.0, 1, 0, -1, 0], [0, 0, 0, 0, 0]]) / 2)


@pytest.mark.parametrize("layer", [TOP, CHEAPEST])
@pytest.mark.parametrize("given", [True, False])
def test_regret_is_what_a_solution_costs_more_than_the_best(layer, given):
    sign = 1 if layer.adapter.sense == "min" else -1
    truth = torch.tensor([[0.0, 3, 1, 0, 2], [1, 1, 2, 2, 0]])
    best = layer.map(truth)
    z = Z.clone().requires_grad_()
    losses = RegretLoss(layer, reduction="none")(z, truth, best if given else None)
    expected = sign * ((truth * Z).sum(1) - (truth * best).sum(1))
    torch.testing.assert_close(losses.detach(), expected)
    assert bool((losses >= 0).all())
    assert float(losses.detach().max()) > 0
    losses.mean().backward()
    torch.testing.assert_close(z.grad, sign * truth / 2)
    assert RegretLoss(layer)(best, truth) == 0


@pytest.mark.parametrize("kind", [HammingLoss, RegretLoss])
def test_copies_of_an_instance_or_of_its_samples_change_no_mean(kind):
    loss, other = kind(TOP), torch.rand(2, 5)
    once = loss(Z, other)
    torch.testing.assert_close(loss(Z.repeat(7, 1), other.repeat(7, 1)), once)
    samples = Z.unsqueeze(1).expand(2, 3, 5)
    torch.testing.assert_close(loss(samples, other), once)
    if kind is HammingLoss:
        torch.testing.assert_close(loss(samples, other.unsqueeze(1).expand(2, 3, 5)), once)
    else:
        with pytest.raises(ValueError, match="expected truth without an axis of samples"):
            loss(samples, other.unsqueeze(1).expand(2, 3, 5))
    torch.testing.assert_close(kind(TOP, reduction="sum")(samples, other), 6 * once)
    assert kind(TOP, reduction="none")(samples, other).shape == (2, 3)
    assert kind(TOP, reduction="none")(Z[0], other[0]).shape == ()
    assert kind(TOP, reduction="none")(samples[0], other[0]).shape == (3,)


def test_context_reaches_the_solve_for_the_best():
    layer = SolverLayer(ShortestPathAdapter.grid(3, 3), num_workers=0)
    costs, target = torch.rand(2, 3, 3) + 0.1, torch.tensor([2, 5])
    best = layer.map(costs, target=target)
    assert RegretLoss(layer)(best, costs, target=target) == 0
    assert RegretLoss(layer)(best, costs) < 0  # shorter paths than those to the corner


def test_solutions_of_the_layer_teach_through_them():
    layer = SolverLayer(TopKAdapter(5, 2), num_samples=4, generator=torch.Generator().manual_seed(0))
    for loss, other in ((HammingLoss(layer), Y), (RegretLoss(layer), torch.rand(2, 5))):
        theta = torch.rand(2, 5, requires_grad=True)
        loss(layer(theta), other).backward()
        assert theta.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_solutions_dtype_decides(dtype):
    for loss in (HammingLoss(TOP), RegretLoss(TOP)):
        assert loss(Z.to(dtype), Y).dtype == dtype


@pytest.mark.parametrize("kind", [HammingLoss, RegretLoss])
@pytest.mark.parametrize(
    ("solutions", "other", "message"),
    [
        (torch.zeros(2, 4), Y, r"expected solutions of shape \(B, 5\), or with an axis of samples, got \(2, 4\)"),
        (torch.zeros(2, 1, 1, 5), Y, r"got \(2, 1, 1, 5\)"),
        ([1.0], Y, "got list"),
        (Z, Y[:1], r"of the solutions' shape \(2, 5\), or \(5,\) for all samples of an instance, got \(1, 5\)"),
        (torch.zeros(2, 3, 5), torch.zeros(3, 5), r"\(2, 3, 5\), or \(2, 5\) for all samples of an instance"),
        (Z, None, "got NoneType"),
    ],
)
def test_wrong_shapes(kind, solutions, other, message):
    with pytest.raises(ValueError, match=message):
        kind(TOP)(solutions, other)


def test_what_cannot_be_a_loss_is_refused_where_it_is_made():
    pairs = SolverLayer(FunctionAdapter(lambda theta: theta.sum(), sense="max", instance_shape=(3,), solution_shape=()))
    with pytest.raises(ValueError, match="RegretLoss: expected solutions of theta's shape"):
        RegretLoss(pairs)
    for kind in (HammingLoss, RegretLoss):
        with pytest.raises(TypeError, match="expected a SolverLayer"):
            kind(TopKAdapter(5, 2))
        with pytest.raises(ValueError, match="reduction: expected one of"):
            kind(TOP, reduction="average")


@pytest.mark.parametrize(("kind", "name"), [(HammingLoss, "target"), (RegretLoss, "truth")])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_no_target(kind, name, value):
    other = torch.rand(2, 5)
    other[1, 3] = value
    with pytest.raises(
        ValueError, match=rf"{name}: expected finite values, got {value} in instance 1 at \(3,\); check"
    ):
        kind(TOP)(torch.rand(2, 5), other)


def test_hamming_is_for_solutions_and_means_of_them():
    layer = SolverLayer(ShortestPathAdapter.grid(4, 5), num_workers=0)
    theta = torch.rand(3, 4, 5) + 0.5
    loss = HammingLoss(layer)
    loss(layer.marginals(theta, 4), layer.map(theta))
    with pytest.raises(ValueError, match=r"solutions: expected entries from 0 to 1, .* theta is neither"):
        loss(theta + 1, layer.map(theta))
