"""Adapters are made again from what they say of themselves."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter, ILPAdapter, ILPSpec, ShortestPathAdapter
from imle_solvers import FunctionAdapter, SolverLayer, make_adapter
from tests.cases import CASES, KNAPSACK

MORE = {
    "grid with costs of edges": lambda: ShortestPathAdapter.grid(3, 4, 4, costs="edge", source=(1, 1)),
    "grid of one row": lambda: ShortestPathAdapter.grid(1, 4),
    "parallel edges": lambda: ShortestPathAdapter(nx.MultiGraph([("a", "b"), ("a", "b"), ("b", "c")]), "a", "c"),
    "allowed pairs": lambda: AssignmentAdapter(2, 2, allowed=[[1, 0], [1, 1]]),
    "names and other prices": lambda: ILPAdapter(
        ILPSpec(
            sense="min", shape=2, theta_index=["a", "c"], names=["a", "b", "c"], A_eq=[[1, 1, 1]], b_eq=[1],
            ub=[1, 1, np.inf], fixed_cost=[0.5], objective=[1, 2], offset=3,
        ),
        "glop",
        time_limit=60,
    ),
    "a backend and a gap": lambda: ILPAdapter(ILPSpec(shape=(6,), **KNAPSACK), "scip", relative_gap=0.1),
    "a relaxation": lambda: ILPAdapter(ILPSpec(shape=(6,), **KNAPSACK), relaxed=True),
}  # fmt: skip


def described(name):
    return CASES[name].make() if name in CASES else MORE[name]()


@pytest.mark.parametrize("name", [*(name for name, case in CASES.items() if case.make().description()), *MORE])
def test_they_solve_the_same(name):
    adapter = described(name)
    description = adapter.description()
    again = make_adapter(description["name"], **description["kwargs"])
    assert (type(again), repr(again)) == (type(adapter), repr(adapter))
    assert repr(again.description()) == repr(description)
    theta = torch.rand(5, *adapter.instance_shape, dtype=torch.float64) + 0.1
    ours, theirs = (SolverLayer(each, on_failure="keep", num_workers=0).map(theta) for each in (adapter, again))
    assert torch.equal(ours, theirs)


def test_a_choice_is_kept():
    adapter = ILPAdapter(ILPSpec(shape=(6,), **KNAPSACK))
    SolverLayer(adapter, num_workers=0).map(torch.randn(3, 6))
    kwargs = adapter.description()["kwargs"]
    if adapter.choice is not None:
        assert make_adapter("ilp", **kwargs).choice == adapter.choice
        other = {**kwargs, "backend": {**kwargs["backend"], "ortools": "9.9"}}
        assert make_adapter("ilp", **other).choice is None


def test_others_say_nothing():
    assert FunctionAdapter(lambda theta: theta, sense="min", instance_shape=3).description() is None


@pytest.mark.parametrize(
    ("graph", "said"), [({"edges": [("a", "b")]}, "'edges'"), ({"edges": [], "directed": False}, "at least one edge")]
)
def test_graphs_in_dicts(graph, said):
    with pytest.raises((TypeError, ValueError), match=said):
        ShortestPathAdapter(graph, "a", "b")


def test_matrices_in_dicts():
    with pytest.raises(ValueError, match="data, indices, indptr and shape"):
        ILPSpec(sense="min", shape=2, A_ub={"data": [1.0]}, b_ub=[1])
