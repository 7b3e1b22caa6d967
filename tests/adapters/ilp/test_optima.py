"""ILPAdapter finds the optimum: brute force on small programs, published optima, a second solver on larger ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers.status import Status
from tests.adapters.ilp.instances import (
    best_value,
    data,
    feasible_points,
    gap,
    knapsack,
    miplib_optima,
    mknap1,
    programs,
)

INTEGER_BACKENDS = ("scip", "cbc", "cp_sat", "highs")


def solve(spec: ILPSpec, theta: np.ndarray, backend: str = "auto", **context: np.ndarray) -> np.ndarray:
    adapter = ILPAdapter(spec, backend)
    z, status = adapter.solve(adapter.build(), theta, **context)
    assert status is Status.OPTIMAL
    return z


def test_usage_of_the_readme() -> None:
    spec = ILPSpec(shape=(4,), A_ub=[[2.0, 3.0, 1.0, 4.0]], b_ub=[5.0], integrality=True, lb=0, ub=1, sense="max")
    assert solve(spec, np.array([4.0, 5.0, 3.0, 7.0])).tolist() == [0, 0, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
@settings(max_examples=40, deadline=None)
@given(case=programs())
def test_brute_force_on_small_programs(backend: str, case: tuple[ILPSpec, np.ndarray]) -> None:
    spec, theta = case
    z = solve(spec, theta, backend)
    assert (feasible_points(spec) == z).all(axis=1).any()
    assert abs(z @ theta - best_value(spec, theta)) <= 1e-12 * np.abs(theta).max()


def test_all_corners_of_a_small_knapsack() -> None:
    spec = knapsack(5, 2)
    adapter = ILPAdapter(spec)
    state = adapter.build()
    for theta in np.stack(np.meshgrid(*[[-1.0, 0.5, 2.0]] * 5), axis=-1).reshape(-1, 5):
        z, _ = adapter.solve(state, theta)
        assert z @ theta == best_value(spec, theta)


@pytest.mark.parametrize("magnitude", [1e-300, 1e-9, 1.0, 1e9, 1e300, 3e307])
@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_the_magnitude_of_theta_does_not_matter(backend: str, magnitude: float) -> None:
    spec = knapsack(10, 2)
    theta = np.random.default_rng(1).normal(size=10) + 2
    z = solve(spec, theta * magnitude, backend)
    assert z @ theta == pytest.approx(best_value(spec, theta), rel=1e-15)


def test_the_gap_is_zero_on_knapsacks_where_a_gap_of_1e_4_is_not() -> None:
    spec = knapsack(32, 2)
    adapters = [ILPAdapter(spec, backend) for backend in ("cp_sat", "cbc")]
    states = [adapter.build() for adapter in adapters]
    for theta in np.random.default_rng(5).gumbel(size=(8, 32)) + 3:
        values = [adapter.solve(state, theta)[0] @ theta for adapter, state in zip(adapters, states, strict=True)]
        assert values[0] == pytest.approx(values[1], rel=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bell5", "egout", "enigma", "flugpl", "gt2", "misc03", "p0033", "rgn", "stein27"])
def test_miplib(name: str) -> None:
    spec = ILPSpec.from_mps(data(f"miplib3/{name}.mps.gz"))
    z = solve(spec, spec.objective)
    # The catalogue rounds to about six digits.
    assert z @ spec.objective + spec.offset == pytest.approx(miplib_optima()[name], rel=2e-6, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"),
    [("egout", "cbc"), ("gt2", "cbc"), ("p0033", "cbc"), ("rgn", "cbc")]
    + [(name, "highs") for name in ("bell5", "egout", "flugpl", "gt2", "p0033", "rgn")]
    + [(name, "cp_sat") for name in ("enigma", "p0033", "stein27")],
)
def test_miplib_with_the_other_backends(name: str, backend: str) -> None:
    spec = ILPSpec.from_mps(data(f"miplib3/{name}.mps.gz"))
    z = solve(spec, spec.objective, backend)
    assert z @ spec.objective + spec.offset == pytest.approx(miplib_optima()[name], rel=2e-6, abs=1e-9)


@pytest.mark.parametrize("problem", range(6))
def test_mknap1(problem: int) -> None:
    spec, profits, optimum = mknap1()[problem]
    assert solve(spec, profits) @ profits == pytest.approx(optimum, rel=1e-12)


def test_mknap1_published_optima() -> None:
    assert [optimum for _, _, optimum in mknap1()[:3]] == [3800, 8706.1, 4015]


@pytest.mark.parametrize(("problem", "optimum"), list(enumerate([336, 327, 339, 341, 326])))
def test_gap1(problem: int, optimum: int) -> None:
    spec, profits = gap("gap1")[problem]
    z = solve(spec, profits)
    assert (z * profits).sum() == optimum
    assert (z.sum(axis=0) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["burma14", "gr17", "ulysses16", "fri26", "att48", "berlin52"])
def test_tsplib_by_a_cut_loop(name: str) -> None:
    """The 2-matching relaxation, with a row for each subtour found, until there is none."""
    costs = distances(data(f"tsplib/{name}.tsp"))
    n = len(costs)
    tails, heads = np.triu_indices(n, 1)
    degree = np.zeros((n, tails.size))
    degree[tails, np.arange(tails.size)] = degree[heads, np.arange(tails.size)] = 1
    theta, cuts, sides = costs[tails, heads], [], []
    while True:
        spec = ILPSpec(
            sense="min",
            shape=tails.size,
            A_ub=np.array(cuts) if cuts else None,
            b_ub=sides if cuts else None,
            A_eq=degree,
            b_eq=np.full(n, 2),
            ub=1,
            integrality=True,
        )
        z = solve(spec, theta)
        chosen = z == 1
        graph = scipy.sparse.coo_matrix((z[chosen], (tails[chosen], heads[chosen])), shape=(n, n))
        count, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
        if count == 1:
            break
        for tour in range(count):
            inside = labels == tour
            cuts.append((inside[tails] & inside[heads]).astype(float))
            sides.append(inside.sum() - 1)
    lengths = dict(line.split(":") for line in data("tsplib/solutions").read_text().splitlines() if ":" in line)
    optima = {key.strip(): int(value.split()[0]) for key, value in lengths.items()}
    assert z @ theta == optima[name]


def distances(path: Path) -> np.ndarray:
    """Distances of a TSPLIB file of type EUC_2D, ATT, GEO, or EXPLICIT with LOWER_DIAG_ROW (TSPLIB95, section 2)."""
    head, _, body = path.read_text().partition("SECTION")
    numbers = body.split("EOF")[0].split()
    n = int(head.split("DIMENSION")[1].lstrip(" :").split()[0])
    if "LOWER_DIAG_ROW" in head:
        matrix = np.zeros((n, n))
        matrix[np.tril_indices(n)] = [float(number) for number in numbers[: n * (n + 1) // 2]]
        return matrix + matrix.T
    points = np.array(numbers, dtype=float).reshape(n, 3)[:, 1:]
    squares = ((points[:, None] - points) ** 2).sum(-1)
    if "EUC_2D" in head:
        return np.floor(np.sqrt(squares) + 0.5)
    if "ATT" in head.split("EDGE_WEIGHT_TYPE")[1]:
        return np.ceil(np.sqrt(squares / 10))  # TSPLIB rounds to the nearest, and adds one where that was down
    degrees = np.trunc(points)
    latitude, longitude = (3.141592 * (degrees + 5.0 * (points - degrees) / 3.0) / 180.0).T
    q1 = np.cos(longitude[:, None] - longitude)
    q2 = np.cos(latitude[:, None] - latitude)
    q3 = np.cos(latitude[:, None] + latitude)
    return np.trunc(6378.388 * np.arccos(np.clip(0.5 * ((1 + q1) * q2 - (1 - q1) * q3), -1, 1)) + 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["auto", "cbc", "highs"])
def test_mixed_programs_against_scipy(backend: str) -> None:
    """HiGHS inside SciPy is a library of its own, with no symbols to clash with those of OR-Tools."""
    rng = np.random.default_rng(11)
    for _ in range(5):
        n, m = 25, 10
        a, whole = rng.integers(-3, 9, (m, n)), rng.random(n) < 0.5
        spec = ILPSpec(sense="max", shape=n, A_ub=a, b_ub=a.sum(axis=1), ub=3, integrality=whole)
        theta = rng.normal(size=n) + 1
        rows = scipy.optimize.LinearConstraint(a, ub=a.sum(axis=1))
        reference = scipy.optimize.milp(
            -theta, integrality=whole, bounds=(0, 3), constraints=rows, options={"mip_rel_gap": 0.0}
        )
        z = solve(spec, theta, backend)
        assert z @ theta == pytest.approx(-reference.fun, rel=1e-7)
        assert (z[whole] == np.rint(z[whole])).all()


@pytest.mark.parametrize("backend", ["glop", "scip", "highs", "cbc"])
def test_linear_programs_against_scipy(backend: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        a, b, theta = rng.random((15, 30)), rng.random(15) + 1, rng.normal(size=30) + 0.5
        spec = ILPSpec(sense="max", shape=30, A_ub=a, b_ub=b, ub=0.7)
        reference = scipy.optimize.linprog(-theta, A_ub=a, b_ub=b, bounds=(0, 0.7))
        assert solve(spec, theta, backend) @ theta == pytest.approx(-reference.fun, rel=1e-9)


def test_assignment_of_thirty_against_scipy() -> None:
    n = 30
    costs = np.random.default_rng(2).random((n, n))
    rows = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    spec = ILPSpec(sense="min", shape=(n, n), A_eq=rows, b_eq=np.ones(2 * n), ub=1, integrality=True)
    z = solve(spec, costs)
    assert z[scipy.optimize.linear_sum_assignment(costs)].all()
    assert z.sum() == n == ILPAdapter(spec).num_ones


def test_float32_theta_in_two_dimensions() -> None:
    spec = ILPSpec(sense="max", shape=(2, 3), A_eq=np.ones((1, 6)), b_eq=[2], ub=1, integrality=True)
    adapter = ILPAdapter(spec)
    thetas = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    solutions = adapter.solve_batch(adapter.build(), thetas, {})
    top = np.argsort(-thetas.reshape(7, 6), axis=1)[:, :2]
    expected = np.zeros((7, 6), dtype=np.float32)
    np.put_along_axis(expected, top, 1, axis=1)
    assert solutions.values.dtype == np.float32
    assert (solutions.values == expected.reshape(7, 2, 3)).all()
    assert (solutions.statuses == Status.OPTIMAL).all()
    assert adapter.num_ones == 2


@pytest.mark.parametrize("backend", ["scip", "cbc", "highs", "glop"])
def test_programs_without_rows_and_with_free_variables(backend: str) -> None:
    assert solve(ILPSpec(sense="max", shape=1, lb=-2, ub=3), np.array([-1.0]), backend).tolist() == [-2]
    free = ILPSpec(sense="min", shape=2, A_eq=[[1, 1]], b_eq=[-3], lb=-np.inf, A_ub=[[1, -1]], b_ub=[1])
    assert solve(free, np.array([-1.0, 0.0]), backend) == pytest.approx([-1, -2])


def test_theta_prices_some_variables_and_fixed_cost_the_others() -> None:
    """One facility at 3 or one at 1 must open; what theta says of serving decides."""
    spec = ILPSpec(
        sense="min",
        A_ub=[[-1, 0, 1, 0], [0, -1, 0, 1]],
        b_ub=[0, 0],
        A_eq=[[0, 0, 1, 1]],
        b_eq=[1],
        ub=1,
        integrality=True,
        theta_index=[2, 3],
        fixed_cost=[3, 1],
    )
    assert solve(spec, np.array([0.0, 1.5])).tolist() == [0, 1]
    assert solve(spec, np.array([0.0, 2.5])).tolist() == [1, 0]
    swapped = ILPSpec(sense="min", A_eq=[[0, 0, 1, 1]], b_eq=[1], ub=1, integrality=True, theta_index=[[3], [2]])
    assert solve(swapped, np.array([[1.0], [2.0]])).tolist() == [[1], [0]]


def test_integers_are_exact_where_rounding_breaks_a_big_m_row() -> None:
    """With x <= 1e6 y a solver may keep y at 1e-7 and x at 0.1; the answer must not."""
    spec = ILPSpec(sense="max", shape=2, A_ub=[[1.0, -1e6]], b_ub=[0], ub=[0.1, 1], integrality=[False, True])
    for backend in ("scip", "cbc", "highs"):
        assert solve(spec, np.array([1.0, -0.2]), backend).tolist() == [0, 0]
        assert solve(spec, np.array([1.0, -0.05]), backend).tolist() == [0.1, 1]
