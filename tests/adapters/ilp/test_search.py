"""The compiled search answers as the backends do, or not at all."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_adapters.ilp.engines import search as search_module
from imle_adapters.ilp.engines.search import Found, Search
from imle_adapters.ilp.program import Program
from imle_solvers.deferred import Deferred
from imle_solvers.errors import AdapterError
from imle_solvers.status import Status
from tests.adapters.ilp.instances import covering, data, feasible_points, knapsack, limited_assignment, mknap1, programs

BOUNDED = ILPSpec(
    sense="max",
    shape=12,
    A_ub=np.random.default_rng(3).integers(-4, 9, (4, 12)),
    b_ub=[40, 35, 30, 25],
    lb=-1,
    ub=5,
    integrality=True,
)
REAL = ILPSpec(
    sense="max", shape=20, A_ub=np.random.default_rng(4).random((3, 20)), b_ub=[5, 6, 4], ub=1, integrality=True
)
DECIMAL = ILPSpec(
    sense="max",
    shape=24,
    A_ub=np.random.default_rng(5).integers(300, 800, (2, 24)) / 100,
    b_ub=[50.55, 61.2],
    ub=1,
    integrality=True,
)
FAMILIES = {
    "knapsack": knapsack(20, 2),
    "decimal knapsack": DECIMAL,
    "real knapsack": REAL,
    "covering": covering(30, 12),
    "limited assignment": limited_assignment(5),
    "bounded integers": BOUNDED,
}


def found(spec: ILPSpec, thetas: np.ndarray) -> Found:
    """What the search says, whether or not the adapter would use it."""
    program = Program.of(spec)
    costs = thetas.reshape(len(thetas), -1)
    return Search(program).solve(costs if spec.sense == "min" else -costs, program.bounds.stacked())


def gap_to_the_second(spec: ILPSpec, theta: np.ndarray) -> float:
    """By how much the best point is better than all others, relative to the terms of the objective."""
    values = np.sort(feasible_points(spec) @ theta)
    size = np.abs(theta) @ np.maximum(1.0, np.maximum(np.abs(spec.lb), np.abs(spec.ub)))
    if len(values) == 1:
        return np.inf
    difference = values[1] - values[0] if spec.sense == "min" else values[-1] - values[-2]
    return float(difference / size) if size > 0 else 0.0


@pytest.mark.parametrize("few", [0, 2, 36])
@settings(max_examples=80, deadline=None)
@given(case=programs())
def test_brute_force_finds_the_same_point_and_no_other_near_it(few: int, case: tuple[ILPSpec, np.ndarray]) -> None:
    spec, theta = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_FEW", few)  # 0: all by branching, 36: all by enumeration
        result, difference = found(spec, theta[None]), gap_to_the_second(spec, theta)
    if result.solved[0]:
        points = feasible_points(spec)
        values = points @ theta
        best = points[values.argmin() if spec.sense == "min" else values.argmax()]
        assert result.values[0].tolist() == best.tolist()
        assert difference > 0.99e-7
    assert not result.infeasible[0]


@pytest.mark.parametrize("few", [0, 36])
@settings(max_examples=40, deadline=None)
@given(case=programs())
def test_small_programs_with_one_clear_optimum_are_always_solved(few: int, case: tuple[ILPSpec, np.ndarray]) -> None:
    spec, _ = case
    theta = np.random.default_rng(0).normal(size=spec.num_variables)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_FEW", few)
        assert found(spec, theta[None]).solved[0] == (gap_to_the_second(spec, theta) > 1e-7)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ties", [False, True])
def test_every_backend_gives_the_same_with_and_without_it(name: str, ties: bool) -> None:
    spec = FAMILIES[name]
    rng = np.random.default_rng(7)
    thetas = rng.integers(1, 5, (12, *spec.shape)).astype(float) if ties else rng.random((12, *spec.shape)) + 0.2
    with_it, without = ILPAdapter(spec), ILPAdapter(spec, compiled=False)
    first = with_it.solve_batch(with_it.build(), thetas, {})
    second = without.solve_batch(without.build(), thetas, {})
    assert (first.values == second.values).all()
    assert (first.statuses == second.statuses).all()
    assert second.counters == {}
    assert sum(first.counters.values()) == len(thetas)
    assert ties or first.counters == {"solved by search": len(thetas)}


def test_larger_knapsacks_of_five_rows() -> None:
    spec, profits, _ = mknap1()[5]
    adapter = ILPAdapter(spec)
    thetas = profits * np.random.default_rng(0).uniform(0.9, 1.1, (3, 39))
    solved = adapter.solve_batch(adapter.build(), thetas, {})
    assert solved.counters == {"solved by search": 3}
    state = adapter.build()
    assert [adapter.solve(state, theta)[0].tolist() for theta in thetas] == solved.values.tolist()


def test_what_was_solved_before_and_how_batches_are_cut_changes_nothing() -> None:
    spec = knapsack(16, 3)
    adapter = ILPAdapter(spec)
    rng = np.random.default_rng(0)
    thetas = np.where(rng.random((20, 1)) < 0.5, rng.normal(size=(20, 16)), rng.integers(1, 4, (20, 16)))
    context = {"b_ub": rng.integers(100, 400, (20, 3)).astype(float)}
    whole = adapter.solve_batch(adapter.build(), thetas, context)
    assert len(whole.counters) == 2  # some by the search, some not
    state, order = adapter.build(), rng.permutation(20)
    for rows in (order[:7], order[7:8], order[8:]):
        part = adapter.solve_batch(state, thetas[rows], {"b_ub": context["b_ub"][rows]})
        assert (part.values == whole.values[rows]).all()


def test_context_is_taken_for_each_instance() -> None:
    spec = ILPSpec(
        sense="min",
        shape=6,
        A_ub=[[3, -2, 4, 1, -1, 2]],
        b_ub=[4],
        A_eq=np.ones((1, 6)),
        b_eq=[3],
        ub=2,
        integrality=True,
    )
    rng = np.random.default_rng(1)
    n = 40
    ub = rng.integers(0, 3, (n, 6))
    context = {
        "b_ub": rng.choice([-2.0, 3.0, 4.5, np.inf], (n, 1)),
        "b_eq": rng.choice([2.0, 3.0, 4.0, 2.5], (n, 1)),
        "lb": np.minimum(ub, rng.integers(-1, 2, (n, 6))).astype(float),
        "ub": ub + 0.25,
    }
    thetas = rng.normal(size=(n, 6))
    adapter = ILPAdapter(spec)
    solved = adapter.solve_batch(adapter.build(), thetas, context)
    statuses = set()
    for row, theta in enumerate(thetas):
        own = {name: values[row] for name, values in context.items()}
        sides = {**own, "ub": ub[row], "b_ub": np.minimum(own["b_ub"], 1e3)}
        points = feasible_points(ILPSpec(sense="min", A_ub=spec.A_ub, A_eq=spec.A_eq, integrality=True, **sides))
        statuses.add(solved.statuses[row])
        if len(points):
            assert solved.values[row].tolist() == points[(points @ theta).argmin()].tolist()
        else:
            assert solved.statuses[row] == Status.INFEASIBLE
    assert statuses == {Status.OPTIMAL, Status.INFEASIBLE}
    assert solved.counters["solved by search"] > n // 2


@pytest.mark.parametrize("magnitude", [1e-300, 1e-9, 1e9, 1e300])
def test_the_magnitude_of_theta_does_not_matter(magnitude: float) -> None:
    spec = knapsack(20, 2)
    thetas = np.random.default_rng(0).normal(size=(5, 20))
    one, other = found(spec, thetas), found(spec, thetas * magnitude)
    assert one.solved.all() and other.solved.all()
    assert (one.values == other.values).all()


def test_ties_and_near_ties_are_left() -> None:
    spec = ILPSpec(sense="max", shape=3, A_eq=np.ones((1, 3)), b_eq=[1], ub=1, integrality=True)
    thetas = np.array([[1.0, 1.0, 0.5], [1.0, 1.0 + 1e-8, 0.5], [1.0, 1.0 + 1e-6, 0.5], [0.0, 0.0, 0.0]])
    assert found(spec, thetas).solved.tolist() == [False, False, True, False]


@pytest.mark.parametrize(("missed", "solved"), [(-1e-3, True), (0.0, True), (1e-8, False), (1e-3, True)])
def test_a_point_that_misses_a_row_by_a_hair_is_left_to_the_backend(missed: float, solved: bool) -> None:
    weights = np.array([[np.pi, np.e, np.sqrt(2)]])
    spec = ILPSpec(sense="max", shape=3, A_ub=weights, b_ub=[weights[0, :2].sum() - missed], ub=1, integrality=True)
    result = found(spec, np.array([[3.0, 2.0, 1.0]]))
    assert result.solved[0] == solved


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("large", [1e8, 1e12, 1e18])
def test_sides_out_of_reach_of_large_coefficients_stay_out_of_reach(sign: float, large: float) -> None:
    rows = sign * np.array([[large, 1.0], [large, -large]])
    for kind, side in (("ub", [-2.5 * large, large]), ("eq", [2.5 * sign * large, 0.0])):
        spec = ILPSpec(sense="max", **{f"A_{kind}": rows, f"b_{kind}": side}, ub=1, integrality=True)
        result = found(spec, np.array([[-1.0, -2.0]]))
        assert result.infeasible[0] and not result.solved[0]


def test_sides_that_may_or_may_not_mean_an_integer_are_left() -> None:
    weights = [[1.0, 2.0, 3.0]]
    sides = {3.0 - 1e-12: True, 3.0 - 1e-7: False, 2.9: True, 0.1 + 2.9: True}
    for side, solved in sides.items():
        spec = ILPSpec(sense="max", shape=3, A_ub=weights, b_ub=[side], ub=1, integrality=True)
        assert found(spec, np.array([[1.0, 2.1, 3.5]])).solved[0] == solved, side


def test_sums_of_decimals_fit_exactly() -> None:
    spec = ILPSpec(sense="max", shape=3, A_ub=[[0.1, 0.2, 0.31]], b_ub=[0.3], ub=1, integrality=True)
    result = found(spec, np.array([[1.0, 1.0, 1.5]]))
    assert result.solved[0] and result.values[0].tolist() == [1, 1, 0]


def test_out_of_effort_the_backend_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = ILPAdapter(knapsack(20, 3))
    state = adapter.build()
    thetas = np.random.default_rng(0).random((4, 20))
    solved = adapter.solve_batch(state, thetas, {})
    monkeypatch.setattr(search_module, "_WORK", 100)
    left = adapter.solve_batch(state, thetas, {})
    assert left.counters == {"left to the backend": 4}
    assert (left.values == solved.values).all()


def test_programs_that_are_not_searched() -> None:
    rows: dict[str, Any] = {"A_ub": [[1.0, 2.0]], "b_ub": [2.0], "sense": "max", "shape": 2}
    for change in ({"ub": 1}, {"ub": 1, "integrality": [0, 1]}, {"ub": [1, np.inf], "integrality": True}):
        adapter = ILPAdapter(ILPSpec(**rows, **change))
        assert adapter.build().search is None
        if np.isfinite(adapter.spec.ub).all():
            assert adapter.solve_batch(adapter.build(), np.ones((2, 2)), {}).counters == {}
    assert ILPAdapter(ILPSpec(**rows, ub=1, integrality=True)).build().search is not None
    assert ILPAdapter(ILPSpec(**rows, ub=1, integrality=True), compiled=False).build().search is None
    assert ILPAdapter(knapsack(1200, 4)).build().search is None


def test_a_program_that_is_too_hard_for_the_search_is_not_searched() -> None:
    assert ILPAdapter(knapsack(100, 10)).build().search is None


def test_what_auto_chooses_does_not_depend_on_when_the_search_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, later = rng.integers(1, 4, (3, 16)).astype(float), rng.random((3, 16))
    early, late = ILPAdapter(knapsack(16, 3)), ILPAdapter(knapsack(16, 3))
    early.check(first, {})
    with monkeypatch.context() as patch:
        patch.setattr(Deferred, "get", lambda self: None)
        late.check(batch := first.copy(), {})
        batch[:] = 0.0
        assert late.choice is None
        solved = late.solve_batch(late.build(), first, {})
        assert pickle.loads(pickle.dumps(late)).choice is None
    late.check(later, {})
    assert late.choice == early.choice and early.choice is not None
    assert (solved.statuses == Status.OPTIMAL).all() and solved.counters == {}
    late.check(later, {})
    assert late.revision == early.revision == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_branching_alone_finds_what_enumeration_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = FAMILIES[name]
    thetas = np.random.default_rng(8).random((10, *spec.shape)) + 0.2
    enumerated = found(spec, thetas)
    monkeypatch.setattr(search_module, "_FEW", 0)
    branched = found(spec, thetas)
    assert enumerated.solved.all() and branched.solved.all()
    assert (enumerated.values == branched.values).all()


def test_an_error_of_the_backend_names_the_row_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = ILPAdapter(knapsack(6, 1))
    state = adapter.build()
    thetas = np.random.default_rng(0).random((5, 6))
    thetas[3] = 0.0  # a tie, which is left to the backend
    monkeypatch.setattr(adapter, "solve", lambda *_, **__: 1 / 0)
    with pytest.raises(AdapterError) as raised:
        adapter.solve_batch(state, thetas, {})
    assert raised.value.row == 3


@pytest.mark.slow
def test_numba_is_loaded_only_where_there_is_a_search() -> None:
    program = (
        "import sys, numpy as np\n"
        "from imle_adapters.ilp import ILPAdapter, ILPSpec\n"
        "rows = dict(sense='max', shape=2, A_ub=[[1.0, 2.0]], b_ub=[2.0], ub=1)\n"
        "for spec in (ILPSpec(**rows), ILPSpec(**rows, integrality=[0, 1])):\n"
        "    adapter = ILPAdapter(spec)\n"
        "    adapter.solve_batch(adapter.build(), np.ones((1, 2)), {})\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["p0033", "stein27"])
def test_miplib_is_solved_alike(name: str) -> None:
    spec = ILPSpec.from_mps(data(f"miplib3/{name}.mps.gz"))
    rng = np.random.default_rng(0)
    thetas = spec.objective * rng.uniform(0.9, 1.1, (2, spec.num_variables)) + rng.uniform(
        0, 0.01, (2, spec.num_variables)
    )
    result = found(spec, thetas)
    adapter = ILPAdapter(spec, compiled=False)
    expected = adapter.solve_batch(adapter.build(), thetas, {}).values
    assert (result.values[result.solved] == expected[result.solved]).all()
    assert not result.infeasible.any()
