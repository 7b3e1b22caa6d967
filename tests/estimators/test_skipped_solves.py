"""Solves whose result is known are not done: the result is that of solving."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imle_adapters import ILPAdapter, ILPSpec, ShortestPathAdapter
from imle_solvers import AIMLE, IMLE, HammingTarget, Normal, Relative, SolverLayer, Status, Target
from imle_solvers.adapter import Parallelism, claims_binary
from imle_solvers.estimators.base import Solved
from imle_solvers.estimators.certificate import _find_on_device, find_known
from imle_solvers.pytorch.blocks import rows_at_once
from imle_solvers.solving.batch_solver import KNOWN
from tests.cases import CASES
from tests.solvers import StatusAdapter, function_adapter, top_k

ESTIMATORS = {
    "imle": lambda **kw: IMLE(Normal(), Target(beta=0.7), input_noise_temperature=1.0, **kw),
    "imle, relative": lambda **kw: IMLE(Normal(), Target(beta=Relative(0.2)), **kw),
    "imle, other temperature": lambda **kw: IMLE(
        Normal(), Target(beta=0.7), input_noise_temperature=1.0, target_noise_temperature=0.3, **kw
    ),
    "imle, alpha of a half": lambda **kw: IMLE(Normal(), Target(alpha=0.5, beta=0.7), **kw),
    "imle, Hamming target": lambda **kw: IMLE(Normal(), HammingTarget(), **kw),
    "imle, means of three": lambda **kw: IMLE(Normal(), Target(beta=0.7), num_marginal_samples=3, **kw),
    "aimle": lambda **kw: AIMLE(Normal(), initial_beta=0.4, **kw),
    "aimle, symmetric": lambda **kw: AIMLE(Normal(), initial_beta=0.4, symmetric=True, **kw),
}


def gradients(make, theta, downstream, estimator, context=None, **kwargs):
    """The gradient with and without skipping, and the layer that skipped."""
    results = []
    for skip in (False, True):
        layer = SolverLayer(
            make(),
            estimator=estimator(skip_known=skip),
            num_samples=3,
            num_workers=0,
            generator=torch.Generator().manual_seed(0),
            **kwargs,
        )
        variable = theta.clone().requires_grad_()
        z = layer(variable, **(context or {}))
        downstream(z).backward()
        results.append(variable.grad)
    return *results, layer


def hamming(label):
    """Hamming's loss to a label, one for each instance; its gradient is one where the label is not set, else -1."""

    def loss(z):
        return (z * (1 - label.unsqueeze(1)) + (1 - z) * label.unsqueeze(1)).sum()

    return loss


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_solving_everything(case, name):
    adapter = CASES[case].make()
    theta = CASES[case].theta(adapter, batch=8)
    context = CASES[case].context(8)
    if CASES[case].positive:
        theta = theta + 20  # so that steps stay clear of negative costs
    label = SolverLayer(adapter, num_workers=0).map(theta, **context)
    label[4:] = label[4:].flip(0)
    full, skipped, layer = gradients(CASES[case].make, theta, hamming(label), ESTIMATORS[name], context)
    assert torch.equal(full, skipped)
    binary = adapter.parallelism is not Parallelism.DEVICE and claims_binary(adapter, context)
    if name in ("imle", "aimle") and binary:
        assert layer.stats().counters[KNOWN] > 0
    assert binary or KNOWN not in layer.stats().counters


