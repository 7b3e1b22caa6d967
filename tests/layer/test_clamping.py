"""Costs below zero that are solved as zero: a layer in training says so once, and what to do."""

from __future__ import annotations

import copy
import pickle
import warnings

import networkx as nx
import pytest
import torch

from imle_adapters import ShortestPathAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    FenchelYoungLoss,
    Gumbel,
    Normal,
    PerturbedOptimizer,
    ScoreFunctionLoss,
    SolverLayer,
    SPOPlusLoss,
)

GRID = ShortestPathAdapter.grid(3, 3)
MESSAGE = (
    r"costs of vertices.*33 % of the predicted costs in this batch.*solved as zero.*softplus.*directed=True.*allow"
)


def theta_with(below, rows=4, dtype=torch.float32):
    """The first row of cells of each instance is so far below zero."""
    theta = torch.rand(rows, 3, 3, dtype=dtype) + 0.1
    theta[:, 0] = -below
    return theta.requires_grad_()


def layer_of(adapter=GRID, **options):
    options = {"num_workers": 0, "generator": torch.Generator().manual_seed(0)} | options
    return SolverLayer(adapter, **options)


@pytest.mark.parametrize(
    "estimator", [None, AIMLE(), IMLE(Gumbel(), input_noise_temperature=0.1), PerturbedOptimizer()]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_on_costs_below_zero_warns_once(estimator, dtype):
    layer = layer_of(estimator=copy.deepcopy(estimator))
    with pytest.warns(RuntimeWarning, match=MESSAGE) as caught:
        layer(theta_with(50.0, dtype=dtype)).sum().backward()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    before = layer.stats().counters["clamped costs"]
    layer(theta_with(50.0)).sum().backward()
    assert layer.stats().counters["clamped costs"] > before


@pytest.mark.parametrize(
    "loss",
    [
        lambda layer, theta: FenchelYoungLoss(layer)(theta, torch.zeros(4, 3, 3)),
        lambda layer, theta: SPOPlusLoss(layer)(theta, torch.rand(4, 3, 3)),
        lambda layer, theta: ScoreFunctionLoss(layer, lambda z: z.flatten(2).sum(2))(theta),
        lambda layer, theta: layer.marginals(theta, 3).sum(),
        lambda layer, theta: layer.sample(theta, 3).sum(),
    ],
)
def test_losses_and_samples_warn_where_they_are_called(loss):
    layer = layer_of(estimator=IMLE(Normal(), input_noise_temperature=0.1))
    with pytest.warns(RuntimeWarning, match=MESSAGE) as caught:
        loss(layer, theta_with(50.0)).backward()
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_workers_leave_it_to_the_users_process(executor):
    backend = "compiled" if executor == "threads" else "scipy"
    adapter = ShortestPathAdapter.grid(3, 3, backend=backend)
    with layer_of(adapter, executor=executor, num_workers=2) as layer:
        with pytest.warns(RuntimeWarning, match="33 % of the predicted costs") as caught:
            layer(theta_with(50.0, rows=6)).sum().backward()
        assert [warning.filename for warning in caught] == [__file__]
        layer(theta_with(50.0, rows=6)).sum().backward()


def test_noise_and_steps_below_zero_are_counted_only():
    """They are no fault of the network's: the statistics have them."""
    layer = layer_of(estimator=IMLE(Normal()))
    layer(theta_with(-0.1)).sum().backward()
    assert layer.stats().counters["clamped costs"] > 0


def test_other_layers_are_silent():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        evaluated = layer_of().eval()
        evaluated(theta_with(1.0))
        assert evaluated.stats().counters["clamped costs"] == 12
        training = layer_of()
        training.map(theta_with(1.0).detach())  # data
        assert training.stats().counters["clamped costs"] == 12
        training(torch.zeros(2, 3, 3, requires_grad=True)).sum().backward()
        blocked = torch.zeros(4, 3, 3)
        blocked[:, 0, 1:] = 1
        theta = theta_with(1.0)
        training(torch.where(blocked.bool(), theta, theta.abs()), blocked=blocked).sum().backward()
        for graph in (nx.DiGraph([(0, 1), (1, 2), (0, 2)]), nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2)])):
            adapter = ShortestPathAdapter(graph, 0, 2, negative="allow")
            theta = torch.full((2, len(adapter.edges)), 5.0, requires_grad=True)
            with torch.no_grad():
                theta[:, 0] = -1
            exact = layer_of(adapter, estimator=IMLE(Normal(), input_noise_temperature=0.1))
            exact(theta).sum().backward()
            assert exact.stats().counters["clamped costs"] == 0
    assert [str(warning.message) for warning in caught] == []


def test_copies_and_pickles_of_a_layer_remember():
    layer = layer_of(generator=None)
    with pytest.warns(RuntimeWarning, match="predicted costs"):
        layer(theta_with(50.0)).sum().backward()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other(theta_with(50.0)).sum().backward()
