"""What strangers get wrong: what it is done to, and how to compare what they read then."""

from __future__ import annotations

import pytest
import torch

from imle_adapters import (
    ILPSpec,
    ShortestPathAdapter,
    TopKAdapter,
)
from imle_solvers import (
    FunctionAdapter,
    SolverLayer,
)

TOP = TopKAdapter(4, 2)
GRID = ShortestPathAdapter.grid(3, 3)
NAME = "ShortestPathAdapter(3x3 grid, costs of vertices, negative='clamp', backend='compiled')"
KNAPSACK = ILPSpec(sense="max", A_ub=[[2.0, 3.0]], b_ub=[4.0], ub=1, integrality=True)
THETA, COSTS = torch.zeros(2, 4), torch.ones(2, 3, 3)


def solve(function, theta=THETA, batched=False, context=(), **values):
    adapter = FunctionAdapter(function, sense="max", instance_shape=4, batched=batched, context=context)
    return SolverLayer(adapter, num_workers=0)(theta, **values)


def top(theta=THETA, **context):
    return SolverLayer(TOP)(theta, **context)


def paths(theta=COSTS, **context):
    return SolverLayer(GRID, num_workers=0)(theta, **context)


def check_message(use, message):
    """What is raised says this: all of it, or its beginning."""
    with pytest.raises((TypeError, ValueError, RuntimeError)) as raised:
        use()
    assert f"{type(raised.value).__name__}: {raised.value}".startswith(message)