def test_batches_of_several_blocks():
    """A block has 151 instances of 3 x 144 entries, or 455 of their rows, and each must get what is its own."""
    torch.manual_seed(0)
    theta = 6 + 100 * torch.rand(350, 12, 12)
    label = SolverLayer(ShortestPathAdapter.grid(12, 12), num_workers=0).map(theta)
    label[:40] = label[:40].flip(0)
    assert len(label) > rows_at_once(label, 3 * 144)
    make = functools.partial(ShortestPathAdapter.grid, 12, 12)
    full, skipped, layer = gradients(make, theta, hamming(label), ESTIMATORS["imle"])
    assert torch.equal(full, skipped)
    assert rows_at_once(label, 144) < layer.stats().counters[KNOWN] < 3 * 350
    small, _, _ = gradients(make, theta[:1], hamming(label[:1]), ESTIMATORS["imle"])
    assert torch.equal(full[:1], small)  # the first draws of noise are the same


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-1.0, 1.0]), st.floats(0.01, 5.0))
def test_any_step_that_favours_a_solution_leaves_it_optimal(seed, sign, size):
    """The statement of the certificate, against enumeration."""
    rng = np.random.default_rng(seed)
    solutions = rng.integers(0, 2, (12, 6)).astype(float)
    scores = rng.normal(size=6)
    best = solutions[(solutions @ scores).argmax()]
    step = size * np.abs(rng.normal(size=6)) * np.where(best == 1, 1, -1) * (rng.random(6) < 0.7)
    assert ((solutions @ (scores + step)).max() - best @ (scores + step)) <= 1e-12
    layer = SolverLayer(
        function_adapter(lambda theta: solutions[(solutions @ theta).argmax()], n=6, binary=True),
        estimator=IMLE(None, lambda scores, dz: scores - dz),
        num_workers=0,
    )
    theta = torch.from_numpy(scores[None]).requires_grad_()
    layer(theta).backward(torch.from_numpy(-step[None]))
    assert (theta.grad == 0).all()
    assert layer.stats().counters[KNOWN] == 1


def test_what_is_known_is_not_solved():
    """Once samples equal their labels nothing is solved backward; where dL/dz is zero, neither."""
    layer = SolverLayer(top_k(5, 2), estimator=IMLE(None), num_workers=0)
    theta = torch.randn(6, 5, requires_grad=True)
    z = layer(theta)
    hamming(z.detach())(z.unsqueeze(1)).backward()
    assert layer.stats().instances == 12
    assert layer.stats().counters[KNOWN] == 6
    assert layer.stats().solve_times.bins.total() == 6
    assert (theta.grad == 0).all()
    layer(theta).backward(torch.zeros(6, 5))
    assert layer.stats().counters[KNOWN] == 12


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_steps_that_are_not_finite_are_never_known(value):
    layer = SolverLayer(top_k(5, 2), estimator=IMLE(None), num_workers=0)
    theta = torch.randn(3, 5, requires_grad=True)
    z = layer(theta)
    dz = torch.zeros(3, 5)
    dz[1] = torch.where(z[1].detach() == 1, -1.0, 1.0) * value
    z.backward(dz)
    assert theta.grad[1].isnan().all()
    assert (theta.grad[[0, 2]] == 0).all()


def test_a_sample_that_failed_is_not_known():
    class Fails(StatusAdapter):
        def is_binary(self, context):
            return True

    layer = SolverLayer(Fails(), estimator=IMLE(None), num_workers=0, on_failure="zero_grad")
    theta = torch.ones(2, 3, requires_grad=True)
    layer(theta, status=torch.tensor([0, int(Status.INFEASIBLE)])).sum().backward()
    assert layer.stats().statuses[Status.INFEASIBLE] == 2
    assert (theta.grad[1] == 0).all()


@pytest.mark.parametrize(
    "claim", [True, False, np.True_, lambda self, context: "b" not in context], ids=["yes", "no", "numpy", "method"]
)
@pytest.mark.parametrize("context", [{}, {"b": torch.zeros(2)}], ids=["", "b"])
def test_an_adapter_claims_to_be_binary_by_an_attribute_or_a_method(claim, context):
    class Claims(StatusAdapter):
        is_binary = claim
        context = {"b": ()}

        def solve(self, state, theta, b=0):
            return (theta > 0).astype(float)

    layer = SolverLayer(Claims(), estimator=IMLE(None), num_workers=0)
    z = layer(torch.randn(2, 3, requires_grad=True), **context)
    hamming(z.detach())(z.unsqueeze(1)).backward()
    expected = claim(None, context) if callable(claim) else claim
    assert layer.stats().counters[KNOWN] == (2 if expected else 0)


@pytest.mark.parametrize(("status", "known"), [(Status.OPTIMAL, 2), (Status.FEASIBLE, 0)])
def test_nothing_follows_from_a_solution_that_need_not_be_optimal(status, known):
    adapter = function_adapter(lambda theta: ((theta > 0).astype(float), status), n=3, binary=True)
    layer = SolverLayer(adapter, estimator=IMLE(None), num_workers=0, on_failure="keep")
    z = layer(torch.randn(2, 3, requires_grad=True))
    hamming(z.detach())(z.unsqueeze(1)).backward()
    assert layer.stats().counters[KNOWN] == known


