"""The simplex method solves totally unimodular programs exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_adapters.ilp.engines.glop import UnimodularEngine
from imle_solvers import SolverLayer
from imle_solvers.status import Status
from tests.adapters.ilp.instances import feasible_points, knapsack
from tests.adapters.ilp.unimodular import (
    FAMILIES,
    b_matching,
    incidence,
    intervals,
    path,
    transport,
)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ties", [False, True])
def test_optima_are_those_of_branch_and_bound(name: str, ties: bool) -> None:
    spec = FAMILIES[name]
    adapter, other = ILPAdapter(spec, compiled=False), ILPAdapter(spec, "scip", compiled=False)
    assert adapter.backend == "glop"
    rng = np.random.default_rng(2)
    thetas = rng.integers(1, 4, (4, *spec.shape)).astype(float) if ties else rng.random((4, *spec.shape)) + 0.1
    first, second = (a.solve_batch(a.build(), thetas, {}) for a in (adapter, other))
    assert (first.statuses == Status.OPTIMAL).all()
    assert (first.values == np.rint(first.values)).all()
    values = [(solved.values * thetas).reshape(4, -1).sum(axis=1) for solved in (first, second)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert ties or (first.values == second.values).all()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_brute_force_on_small_programs(seed: int) -> None:
    """With factors, sides that are no integers, and both kinds of rows; feasible or not."""
    rng = np.random.default_rng(seed)
    rows = incidence(4, [(0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (3, 0)]) if seed % 2 else intervals(6, 4, seed % 100)
    factors = rng.choice([0.1, 1.0, 3.0], 4)
    inside = rng.integers(0, 3, 6)
    sides = factors * (rows @ inside + np.array([*rng.choice([0, 0.5, 1], 3), rng.choice([0, 0, 0, 1])]))
    a = rows * factors[:, None]
    spec = {"A_ub": a[:3], "b_ub": sides[:3], "A_eq": a[3:], "lb": -1, "ub": 2, "integrality": True}
    adapter = ILPAdapter(ILPSpec(sense="max", **spec, b_eq=factors[3:] * (rows[3:] @ inside)), compiled=False)
    assert adapter.backend == "glop"
    theta = rng.normal(size=6) * 10.0 ** rng.integers(-12, 12)
    z, status = adapter.solve(adapter.build(), theta, b_eq=sides[3:])
    points = feasible_points(ILPSpec(sense="max", **spec, b_eq=sides[3:]))
    if len(points) == 0:
        assert (z, status) == (None, Status.INFEASIBLE)
    else:
        assert z.tolist() == points[(points @ theta).argmax()].tolist()


def test_auto_takes_the_simplex_method_and_branch_and_bound_can_be_had() -> None:
    spec = b_matching()
    assert "backend='glop'" in repr(ILPAdapter(spec))
    assert ILPAdapter(spec, "cp_sat").backend == "cp_sat"
    assert ILPAdapter(knapsack(4, 2)).backend == "cp_sat"
    with pytest.raises(ValueError, match="4 variables are integer.*not known to be totally unimodular; take one of"):
        ILPAdapter(knapsack(4, 2), "glop")
    mixed = ILPSpec(sense="max", A_ub=np.ones((1, 2)), b_ub=[1.5], ub=1, integrality=[0, 1])
    adapter = ILPAdapter(mixed)
    assert adapter.backend == "scip"
    assert adapter.solve(adapter.build(), np.array([1.0, 2.0]))[0].tolist() == [0.5, 1]


def test_small_ones_are_searched_first() -> None:
    adapter = ILPAdapter(transport())
    thetas = np.stack([np.random.default_rng(0).random((8, 12)), np.ones((8, 12))])
    solved = adapter.solve_batch(adapter.build(), thetas, {})
    assert adapter.backend == "glop"
    assert solved.counters == {"solved by search": 1, "left to the backend": 1}


def test_sides_and_bounds_of_an_instance_need_not_be_integers() -> None:
    spec = b_matching()
    adapter = ILPAdapter(spec, compiled=False)
    rng = np.random.default_rng(3)
    theta, sides = rng.normal(size=(12, 12)), rng.uniform(0.0, 4.0, 24)
    sides[:3] = [np.inf, 0.1 + 0.2 + 0.7, 3 - 1e-12]
    ub = rng.uniform(0.5, 2.5, 144)
    z, status = adapter.solve(adapter.build(), theta, b_ub=sides, ub=ub)
    whole = np.floor(sides + 1e-9)
    reference = ILPAdapter(spec, "scip")
    expected = reference.solve(reference.build(), theta, b_ub=whole, ub=np.floor(ub))
    assert status is Status.OPTIMAL
    assert z.tolist() == expected[0].tolist()


def test_infeasible_instances() -> None:
    adapter = ILPAdapter(path(9))
    state = adapter.build()
    theta, balance = np.ones(adapter.instance_shape), adapter.spec.b_eq
    assert adapter.solve(state, theta, ub=np.zeros(theta.size)) == (None, Status.INFEASIBLE)
    assert adapter.solve(state, theta, b_eq=balance / 2) == (None, Status.INFEASIBLE)  # a fractional flow exists
    assert adapter.solve(state, theta, b_eq=2 * balance)[1] is Status.OPTIMAL
    assert adapter.solve(state, theta, b_eq=3 * balance) == (None, Status.INFEASIBLE)
    assert adapter.solve(state, theta, lb=np.full(theta.size, 2.0)) == (None, Status.INFEASIBLE)
    with pytest.raises(ValueError, match="no x satisfies the constraints"):
        ILPAdapter(ILPSpec(sense="min", A_eq=np.ones((1, 3)), b_eq=[0.5], integrality=True))


@pytest.mark.parametrize("magnitude", [1e-9, 1.0, 1e9])
def test_unbounded_objectives(magnitude: float) -> None:
    arcs = [(0, 1), (1, 2), (2, 0), (0, 2)]
    spec = ILPSpec(sense="min", A_eq=incidence(3, arcs), b_eq=[-2, 0, 2], integrality=True)
    adapter = ILPAdapter(spec)
    state = adapter.build()
    z, status = adapter.solve(state, magnitude * np.array([1.0, 1.0, -1.0, 3.0]))
    assert (z.tolist(), status) == ([2, 2, 0, 0], Status.OPTIMAL)
    theta = magnitude * np.array([1.0, 1.0, -3.0, 3.0])  # a cycle of negative costs
    assert adapter.solve(state, theta) == (None, Status.UNBOUNDED)
    assert adapter.solve(state, theta, b_eq=np.array([-2.0, 0.0, 1.0])) == (None, Status.INFEASIBLE)
    z, status = adapter.solve(state, theta, ub=np.array([5.0, 7.0, 4.0, 1.0]))
    assert (z.tolist(), status) == ([5, 5, 4, 1], Status.OPTIMAL)


def test_potentials_have_no_vertex() -> None:
    """The difference of two is all that a row sees, so adding the same to all changes nothing."""
    rows = incidence(4, [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]).T
    spec = ILPSpec(sense="max", A_ub=rows, b_ub=[2, 1, 4, -3, 2], lb=-np.inf, integrality=True)
    adapter = ILPAdapter(spec)
    assert adapter.backend == "glop"
    theta = np.array([-1.0, -1.0, 1.0, 1.0])
    z, status = adapter.solve(adapter.build(), theta)
    assert status is Status.OPTIMAL
    reference = ILPAdapter(spec, "scip")
    assert z @ theta == reference.solve(reference.build(), theta)[0] @ theta
    assert (z == np.rint(z)).all() and (rows @ z <= spec.b_ub).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_where_a_point_fails_the_check_branch_and_bound_solves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = FAMILIES[name]
    adapter = ILPAdapter(spec, compiled=False)
    theta = np.random.default_rng(4).random(spec.shape) + 0.1
    expected, _ = adapter.solve(adapter.build(), theta)
    monkeypatch.setattr(UnimodularEngine, "_holds", lambda *_: False)
    state = adapter.build()
    z, status = adapter.solve(state, theta)
    assert "_fallback" in vars(state.engine)
    assert (z.tolist(), status) == (expected.tolist(), Status.OPTIMAL)


def test_sums_beyond_exact_integers_fail_the_check() -> None:
    spec = ILPSpec(sense="max", A_ub=np.ones((1, 2)), b_ub=[2.0**54], ub=2.0**54, integrality=True)
    adapter = ILPAdapter(spec, "glop")
    state = adapter.build()
    adapter.solve(state, np.array([1.0, 2.0]))
    assert "_fallback" in vars(state.engine)


def test_a_time_limit_ends_a_solve() -> None:
    spec = path(25)
    adapter = ILPAdapter(spec)
    adapter.time_limit = 1e-4
    z, status = adapter.solve(adapter.build(), np.random.default_rng(0).random(spec.shape))
    assert (z, status) == (None, Status.TIMEOUT)


def test_costs_that_differ_by_little_are_told_apart() -> None:
    spec = ILPSpec(sense="max", shape=4, A_eq=np.ones((1, 4)), b_eq=[1], ub=1, integrality=True)
    adapter = ILPAdapter(spec, compiled=False)
    state = adapter.build()
    for best in range(4):
        theta = np.full(4, 0.1)
        theta[best] += 1e-14
        assert adapter.solve(state, theta)[0].argmax() == best
    adapter = ILPAdapter(path(9))
    state = adapter.build()
    for arc in np.flatnonzero(adapter.solve(state, np.ones(adapter.instance_shape))[0])[::4]:
        theta = np.ones(adapter.instance_shape)
        theta[arc] += 1e-13  # all paths that turn right and down only were equal
        assert adapter.solve(state, theta)[0][arc] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["path", "transport"])
def test_ties_are_resolved_the_same_by_every_executor_and_after_any_history(name: str) -> None:
    import torch

    spec = FAMILIES[name]
    adapter = ILPAdapter(spec, compiled=False)
    rng = np.random.default_rng(5)
    thetas = rng.integers(1, 3, (9, *spec.shape)).astype(float)
    alone = np.stack([adapter.solve(adapter.build(), theta)[0] for theta in thetas])
    state = adapter.build()
    for row in [*rng.permutation(9), *rng.permutation(9)]:
        adapter.solve(state, rng.normal(size=spec.shape), ub=np.full(spec.num_variables, 9.0))
        assert (adapter.solve(state, thetas[row])[0] == alone[row]).all()
    for executor, workers in (("serial", 0), ("threads", 2), ("processes", 2)):
        with SolverLayer(adapter, executor=executor, num_workers=workers) as layer:
            assert (layer.map(torch.from_numpy(thetas)).numpy() == alone).all()
