"""What users get wrong, and what they read then."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter, ILPAdapter, ILPSpec, ShortestPathAdapter, TopKAdapter
from imle_solvers import (
    IMLE,
    ClosedError,
    FunctionAdapter,
    InputError,
    Normal,
    PerturbedOptimizer,
    SolverLayer,
    SumOfGamma,
    Target,
)
from tests.solvers import function_adapter, identity, top_k


@pytest.fixture
def layer():
    return SolverLayer(top_k(5, 2), num_workers=0)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (2, 3, 5), (5, 3)])
def test_theta_of_the_wrong_shape(layer, shape):
    with pytest.raises(ValueError, match=r"expected shape \(B, 5\) or \(5,\) for EnumeratedAdapter.*got \("):
        layer(torch.zeros(shape))


@pytest.mark.parametrize("values", [["a", "b"], np.array([None, None]), [1, [2]], {1, 2}, None], ids=str)
@pytest.mark.parametrize("single", [False, True])
def test_context_that_is_no_numbers(values, single):
    layer = SolverLayer(AssignmentAdapter(2, 2, unmatched=1.0), num_workers=0)
    with pytest.raises(TypeError, match=r"context 'allowed': expected a tensor, or an array or lists of numbers"):
        layer(torch.zeros(2, 2) if single else torch.zeros(2, 2, 2), allowed=values)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_theta_of_the_wrong_dtype(layer, dtype):
    with pytest.raises(TypeError, match=r"floating dtype of at least 16 bits, got torch\."):
        layer(torch.zeros(2, 5, dtype=dtype))


def test_theta_that_is_no_tensor(layer):
    with pytest.raises(TypeError, match=r"expected a torch\.Tensor, got ndarray"):
        layer(np.zeros((2, 5)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_theta_that_is_not_finite(layer, value, dtype):
    theta = torch.zeros(4, 5, dtype=dtype)
    theta[2, 3] = value
    with pytest.raises(ValueError, match=rf"got {value} in instance 2 at \(3,\)"):
        layer(theta)
    assert layer.stats().batches == 0
    with pytest.raises(ValueError, match=rf"got {value} in instance 0 at \(3,\)"):
        layer(theta[2])


WORST = {"min": float("inf"), "max": -float("inf")}


@pytest.mark.parametrize(
    ("adapter", "advice"),
    [
        (TopKAdapter(4, 1), "mask="),
        (TopKAdapter(4, 1, "min"), "mask="),
        (AssignmentAdapter(2, 3), "allowed="),
        (ShortestPathAdapter.grid(2, 2), "blocked="),
        (ShortestPathAdapter.grid(2, 2, costs="edge"), "blocked_edges="),
        (ILPAdapter(ILPSpec(sense="max", shape=3, ub=1)), "ub="),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_infinity_where_an_entry_is_to_be_ruled_out(adapter, advice):
    """The message names context that the adapter has, and only where the sign says that this was meant."""
    assert advice[:-1] in adapter.context
    theta = torch.ones(2, *adapter.instance_shape)
    layer = SolverLayer(adapter, num_workers=0)
    for value in (float("nan"), float("inf"), -float("inf")):
        theta[1].view(-1)[1] = value
        with pytest.raises(ValueError, match=f"got {value} in instance 1 at .*check the network") as raised:
            layer(theta)
        assert (f"rule entries out by {advice}" in str(raised.value)) == (value == WORST[adapter.sense])


class Broken:
    def __init__(self, make):
        self.make = make

    def sample(self, shape, *, generator=None, device=None, dtype=None):
        return self.make(shape)


def test_noise_that_is_not_finite():
    noise = Broken(lambda shape: torch.full(shape, float("inf")))
    with pytest.raises(InputError, match="instance 0, sample 0: theta is not finite after noise"):
        SolverLayer(top_k(5, 2), estimator=IMLE(noise), num_workers=0)(torch.zeros(2, 5))


def test_noise_of_the_wrong_shape():
    noise = Broken(lambda shape: torch.zeros(3))
    with pytest.raises(ValueError, match=r"expected noise of shape \(2, 1, 5\), got \(3,\)"):
        SolverLayer(top_k(5, 2), estimator=IMLE(noise), num_workers=0)(torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "num_samples: expected at least 1, got 0"),
        ({"num_samples": 1.5}, TypeError, "num_samples: expected an int, got 1.5"),
        ({"num_samples": True}, TypeError, "num_samples: expected an int, got True"),
        ({"num_workers": -1}, ValueError, "num_workers must be 0 .in-process. or more, got -1"),
        ({"num_workers": 1.5}, TypeError, "num_workers must be an int or None"),
        ({"executor": "fast"}, ValueError, "unknown executor 'fast'"),
        ({"on_failure": "ignore"}, ValueError, "expected one of raise, zero_grad, keep, got 'ignore'"),
        ({"estimator": Target()}, TypeError, "expected an Estimator such as IMLE"),
        ({"generator": 3}, TypeError, r"expected a torch\.Generator, got 3"),
    ],
)
def test_bad_layer_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        SolverLayer(top_k(5, 2), **kwargs)


def test_use_after_close(layer):
    layer(torch.zeros(2, 5))
    layer.close()
    layer.close()
    with pytest.raises(ClosedError, match="make a new layer"):
        layer(torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FunctionAdapter(3, sense="max", instance_shape=(1,)), TypeError, "expected a function, got int"),
        (lambda: function_adapter(lambda theta, k: 0), TypeError, r"\(theta\), but takes .*'k'; name in context= what"),
        (lambda: function_adapter(identity, context=["k"]), TypeError, r"identity is called with \(theta, k=...\)"),
        (lambda: function_adapter(identity, context="k"), TypeError, r"a list of names as context, such as \['k'\]"),
        (lambda: function_adapter(identity, num_ones=-1), ValueError, "num_ones must be finite and at least 0, got -1"),
        (lambda: function_adapter(identity, sense="maximise"), ValueError, "sense must be \"min\".*got 'maximise'"),
        (lambda: SumOfGamma(k=0), ValueError, 'k must be positive and finite, or "auto", got 0'),
        (lambda: SumOfGamma(k=float("nan")), ValueError, 'k must be positive and finite, or "auto", got nan'),
        (lambda: SumOfGamma(k=3, terms=0), ValueError, "whole number of at least 1, got 0"),
        (lambda: Target(beta=0), ValueError, "beta must be positive and finite, got 0"),
        (lambda: Target(alpha=float("inf")), ValueError, "alpha must be finite"),
        (lambda: IMLE(noise=3), TypeError, "expected noise with a sample method"),
        (lambda: IMLE(noise="gumbel"), TypeError, "expected noise with a sample method"),
        (lambda: IMLE(Normal), TypeError, "expected noise with a sample method.*got <class"),
        (lambda: PerturbedOptimizer(Normal), TypeError, "expected noise with a score.*got <class"),
        (lambda: IMLE(target=Target), TypeError, r"expected a target such as Target\(.*got <class"),
        (lambda: IMLE(Normal(), input_noise_temperature=-1), ValueError, "input_noise_temperature must be finite"),
        (lambda: IMLE(target_noise_temperature=float("nan")), ValueError, "target_noise_temperature must be finite"),
        (lambda: TopKAdapter(3, 4), ValueError, "k must be a whole number from 0 to n=3, got 4"),
        (lambda: TopKAdapter(0, 0), ValueError, "n must be a whole number of at least 1, got 0"),
        (lambda: TopKAdapter(3, 1, "most"), ValueError, "sense must be"),
        (lambda: AssignmentAdapter(0, 3), ValueError, "at least one row and column, got 0 x 3"),
        (lambda: AssignmentAdapter(2, 3, "most"), ValueError, "sense must be"),
        (lambda: AssignmentAdapter(2, 3, allowed=[[True]]), ValueError, r"allowed of shape \(2, 3\), got \(1, 1\)"),
        (lambda: AssignmentAdapter(2, 3, unmatched=[1.0]), ValueError, r"unmatched of shape \(2,\), got \(1,\)"),
        (lambda: AssignmentAdapter(2, 3, unmatched=float("nan")), ValueError, "unmatched must be finite"),
        (lambda: AssignmentAdapter(2, 2, allowed=[[1, 0], [1, 0]]), ValueError, "no complete matching"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_context_that_asks_for_a_gradient():
    layer = SolverLayer(TopKAdapter(4, 2), num_workers=0)
    mask = torch.ones(2, 4, requires_grad=True)
    with pytest.raises(ValueError, match=r"context 'mask' asks for a gradient, but .* theta alone: detach\(\) it"):
        layer(torch.zeros(2, 4), mask=mask)
    layer(torch.zeros(2, 4), mask=mask.detach())
    with torch.no_grad():
        layer(torch.zeros(2, 4), mask=mask)
