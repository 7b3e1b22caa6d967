"""How ILPAdapter solves: statuses, determinism, context, limits."""

from __future__ import annotations

import concurrent.futures
import datetime
import pickle
import subprocess
import sys

import numpy as np
import pytest

from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends
from imle_solvers.adapter import Parallelism
from imle_solvers.status import Status
from tests.adapters.ilp.instances import best_value, knapsack

INTEGER_BACKENDS = ("scip", "cbc", "cp_sat", "highs")


def test_this_build_has_the_five_solvers() -> None:
    names = {"scip", "scip_no_cuts", "cbc", "cp_sat", "cp_sat_no_cuts", "highs", "glop"}
    assert set(available_backends()) == names


def test_auto_goes_by_what_solvers_can_hold() -> None:
    binary = {"sense": "max", "shape": 2, "A_ub": [[1.0, 2.0]], "b_ub": [2.0], "ub": 1}
    assert ILPAdapter(ILPSpec(**binary)).backend == "glop"
    assert ILPAdapter(ILPSpec(**binary, integrality=True)).backend == "cp_sat"
    assert ILPAdapter(ILPSpec(**binary, integrality=[0, 1])).backend == "scip"
    assert ILPAdapter(ILPSpec(**{**binary, "ub": 7}, integrality=True)).backend == "cp_sat"
    assert ILPAdapter(ILPSpec(**{**binary, "ub": np.inf}, integrality=True)).backend == "scip"
    assert ILPAdapter(ILPSpec(**{**binary, "A_ub": [[np.pi, 1e9]]}, integrality=True)).backend == "scip"


@pytest.mark.parametrize("name", ["CP-SAT", "cp_sat", "Cp_Sat"])
def test_names_of_backends_in_any_spelling(name: str) -> None:
    assert ILPAdapter(knapsack(3, 1), name).backend == "cp_sat"


@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_ties_are_resolved_the_same_after_any_history(backend: str) -> None:
    """Many tied optima: a warm start from an earlier solve would choose among them."""
    spec = ILPSpec(sense="max", shape=12, A_ub=np.ones((1, 12)), b_ub=[6], ub=1, integrality=True)
    adapter = ILPAdapter(spec, backend)
    tied = np.array([1.0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2])
    fresh, _ = adapter.solve(adapter.build(), tied)
    assert fresh @ tied == best_value(spec, tied)
    state = adapter.build()
    rng = np.random.default_rng(0)
    for _ in range(8):
        adapter.solve(state, rng.normal(size=12))
        adapter.solve(state, tied, b_ub=np.array([float(rng.integers(3, 9))]), ub=rng.integers(0, 2, 12))
        adapter.solve(state, tied[::-1].copy())
        again, _ = adapter.solve(state, tied)
        assert again.tolist() == fresh.tolist()


def test_ties_of_linear_programs_are_resolved_the_same_after_any_history() -> None:
    spec = ILPSpec(sense="max", shape=12, A_ub=np.ones((1, 12)), b_ub=[6.5], ub=1)
    adapter = ILPAdapter(spec, "glop")
    fresh, _ = adapter.solve(adapter.build(), np.ones(12))
    state = adapter.build()
    for theta in np.random.default_rng(0).normal(size=(8, 12)):
        adapter.solve(state, theta)
        adapter.solve(state, theta, ub=np.abs(theta))
        assert adapter.solve(state, np.ones(12))[0].tolist() == fresh.tolist()


