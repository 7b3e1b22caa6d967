"""Families of integer programs of a hundred variables and more, as users have them, with random prices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
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


def facility_location(sites: int, customers: int, instances: int) -> Family:
    """Mixed: which sites to open, and what share of a customer each serves. Theta prices both."""
    random = np.random.default_rng(0)
    places, people = random.random((sites, 2)), random.random((customers, 2))
    distances = np.linalg.norm(places[:, None] - people, axis=-1).ravel()
    pairs = sites * customers
    served = np.hstack([np.zeros((customers, sites)), np.tile(np.eye(customers), sites)])
    only_if_open = np.hstack([-np.kron(np.eye(sites), np.ones((customers, 1))), np.eye(pairs)])
    spec = ILPSpec(
        sense="min",
        A_ub=only_if_open,
        b_ub=np.zeros(pairs),
        A_eq=served,
        b_eq=np.ones(customers),
        integrality=np.arange(sites + pairs) < sites,
        ub=1,
    )
    opening = 1.5 + random.random((instances, sites))
    serving = distances * (0.8 + 0.4 * random.random((instances, pairs)))
    return Family(spec, np.hstack([opening, serving]))


def lot_sizing(products: int, periods: int, instances: int) -> Family:
    """Mixed: set-ups, amounts and stocks of products that share a machine. Theta prices set-ups and stocks."""
    random = np.random.default_rng(0)
    n = products * periods
    demand = random.integers(10, 60, (products, periods)).astype(float)
    capacity = 1.3 * demand.sum(0).mean()
    eye = scipy.sparse.identity(n)
    before = scipy.sparse.block_diag([scipy.sparse.eye(periods, k=-1)] * products)
    rest = demand[:, ::-1].cumsum(1)[:, ::-1].ravel()  # of the horizon: no set-up makes more
    only_if_set_up = scipy.sparse.hstack([-scipy.sparse.diags(np.minimum(rest, capacity)), eye, 0 * eye])
    shared = scipy.sparse.hstack(
        [8.0 * _per_period(products, periods), _per_period(products, periods), 0 * _per_period(products, periods)]
    )
    spec = ILPSpec(
        sense="min",
        A_ub=scipy.sparse.vstack([only_if_set_up, shared]),
        b_ub=np.concatenate([np.zeros(n), np.full(periods, capacity + 8.0 * products)]),
        A_eq=scipy.sparse.hstack([0 * eye, eye, before - eye]),
        b_eq=demand.ravel(),
        integrality=np.arange(3 * n) < n,
        ub=np.where(np.arange(3 * n) < n, 1, np.inf),
        theta_index=np.concatenate([np.arange(n), 2 * n + np.arange(n)]),
    )
    return Family(spec, np.hstack([60 + 80 * random.random((instances, n)), 0.5 + random.random((instances, n))]))


def _per_period(products: int, periods: int) -> Any:
    return scipy.sparse.hstack([scipy.sparse.identity(periods)] * products)


def scheduling(jobs: int, machines: int, slots: int, instances: int) -> Family:
    """When and where each job starts, so that machines are never overloaded; theta prices starts by energy used."""
    random = np.random.default_rng(0)
    duration, power = random.integers(2, 8, jobs), random.integers(1, 10, jobs).astype(float)
    load, capacity = random.integers(2, 9, jobs), 12
    release = random.integers(0, slots // 3, jobs)
    due = np.minimum(slots, release + duration + random.integers(slots // 3, slots // 2, jobs))
    starts = [
        (j, m, t) for j in range(jobs) for m in range(machines) for t in range(release[j], due[j] - duration[j] + 1)
    ]
    once = np.zeros((jobs, len(starts)))
    used = np.zeros((machines, slots, len(starts)))
    for column, (job, machine, slot) in enumerate(starts):
        once[job, column] = 1
        used[machine, slot : slot + duration[job], column] = load[job]
    spec = ILPSpec(
        sense="min",
        A_ub=used.reshape(machines * slots, -1),
        b_ub=np.full(machines * slots, capacity),
        A_eq=once,
        b_eq=np.ones(jobs),
        integrality=True,
        ub=1,
    )
    prices = 20 + 10 * np.sin(np.arange(slots) / slots * 4 * np.pi) + 8 * random.random((instances, slots))
    sums = np.concatenate([np.zeros((instances, 1)), prices.cumsum(1)], axis=1)
    job, machine, slot = np.array(starts).T
    return Family(spec, power[job] * (sums[:, slot + duration[job]] - sums[:, slot]) * (1 + 0.05 * machine))


def travelling_salesman(cities: int, instances: int) -> Family:
    """Miller, Tucker and Zemlin's formulation: arcs, which theta prices, and integer positions."""
    random = np.random.default_rng(0)
    arcs = np.array([(i, j) for i in range(cities) for j in range(cities) if i != j])
    count = len(arcs)
    leaving, entering = (scipy.sparse.csr_matrix(np.arange(cities)[:, None] == arcs[:, side]) for side in (0, 1))
    degrees = scipy.sparse.hstack(
        [scipy.sparse.vstack([leaving, entering]), scipy.sparse.csr_matrix((2 * cities, cities))]
    )
    inner = np.flatnonzero((arcs != 0).all(1))  # u_i - u_j + n x_ij <= n - 1
    order = np.zeros((len(inner), count + cities))
    order[np.arange(len(inner)), inner] = cities
    order[np.arange(len(inner)), count + arcs[inner, 0]] = 1
    order[np.arange(len(inner)), count + arcs[inner, 1]] = -1
    spec = ILPSpec(
        sense="min",
        A_ub=order,
        b_ub=np.full(len(inner), cities - 1),
        A_eq=degrees,
        b_eq=np.ones(2 * cities),
        integrality=True,
        ub=np.concatenate([np.ones(count), np.full(cities, cities - 1)]),
        theta_index=np.arange(count),
    )
    places = random.random((cities, 2))
    distances = np.linalg.norm(places[arcs[:, 0]] - places[arcs[:, 1]], axis=1)
    return Family(spec, distances * (0.7 + 0.6 * random.random((instances, count))))