def test_which_programs_are_binary():
    knapsack = {"shape": (3,), "A_ub": [[2.0, 3, 1]], "b_ub": [4.0], "sense": "max"}
    binary = ILPAdapter(ILPSpec(**knapsack, ub=1, integrality=True))
    assert binary.is_binary({})
    assert not binary.is_binary({"ub": np.ones((1, 3))})
    assert not ILPAdapter(ILPSpec(**knapsack, ub=2, integrality=True)).is_binary({})
    assert not ILPAdapter(ILPSpec(**knapsack, ub=1, integrality=[True, True, False])).is_binary({})


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([None, 0.0, 1.0, 0.01, 0.3]),
    st.sampled_from([1, 15, 16, 33, 150]),
)
def test_the_compiled_certificate_is_that_of_tensors(seed, dtype, temperature, entries):
    generator = torch.Generator().manual_seed(seed)
    batch, draws, where = 4, 3, {"generator": generator, "dtype": dtype}
    scores = torch.randn(batch, entries, **where)
    noise = None if temperature is None else torch.randn(batch, draws, entries, **where)
    values = torch.randint(0, 2, (batch, draws, entries), **where)
    before = scores.unsqueeze(1) if noise is None else torch.add(scores.unsqueeze(1), noise, alpha=temperature)
    size = torch.rand(batch, draws, entries, **where).mul_(
        torch.randint(0, 2, before.shape[:1], **where)[:, None, None]
    )
    target = before + size * (2 * values - 1)
    for value in (0.0, -0.0, torch.nan, torch.inf, -torch.inf, 1e30):  # in half of the draws somewhere, or not at all
        for tensor in (target, values, scores) if noise is None else (target, values, scores, noise):
            if torch.rand((), generator=generator) < 0.05:
                tensor.view(-1)[torch.randint(tensor.numel(), (1,), generator=generator)] = value
    fails = torch.rand(batch, draws, generator=generator) < 0.2
    solved = Solved(values, None if seed % 2 else ~fails)
    arguments = temperature or 0.0, scores, target, values, *([noise] if temperature else [])
    expected = _find_on_device(*arguments)
    found = find_known(target, scores, noise, temperature or 0.0, solved)
    none = torch.zeros(batch, draws, dtype=torch.bool)
    expected = none if expected is None else expected if solved.ok is None else expected & solved.ok
    assert torch.equal(none if found is None else found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_of_zero_is_known_whatever_the_temperature(dtype):
    """The kernel must round as torch does, or scores that are the same would differ in their last bits."""
    scores, noise = torch.randn(50, 7, 13, dtype=dtype), torch.randn(50, 3, 7, 13, dtype=dtype)
    values = torch.randint(0, 2, noise.shape).to(dtype)
    for temperature in (1.0, 0.01, 0.3, 7.7):
        target = torch.add(scores.unsqueeze(1), noise, alpha=temperature)
        known = find_known(target, scores, noise, temperature, Solved(values, None))
        assert known is not None and known.all()


def test_the_certificate_takes_tensors_of_any_strides():
    scores = torch.randn(13, 5).t()
    values = torch.ones(13, 5).t().unsqueeze(1)
    target = (scores + 1).unsqueeze(1)
    for noise in (None, torch.zeros(1).expand(5, 1, 13)):
        known = find_known(target, scores, noise, 1.0, Solved(values, None))
        assert known is not None and known.all()
    assert find_known(target[:, :, ::2] - 2, scores[:, ::2], None, 1.0, Solved(values[:, :, ::2], None)) is None


def test_gradients_through_a_retained_graph_are_the_same_twice():
    """A backward pass lets go of what it has used, but not of what another one will need."""
    layer = SolverLayer(ShortestPathAdapter.grid(4, 4), num_samples=3, num_workers=0)
    theta = torch.rand(5, 4, 4, requires_grad=True)
    z = layer(theta)
    dz = torch.randn(z.shape)
    gradients = [torch.autograd.grad(z, theta, dz, retain_graph=again)[0] for again in (True, True, False)]
    assert torch.equal(gradients[0], gradients[1]) and torch.equal(gradients[0], gradients[2])
    assert gradients[0].any()
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(z, theta, dz)
