"""Totally unimodular programs, by family."""

from __future__ import annotations

import numpy as np

from imle_adapters.ilp import ILPSpec


def incidence(nodes: int, arcs: list[tuple[int, int]]) -> np.ndarray:
    """Nodes times arcs: -1 where an arc leaves, 1 where it enters."""
    matrix = np.zeros((nodes, len(arcs)))
    tails, heads = np.array(arcs).T
    matrix[tails, np.arange(len(arcs))], matrix[heads, np.arange(len(arcs))] = -1, 1
    return matrix


def bipartite(rows: int, columns: int) -> np.ndarray:
    """Both sides' nodes times their pairs."""
    return np.vstack([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))])


def cycle(nodes: int) -> np.ndarray:
    """Nodes times edges of an undirected cycle, which is unimodular if it is even."""
    return np.eye(nodes) + np.roll(np.eye(nodes), 1, axis=0)


def intervals(jobs: int, times: int, seed: int = 0) -> np.ndarray:
    """Times times jobs: 1 while a job runs."""
    starts, ends = np.sort(np.random.default_rng(seed).integers(0, times, (jobs, 2)), axis=1).T
    now = np.arange(times)[:, None]
    return ((starts <= now) & (now <= ends)).astype(float)


def path(side: int) -> ILPSpec:
    """From one corner of a grid to the other, along arcs."""
    cells = [(i, j) for i in range(side) for j in range(side)]
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    pairs = [((i, j), (i + di, j + dj)) for i, j in cells for di, dj in steps]
    arcs = [(cells.index(tail), cells.index(head)) for tail, head in pairs if head in cells]
    balance = np.zeros(len(cells))
    balance[0], balance[-1] = -1, 1
    return ILPSpec(sense="min", A_eq=incidence(len(cells), arcs), b_eq=balance, ub=1, integrality=True)


def flow(nodes: int = 40) -> ILPSpec:
    """Balances that some flow satisfies, and capacities, infinite on one arc in four."""
    rng = np.random.default_rng(1)
    arcs = [(i, int(j)) for i in range(nodes) for j in rng.choice(nodes, 5, replace=False) if i != j]
    given_flow, matrix = rng.integers(0, 5, len(arcs)), incidence(nodes, arcs)
    capacities = np.where(rng.random(len(arcs)) < 0.25, np.inf, given_flow + rng.integers(0, 4, len(arcs)))
    return ILPSpec(sense="min", A_eq=matrix, b_eq=matrix @ given_flow, ub=capacities, integrality=True)


def transport() -> ILPSpec:
    demand = np.random.default_rng(0).integers(2, 9, 12)
    rows = bipartite(8, 12)
    limits = {"A_ub": rows[:8], "b_ub": np.full(8, 10), "A_eq": rows[8:], "b_eq": demand}
    return ILPSpec(sense="min", shape=(8, 12), **limits, ub=6, integrality=True)


def b_matching() -> ILPSpec:
    degrees = np.random.default_rng(0).integers(1, 4, 24)
    return ILPSpec(sense="max", shape=(12, 12), A_ub=bipartite(12, 12), b_ub=degrees, ub=1, integrality=True)


def schedule() -> ILPSpec:
    return ILPSpec(sense="max", A_ub=intervals(80, 30), b_ub=np.full(30, 3), ub=1, integrality=True)


FAMILIES = {"path": path(9), "flow": flow(), "transport": transport(), "b-matching": b_matching(), "jobs": schedule()}
