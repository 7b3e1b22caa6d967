"""Every adapter once, with instances to solve: the table that general tests run over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import torch

from imle_adapters import (
    AssignmentAdapter,
    ILPAdapter,
    ILPSpec,
    MaxArborescenceAdapter,
    MaxSpanningTreeAdapter,
    ShortestPathAdapter,
    TopKAdapter,
)
from imle_solvers.adapter import SolverAdapter
from tests.solvers import top_k


@dataclass
class Case:
    make: Callable[[], SolverAdapter]
    context: Callable[[int], dict[str, Any]] = field(default=lambda batch: {})
    positive: bool = False
    objective: Callable[..., Any] | None = None

    def theta(self, adapter, batch=6, seed=0):
        generator = torch.Generator().manual_seed(seed)
        theta = torch.randn(batch, *adapter.instance_shape, generator=generator, dtype=torch.float64)
        return theta.abs() + 0.1 if self.positive else theta


KNAPSACK = {"A_ub": [[2.0, 3, 1, 4, 2, 5]], "b_ub": [7.0], "integrality": True, "ub": 1, "sense": "max"}


def dag():
    return nx.DiGraph((i, j) for i in range(6) for j in range(i + 1, 6))


CASES = {
    "knapsack": Case(lambda: ILPAdapter(ILPSpec(shape=(6,), **KNAPSACK))),
    "knapsack with capacities": Case(
        lambda: ILPAdapter(ILPSpec(shape=(2, 3), **KNAPSACK)),
        lambda batch: {"b_ub": torch.arange(batch).double().unsqueeze(1) % 3 + 5},
    ),
    "lp": Case(lambda: ILPAdapter(ILPSpec(shape=(3,), A_ub=np.ones((1, 3)), b_ub=[2.5], ub=1, sense="max"))),
    "shortest path of a grid": Case(lambda: ShortestPathAdapter.grid(4, 5), positive=True),
    "shortest path of a graph": Case(
        lambda: ShortestPathAdapter(nx.petersen_graph(), 0, 7),
        lambda batch: {"target": torch.arange(batch) % 3 + 5},
        positive=True,
    ),
    "shortest path with negative costs": Case(lambda: ShortestPathAdapter(dag(), 0, 5)),
    "shortest path to the right and down": Case(lambda: ShortestPathAdapter.grid(4, 5, directed=True)),
    "spanning tree": Case(lambda: MaxSpanningTreeAdapter(nx.complete_graph(6))),
    "spanning tree of nodes of each instance": Case(
        lambda: MaxSpanningTreeAdapter(nx.complete_graph(6)),
        lambda batch: {"blocked_nodes": torch.arange(6) > 4 + torch.arange(batch)[:, None] % 2},
    ),
    "spanning forest": Case(
        lambda: MaxSpanningTreeAdapter(nx.disjoint_union(nx.cycle_graph(4), nx.path_graph(3)), forest=True)
    ),
    "arborescence": Case(lambda: MaxArborescenceAdapter(nx.complete_graph(5, nx.DiGraph))),
    "arborescence with roots and nodes of each instance": Case(
        lambda: MaxArborescenceAdapter(nx.complete_graph(5, nx.DiGraph), 0),
        lambda batch: {
            "root": torch.arange(batch) % 3,
            "blocked_nodes": torch.arange(5) > 3 + torch.arange(batch)[:, None] % 2,
        },
    ),
    "assignment": Case(lambda: AssignmentAdapter(3, 4)),
    "assignment with unmatched rows": Case(
        lambda: AssignmentAdapter(4, 3, "max", unmatched=0.3),
        objective=lambda theta, z: (theta * z).sum() + 0.3 * (4 - z.sum()),
    ),
    "top-k": Case(
        lambda: TopKAdapter(6, 2, "min"), lambda batch: {"k": torch.arange(batch) % 3, "mask": torch.ones(batch, 6)}
    ),
    "enumeration": Case(lambda: top_k(6, 2)),
}