@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_context_replaces_sides_for_one_instance_only(backend: str) -> None:
    spec = ILPSpec(
        sense="max", shape=4, A_ub=[[2, 3, 1, 4]], b_ub=[5], A_eq=[[1, 1, 1, 1]], b_eq=[2], ub=1, integrality=True
    )
    adapter = ILPAdapter(spec, backend)
    assert dict(adapter.context) == {"b_ub": (1,), "b_eq": (1,), "lb": (4,), "ub": (4,)}
    theta = np.array([4.0, 5.0, 3.0, 7.0])
    context = {
        "b_ub": np.array([[5.0], [7.0], [np.inf], [5.0], [5.0]]),
        "b_eq": np.array([[2.0], [2.0], [3.0], [1.0], [2.0]]),
        "lb": np.array([[0.0] * 4] * 4 + [[1, 0, 0, 0]]),
        "ub": np.array([[1.0] * 4, [1] * 4, [1] * 4, [1, 1, 1, 0], [1.0] * 4]),
    }
    state = adapter.build()
    solutions = adapter.solve_batch(state, np.tile(theta, (5, 1)), context)
    expected = [[0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 1], [0, 1, 0, 0], [1, 1, 0, 0]]
    assert solutions.values.tolist() == expected
    assert adapter.solve(state, theta)[0].tolist() == expected[0]


@pytest.mark.parametrize("backend", [*INTEGER_BACKENDS, "glop"])
@pytest.mark.parametrize("large", [1e20, 1e30, np.inf])
def test_large_sides_switch_rows_off(backend: str, large: float) -> None:
    whole = backend != "glop"
    rows = [[1, 2, 3], [1, 1, 1], [-1, -1, 0]]
    spec = ILPSpec(sense="max", A_ub=rows, b_ub=[4, large, large], ub=10, integrality=whole)
    adapter = ILPAdapter(spec, backend)
    assert adapter.solve(adapter.build(), np.ones(3))[0].tolist() == [4, 0, 0]
    assert adapter.solve(adapter.build(), np.ones(3), b_ub=np.array([large, 5, 0]))[0].sum() == 5


def test_context_has_no_names_for_rows_that_are_not_there() -> None:
    assert set(ILPAdapter(ILPSpec(sense="min", shape=2)).context) == {"lb", "ub"}


@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_infeasible_context(backend: str) -> None:
    spec = ILPSpec(sense="min", shape=2, A_eq=[[2, 2]], b_eq=[2], ub=1, integrality=True)
    adapter = ILPAdapter(spec, backend)
    state = adapter.build()
    for context in ({"b_eq": np.array([3.0])}, {"ub": np.zeros(2)}, {"lb": np.full(2, 2.0)}):
        assert adapter.solve(state, np.ones(2), **context) == (None, Status.INFEASIBLE)
    assert adapter.solve(state, np.array([1.0, 2.0]))[0].tolist() == [1, 0]


@pytest.mark.parametrize("backend", ["scip", "highs"])
def test_infeasible_context_with_infinite_bounds(backend: str) -> None:
    spec = ILPSpec(sense="min", shape=2, A_ub=[[-1, 0]], b_ub=[-1], A_eq=[[1, 0]], b_eq=[2], integrality=True)
    adapter = ILPAdapter(spec, backend)
    state = adapter.build()
    for theta in ([1.0, 1.0], [1.0, -1.0]):  # with the second it would be unbounded, were it feasible
        assert adapter.solve(state, np.array(theta), b_eq=np.zeros(1))[1] is Status.INFEASIBLE


@pytest.mark.parametrize(
    ("backend", "whole"),
    [("glop", False), ("scip", False), ("cbc", False), ("highs", False), ("scip", True), ("highs", True)],
)
@pytest.mark.parametrize("magnitude", [1e-9, 1.0, 1e9])
def test_unbounded_objectives(backend: str, whole: bool, magnitude: float) -> None:
    spec = ILPSpec(sense="max", shape=3, A_ub=[[1, -1, 0]], b_ub=[2], ub=[np.inf, np.inf, 3], integrality=whole)
    adapter = ILPAdapter(spec, backend)
    state = adapter.build()
    assert adapter.solve(state, magnitude * np.array([1.0, 1.0, 1.0])) == (None, Status.UNBOUNDED)
    z, status = adapter.solve(state, magnitude * np.array([1.0, -2.0, 1.0]))
    assert status is Status.OPTIMAL
    assert z.tolist() == [2, 0, 3]
    bounded = adapter.solve(state, magnitude * np.ones(3), ub=np.array([9.0, 5.0, 1.0]))
    assert bounded[0].tolist() == [7, 5, 1]


