"""Shapes and dtypes of theta, context and solutions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from imle_adapters import TopKAdapter
from imle_solvers import (
    IMLE,
    FunctionAdapter,
    SolverAdapter,
    SolverLayer,
)
from tests.layer.layers import DTYPES, make
from tests.solvers import function_adapter, identity


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [0, 1, 6])
@pytest.mark.parametrize("num_samples", [None, 1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_solutions_have_the_shape_and_dtype_of_theta(adapter, dtype, batch, num_samples, training):
    layer = make(adapter, num_samples=num_samples).train(training)
    theta = torch.randn(batch, 5).to(dtype).requires_grad_()
    z = layer(theta)
    assert z.shape == ((batch, 5) if num_samples is None else (batch, num_samples, 5))
    assert z.dtype == dtype
    assert bool((z.sum(-1) == 2).all())
    (z * torch.arange(5)).sum().backward()
    assert theta.grad.shape == theta.shape
    assert theta.grad.dtype == dtype


@pytest.mark.parametrize("num_samples", [None, 1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_a_single_theta_is_a_batch_of_one_without_its_axis(adapter, num_samples, training):
    theta = torch.randn(5)
    single = make(adapter, num_samples=num_samples).train(training)(theta)
    batch = make(adapter, num_samples=num_samples).train(training)(theta[None])
    assert torch.equal(single, batch[0])


class Mean(SolverAdapter):
    """Whatever theta, the mean of its context."""

    sense = "max"
    instance_shape = 3
    context = {"of": (2,), "offset": ()}
    solution_shape = 1

    def solve(self, state, theta, of=0.0, offset=0.0):
        return [np.mean(of) + offset]


def takes_of(theta, of=None):
    return theta


@pytest.mark.parametrize("shape", [3, (3,), [3], np.int64(3), torch.Size([3])], ids=repr)
def test_a_shape_of_one_side_may_be_a_number(shape):
    given = [FunctionAdapter(takes_of, sense="max", instance_shape=shape, solution_shape=shape, context={"of": shape})]

    class Plain(SolverAdapter):
        sense, instance_shape = "max", shape

        def solve(self, state, theta):
            return theta

    @dataclasses.dataclass(frozen=True)
    class Frozen(SolverAdapter):
        sense: str = "max"
        instance_shape: Any = dataclasses.field(default_factory=lambda: shape)

        def solve(self, state, theta):
            return theta

    for adapter in [*given, Plain(), Frozen()]:
        SolverLayer(adapter, num_workers=0)
        assert adapter.instance_shape == adapter.solution_shape == (3,)
        assert type(adapter.instance_shape) is type(adapter.solution_shape) is tuple
    assert given[0].context == {"of": (3,)}


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_context_without_a_batch_axis_holds_for_all_instances(batch):
    layer, theta = SolverLayer(Mean(), num_workers=0, estimator=IMLE(None)), torch.zeros(batch, 3)
    assert torch.equal(layer(theta, of=[1.0, 3.0]), torch.full((batch, 1), 2.0))
    assert torch.equal(layer(theta, of=torch.ones(2), offset=4), torch.full((batch, 1), 5.0))
    assert torch.equal(layer(torch.zeros(3), of=torch.ones(1, 2), offset=[4]), torch.tensor([5.0]))
    both = layer(torch.zeros(2, 3), of=[[1.0, 3.0], [5.0, 5.0]], offset=1)
    assert both.flatten().tolist() == [3.0, 6.0]


def test_a_mask_for_all_instances():
    layer = SolverLayer(TopKAdapter(4, 2), num_samples=3)
    mask = torch.tensor([True, False, True, True])
    z = layer(torch.randn(5, 4), mask=mask, k=1)
    assert z.sum(-1).eq(1).all()
    assert not z[..., 1].any()


def test_context_of_another_length_than_the_batch():
    layer = SolverLayer(Mean(), num_workers=0)
    message = r"context 'of': expected shape \(4, 2\), or \(2,\) for all instances, got \(3, 2\)"
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(4, 3), of=torch.zeros(3, 2))
    free = SolverLayer(FunctionAdapter(takes_of, sense="max", instance_shape=2, context=["of"]), num_workers=0)
    with pytest.raises(ValueError, match=r"expected shape \(4, \.\.\.\), an entry for each instance, got \(2,\)"):
        free(torch.zeros(4, 2), of=torch.zeros(2))


def test_scalar_instances():
    layer = make(function_adapter(identity, instance_shape=()), estimator=IMLE(None))
    assert torch.equal(layer(torch.tensor([1.0, 2.0])), torch.tensor([1.0, 2.0]))
    assert torch.equal(layer(torch.tensor(3.0)), torch.tensor(3.0))


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_instances_without_entries(shape, batched, batch):
    adapter = function_adapter(identity, instance_shape=shape, batched=batched, binary=True)
    theta = torch.zeros(batch, *shape, requires_grad=True)
    make(adapter, num_samples=2)(theta).sum().backward()
    assert theta.grad.shape == theta.shape


def test_non_contiguous_theta(adapter):
    theta = torch.randn(5, 6).t()
    assert torch.equal(make(adapter)(theta), make(adapter)(theta.contiguous()))


def test_the_solution_may_have_another_shape_than_theta():
    adapter = function_adapter(lambda theta: np.full((2, 2), theta.sum()), n=3, solution_shape=(2, 2))
    layer = make(adapter)
    assert layer.map(torch.ones(4, 3)).shape == (4, 2, 2)
    with pytest.raises(ValueError, match=r"theta's shape.*\(3,\).*\(2, 2\)"):
        layer(torch.ones(4, 3, requires_grad=True))
    with torch.no_grad():
        assert layer(torch.ones(4, 3, requires_grad=True)).shape == (4, 2, 2)
