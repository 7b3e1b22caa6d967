"""Instances with known optima for the tests of ILPAdapter, from ../shared/data; and brute force."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from imle_adapters.ilp import ILPSpec

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def data(name: str) -> Path:
    """A file of the shared test data; skips the test where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the shared test data is absent: {name}")
    return path


def feasible_points(spec: ILPSpec) -> np.ndarray:
    """All points of a small pure integer program, (k, n)."""
    sides = [np.arange(math.ceil(low), math.floor(high) + 1) for low, high in zip(spec.lb, spec.ub, strict=True)]
    points = np.array(list(itertools.product(*sides)), dtype=np.float64)
    inside = (spec.A_ub @ points.T <= spec.b_ub[:, None] + 1e-9).all(axis=0)
    return points[inside & (np.abs(spec.A_eq @ points.T - spec.b_eq[:, None]) < 1e-9).all(axis=0)]


def best_value(spec: ILPSpec, theta: np.ndarray) -> float:
    """The optimum by brute force of a pure integer program whose variables theta prices, all of them."""
    values = feasible_points(spec) @ theta.ravel()
    return float(values.min() if spec.sense == "min" else values.max())


def knapsack(items: int, rows: int, seed: int = 0) -> ILPSpec:
    """A 0/1 knapsack with integer weights and a capacity of half their sum in each row."""
    weights = np.random.default_rng(seed).integers(5, 60, (rows, items))
    return ILPSpec(sense="max", shape=items, A_ub=weights, b_ub=weights.sum(axis=1) // 2, ub=1, integrality=True)


@st.composite
def programs(draw: st.DrawFn) -> tuple[ILPSpec, np.ndarray]:
    """Feasible integer programs with few points, and theta of any magnitude, with near ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, m_ub, m_eq = draw(st.integers(1, 6)), draw(st.integers(0, 3)), draw(st.integers(0, 1))
    lb = rng.integers(-3, 2, n)
    ub = lb + rng.integers(0, 4, n)
    inside = rng.integers(lb, ub + 1)
    a_ub = rng.integers(-5, 6, (m_ub, n)) / draw(st.sampled_from([1, 1, 4, 10]))
    a_eq = rng.integers(-2, 3, (m_eq, n))
    spec = ILPSpec(
        sense=draw(st.sampled_from(["min", "max"])),
        shape=n,
        A_ub=a_ub,
        b_ub=a_ub @ inside + rng.integers(0, 4, m_ub),
        A_eq=a_eq,
        b_eq=a_eq @ inside,
        lb=lb,
        ub=ub,
        integrality=True,
    )
    ties = rng.integers(-3, 4, n) + rng.integers(-3, 4, n) * 2.0**-26
    theta = draw(st.sampled_from([rng.normal(size=n), ties, rng.integers(-3, 4, n)]))
    return spec, theta * 10.0 ** draw(st.integers(-12, 12))


def covering(sets: int, elements: int, seed: int = 0) -> ILPSpec:
    """Sets to choose, at the least cost, so that each element is in one of them."""
    rng = np.random.default_rng(seed)
    members = (rng.random((elements, sets)) < 0.15).astype(float)
    members[np.arange(elements), rng.integers(0, sets, elements)] = 1
    return ILPSpec(sense="min", shape=sets, A_ub=-members, b_ub=-np.ones(elements), ub=1, integrality=True)


def limited_assignment(n: int, seed: int = 0) -> ILPSpec:
    """An assignment of n to n, of least cost, that must not use more than so much of a resource."""
    rows = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    use = np.random.default_rng(seed).integers(1, 20, (1, n * n))
    limits = {"A_eq": rows, "b_eq": np.ones(2 * n), "A_ub": use, "b_ub": [9 * n]}
    return ILPSpec(sense="min", shape=(n, n), **limits, ub=1, integrality=True)


def mknap1() -> list[tuple[ILPSpec, np.ndarray, float]]:
    """OR-Library's multidimensional knapsacks: spec, theta, optimum."""
    numbers = iter(map(float, data("orlib/mknap1.txt").read_text().split()))
    problems = []
    for _ in range(int(next(numbers))):
        n, m, optimum = int(next(numbers)), int(next(numbers)), next(numbers)
        profits = np.array([next(numbers) for _ in range(n)])
        weights = np.array([next(numbers) for _ in range(n * m)]).reshape(m, n)
        capacities = [next(numbers) for _ in range(m)]
        spec = ILPSpec(sense="max", shape=n, A_ub=weights, b_ub=capacities, ub=1, integrality=True)
        problems.append((spec, profits, optimum))
    return problems


def gap(name: str) -> list[tuple[ILPSpec, np.ndarray]]:
    """OR-Library's generalised assignment: theta (agents, jobs) are profits, each job goes to one agent."""
    numbers = iter(map(int, data(f"orlib/{name}.txt").read_text().split()))
    problems = []
    for _ in range(next(numbers)):
        agents, jobs = next(numbers), next(numbers)
        profits = np.array([next(numbers) for _ in range(agents * jobs)], dtype=float).reshape(agents, jobs)
        loads = np.array([next(numbers) for _ in range(agents * jobs)]).reshape(agents, jobs)
        capacities = [next(numbers) for _ in range(agents)]
        rows = np.zeros((agents, agents, jobs))
        rows[np.arange(agents), np.arange(agents)] = loads
        spec = ILPSpec(
            sense="max",
            shape=(agents, jobs),
            A_ub=rows.reshape(agents, -1),
            b_ub=capacities,
            A_eq=np.tile(np.eye(jobs), agents),
            b_eq=np.ones(jobs),
            ub=1,
            integrality=True,
        )
        problems.append((spec, profits))
    return problems


def miplib_optima() -> dict[str, float]:
    """Optima by name from part A of MIPLIB 3's catalogue."""
    optima: dict[str, float] = {}
    part = data("miplib3/miplib3.cat").read_text().split("INDEX - PART A")[1].split("INDEX - PART B")[0]
    for line in part.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[1].isdigit():
            optima[fields[0]] = float(fields[6].replace(",", ""))
    return optima