def from_file(path: Path, instances: int) -> Family:
    """A MIPLIB program: the file's own objective, each coefficient times 0.8 to 1.2."""
    whole = ILPSpec.from_mps(path)
    assert whole.objective is not None
    priced = np.flatnonzero(whole.objective)
    factors = np.random.default_rng(0).uniform(0.8, 1.2, (instances, priced.size))
    return Family(ILPSpec.from_mps(path, theta_index=priced), whole.objective[priced] * factors)


def orlib_assignment(path: Path, instances: int) -> Family:
    """The first generalised assignment of an OR-Library file, its profits times 0.9 to 1.1."""
    numbers = iter(map(float, path.read_text().split()))
    next(numbers)
    agents, jobs = int(next(numbers)), int(next(numbers))
    profits, weights = (np.array([next(numbers) for _ in range(agents * jobs)]) for _ in range(2))
    capacity = [next(numbers) for _ in range(agents)]
    spec = ILPSpec(
        sense="max",
        A_ub=np.kron(np.eye(agents), np.ones((1, jobs))) * weights,
        b_ub=capacity,
        A_eq=np.tile(np.eye(jobs), agents),
        b_eq=np.ones(jobs),
        integrality=True,
        ub=1,
    )
    return Family(spec, profits * np.random.default_rng(0).uniform(0.9, 1.1, (instances, profits.size)))


def orlib_knapsack(path: Path, number: int, instances: int) -> Family:
    """The multi-knapsack of this number in an OR-Library file, its profits times 0.9 to 1.1."""
    numbers = iter(map(float, path.read_text().split()))
    for _ in range(int(next(numbers))):
        items, limits, _optimum = int(next(numbers)), int(next(numbers)), next(numbers)
        profits = np.array([next(numbers) for _ in range(items)])
        weights = np.array([next(numbers) for _ in range(items * limits)]).reshape(limits, items)
        capacities = [next(numbers) for _ in range(limits)]
        number -= 1
        if number == 0:
            break
    spec = ILPSpec(sense="max", A_ub=weights, b_ub=capacities, integrality=True, ub=1)
    return Family(spec, profits * np.random.default_rng(0).uniform(0.9, 1.1, (instances, items)))


def energy_knapsack(path: Path, instances: int) -> Family:
    """48 half-hours of a day with energy prices, of which what fits into a tenth of all weights is taken."""
    data = np.load(path, allow_pickle=False)
    weights = data["weights"].astype(float)
    spec = ILPSpec(sense="max", A_ub=weights[None], b_ub=[weights.sum() // 10], integrality=True, ub=1)
    prices = data["y_train"][: instances * weights.size].reshape(instances, weights.size)
    return Family(spec, prices * weights)


def families(instances: int, data: Path | None = None) -> dict[str, Callable[[], Family]]:
    """All of them by name, with so many instances each, to be made when their turn comes.

    Args:
        instances: how many prices each has.
        data: a folder with `miplib3`, `orlib` and `energy_knapsack`, whose programs come too.
    """
    known: dict[str, Callable[[], Family]] = {
        "set cover, 200 columns, 100 rows": lambda: set_cover(200, 100, 0.05, instances),
        "set cover, 300 columns, 100 rows": lambda: set_cover(300, 100, 0.06, instances),
        "multi-knapsack, 35 items, 5 limits": lambda: multi_knapsack(35, 5, instances),
        "independent set, 60 nodes": lambda: independent_set(60, 0.15, instances),
        "independent set, 120 nodes": lambda: independent_set(120, 0.1, instances),
        "generalised assignment, 5 x 20": lambda: generalised_assignment(5, 20, instances),
        "generalised assignment, 10 x 40": lambda: generalised_assignment(10, 40, instances),
        "facility location, 15 x 40": lambda: facility_location(15, 40, instances),
        "lot sizing, 6 x 8": lambda: lot_sizing(6, 8, instances),
        "scheduling, 12 jobs": lambda: scheduling(12, 2, 30, instances),
        "travelling salesman, 12 cities": lambda: travelling_salesman(12, instances),
    }
    if data is not None:
        for path in sorted((data / "miplib3").glob("*.mps.gz")):
            known[f"MIPLIB {path.name.split('.')[0]}"] = functools.partial(from_file, path, instances)
        orlib = data / "orlib"
        known |= {
            "OR-Library gap1": lambda: orlib_assignment(orlib / "gap1.txt", instances),
            "OR-Library gap6": lambda: orlib_assignment(orlib / "gap6.txt", instances),
            "OR-Library mknap1 #7": lambda: orlib_knapsack(orlib / "mknap1.txt", 7, instances),
            "energy knapsack": lambda: energy_knapsack(data / "energy_knapsack" / "Data.npz", instances),
        }
    return known
