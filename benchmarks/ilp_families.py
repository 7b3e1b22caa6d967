"""Families of 0/1 programs of a hundred variables and more, as users have them, with random prices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imle_adapters.ilp import ILPSpec

Thetas = NDArray[np.float64]


class Family(NamedTuple):
    """A program, and prices for instances of it."""

    spec: ILPSpec
    thetas: Thetas


def set_cover(columns: int, rows: int, density: float, instances: int) -> Family:
    """Each row is covered by about `density * columns` of the columns, which cost 0.1 to 1.1."""
    random = np.random.default_rng(0)
    matrix = random.random((rows, columns)) < density
    matrix[np.arange(rows), random.integers(columns, size=rows)] = True
    spec = ILPSpec(sense="min", A_ub=-matrix.astype(float), b_ub=-np.ones(rows), integrality=True, ub=1)
    return Family(spec, random.random((instances, columns)) + 0.1)


def multi_knapsack(items: int, limits: int, instances: int) -> Family:
    """Values near the mean weight: what makes knapsacks hard."""
    random = np.random.default_rng(0)
    weights = random.integers(1, 1000, (limits, items)).astype(float)
    spec = ILPSpec(sense="max", A_ub=weights, b_ub=weights.sum(1) // 2, integrality=True, ub=1)
    return Family(spec, weights.mean(0) * (1 + 0.2 * random.random((instances, items))))


def independent_set(nodes: int, density: float, instances: int) -> Family:
    """On a random graph, with weights from 0 to 1."""
    random = np.random.default_rng(0)
    edges = np.argwhere(np.triu(random.random((nodes, nodes)) < density, 1))
    rows = np.zeros((len(edges), nodes))
    np.put_along_axis(rows, edges, 1.0, axis=1)
    spec = ILPSpec(sense="max", A_ub=rows, b_ub=np.ones(len(edges)), integrality=True, ub=1)
    return Family(spec, random.random((instances, nodes)))


def generalised_assignment(agents: int, jobs: int, instances: int) -> Family:
    """Each job to one agent, whose capacity is 0.8 of its share of all weights."""
    random = np.random.default_rng(0)
    weights = random.integers(5, 25, (agents, jobs)).astype(float)
    per_agent = np.kron(np.eye(agents), np.ones((1, jobs))) * weights.reshape(1, -1)
    spec = ILPSpec(
        sense="min",
        A_ub=per_agent,
        b_ub=0.8 * weights.sum(1) / agents,
        A_eq=np.tile(np.eye(jobs), agents),
        b_eq=np.ones(jobs),
        integrality=True,
        ub=1,
    )
    return Family(spec, random.random((instances, agents * jobs)))


def families(instances: int) -> dict[str, Family]:
    """All of them by name, with so many instances each."""
    return {
        "set cover, 200 columns, 100 rows": set_cover(200, 100, 0.05, instances),
        "set cover, 300 columns, 100 rows": set_cover(300, 100, 0.06, instances),
        "multi-knapsack, 35 items, 5 limits": multi_knapsack(35, 5, instances),
        "independent set, 60 nodes": independent_set(60, 0.15, instances),
        "independent set, 120 nodes": independent_set(120, 0.1, instances),
        "generalised assignment, 5 x 20": generalised_assignment(5, 20, instances),
        "generalised assignment, 10 x 40": generalised_assignment(10, 40, instances),
    }