def test_a_tree_without_end_is_not_entered() -> None:
    """SCIP searched this one for minutes; its objective is unbounded."""
    spec = ILPSpec(
        sense="min",
        shape=4,
        A_ub=[[4, -4, 3, -1], [-2, -4, -4, 0]],
        b_ub=[-1, 7],
        A_eq=[[2, 2, 1, -1]],
        b_eq=[2],
        ub=[4, np.inf, np.inf, np.inf],
        integrality=True,
    )
    adapter = ILPAdapter(spec, "scip")
    theta = np.array([-1.95066399, -2.38441849, -2.79307651, -1.87336335])
    assert adapter.solve(adapter.build(), theta) == (None, Status.UNBOUNDED)


@pytest.mark.slow
@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_time_limits_end_feasible_or_timeout(backend: str) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(100, 1000, (20, 150))
    spec = ILPSpec(sense="max", shape=150, A_ub=weights, b_ub=weights.sum(axis=1) // 2, ub=1, integrality=True)
    adapter = ILPAdapter(spec, backend, time_limit=datetime.timedelta(seconds=0.3))
    assert adapter.time_limit == 0.3
    z, status, *_ = adapter.solve(adapter.build(), weights.mean(axis=0) + rng.normal(size=150))
    assert status is (Status.TIMEOUT if z is None else Status.FEASIBLE)
    if z is not None:
        assert (weights @ z <= spec.b_ub).all()


def test_adapters_pickle_and_solve_alike() -> None:
    adapter = ILPAdapter(knapsack(8, 2), "scip", time_limit=5)
    other: ILPAdapter = pickle.loads(pickle.dumps(adapter))
    theta = np.random.default_rng(0).normal(size=8)
    assert repr(other) == repr(adapter)
    first, second = (a.solve(a.build(), theta)[0] for a in (adapter, other))
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_threads_give_what_one_thread_gives(backend: str) -> None:
    adapter = ILPAdapter(knapsack(12, 2), backend)
    thetas = np.random.default_rng(4).integers(1, 4, (24, 12)).astype(float)
    alone = adapter.solve_batch(adapter.build(), thetas, {}).values

    def part(chunk: np.ndarray) -> np.ndarray:
        values: np.ndarray = adapter.solve_batch(adapter.build(), chunk, {}).values
        return values

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = np.concatenate(list(pool.map(part, np.split(thetas, 8))))
    assert (together == alone).all()


def test_how_backends_may_run_side_by_side() -> None:
    spec = knapsack(3, 1)
    for backend in ("cbc", "highs"):  # which cannot be stopped, but for their process
        assert ILPAdapter(spec, backend).parallelism is Parallelism.PROCESSES
    for backend in ("scip", "cp_sat"):
        assert ILPAdapter(spec, backend).parallelism is Parallelism.THREADS


@pytest.mark.slow
@pytest.mark.parametrize("backend", [*INTEGER_BACKENDS, "glop"])
def test_solving_imports_no_torch_and_stays_quiet(backend: str) -> None:
    program = (
        "import sys, numpy as np\n"
        "from imle_adapters.ilp import ILPAdapter, ILPSpec\n"
        f"whole = {backend != 'glop'}\n"
        "spec = ILPSpec(sense='max', shape=4, A_ub=[[2, 3, 1, 4]], b_ub=[5], ub=1, integrality=whole)\n"
        f"adapter = ILPAdapter(spec, {backend!r})\n"
        "adapter.solve(adapter.build(), np.array([4.0, 5.0, 3.0, 7.0]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=path, check=True)
    assert (done.stdout, done.stderr) == ("", "")
