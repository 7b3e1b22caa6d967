"""Theta, context and bounds of extreme magnitude: the optimum, or an error that says what to do; never a warning."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers import IMLE, SolverLayer, Target
from imle_solvers.errors import InputError
from imle_solvers.status import Status
from tests.adapters.ilp.instances import feasible_points, programs

INTEGER_BACKENDS = ("scip", "cbc", "cp_sat", "highs")
LARGEST = float(np.finfo(np.float64).max)
MAGNITUDES = (0.0, 5e-324, 1e-310, 1e-300, 1e-30, 1.0, float(np.finfo(np.float32).max), 1e200, 1e300, 1e308, LARGEST)


def values(points: np.ndarray, theta: np.ndarray) -> list[Fraction]:
    """The objective of each point, exactly."""
    costs = [Fraction(float(cost)) for cost in theta]
    return [sum((c * Fraction(float(x)) for c, x in zip(costs, point, strict=True)), Fraction(0)) for point in points]


@pytest.mark.parametrize("backend", ["auto", *INTEGER_BACKENDS])
@settings(max_examples=40, deadline=None)
@given(programs(), st.data())
def test_optima_under_theta_of_any_magnitude(
    backend: str, program: tuple[ILPSpec, np.ndarray], data: st.DataObject
) -> None:
    spec, _ = program
    n = spec.num_variables
    one = st.sampled_from([sign * size for size in MAGNITUDES for sign in (1, -1)])
    theta = np.array(data.draw(st.one_of(st.lists(one, min_size=n, max_size=n), one.map(lambda size: [size] * n))))
    points = feasible_points(spec)
    exact = values(points, theta)
    best = min(exact) if spec.sense == "min" else max(exact)
    reach = np.maximum(np.abs(spec.lb), np.abs(spec.ub))
    seen = values([reach], np.abs(theta))[0] / 10**9  # what the solvers see
    for compiled in (True, False):
        adapter = ILPAdapter(spec, backend, compiled=compiled)
        adapter.check(theta[None], {})
        solved = adapter.solve_batch(adapter.build(), theta[None], {})
        assert solved.statuses[0] == Status.OPTIMAL
        assert (points == solved.values[0]).all(axis=1).any()
        assert abs(values(solved.values, theta)[0] - best) <= seen


@pytest.mark.parametrize("backend", ["scip", "cbc", "highs", "glop"])
@pytest.mark.parametrize("theta", [[LARGEST] * 4, [-LARGEST] * 4, [1e308, -1e308, 1e308, -1e308], [-5e-324] * 4])
def test_unbounded_objectives_under_theta_whose_sums_overflow(backend: str, theta: list[float]) -> None:
    spec = ILPSpec(sense="min", A_eq=[[1.0, -1.0, 1.0, -1.0]], b_eq=[0.0])
    adapter = ILPAdapter(spec, backend)
    solved = adapter.solve_batch(adapter.build(), np.array([theta]), {})
    bounded = theta[0] + theta[1] >= 0.0
    assert solved.statuses[0] == (Status.OPTIMAL if bounded else Status.UNBOUNDED)
    if bounded:
        assert values(solved.values, np.array(theta)) == [0]


@pytest.mark.parametrize("backend", ["scip", "highs"])
def test_unbounded_mixed_programs_under_theta_whose_sums_overflow(backend: str) -> None:
    adapter = ILPAdapter(ILPSpec(sense="max", shape=2, integrality=[True, False]), backend)
    solved = adapter.solve_batch(adapter.build(), np.full((1, 2), LARGEST), {})
    assert solved.statuses[0] == Status.UNBOUNDED


@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
def test_fixed_costs_whose_sums_overflow(backend: str) -> None:
    spec = ILPSpec(
        sense="max",
        A_ub=np.ones((1, 4)),
        b_ub=[3],
        ub=1,
        integrality=True,
        theta_index=[0, 1],
        fixed_cost=[LARGEST] * 2,
    )
    adapter = ILPAdapter(spec, backend)
    solved = adapter.solve_batch(adapter.build(), np.array([[LARGEST, 0.0]]), {})
    assert solved.values.tolist() == [[1, 0]]


@pytest.mark.parametrize("backend", ["auto", *INTEGER_BACKENDS])
def test_masked_variables_may_have_any_cost(backend: str) -> None:
    spec = ILPSpec(sense="max", A_ub=[[1.0, 1.0, 1.0]], b_ub=[1.0], ub=1, integrality=True)
    adapter = ILPAdapter(spec, backend, compiled=False)
    mask = {"ub": np.array([[1.0, 1.0, 0.0]])}
    adapter.check(np.zeros((1, 3)), mask)
    for cost in (1e30, -LARGEST):
        solved = adapter.solve_batch(adapter.build(), np.array([[1.0, 1.001, cost]]), mask)
        assert solved.values.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("theta", [[1e308, -1e-310, 0.0], [LARGEST, 1e200, -1e-30], [1e-310, 5e-324, -1e-310]])
@pytest.mark.parametrize("largest", [1.0, 2.0, 2.0**50])
def test_cp_sat_states_a_loss_where_small_entries_vanish(theta: list[float], largest: float) -> None:
    adapter = ILPAdapter(ILPSpec(sense="max", shape=3, ub=largest, integrality=True), "cp_sat")
    loss = adapter.objective_loss(np.array(theta))
    solution, _ = adapter.solve(adapter.build(), np.array(theta))
    assert solution is not None
    best = values([np.where(np.array(theta) > 0, largest, 0.0)], np.array(theta))[0]
    lost = best - values([solution], np.array(theta))[0]
    assert loss >= 0.0 and (math.isinf(loss) or lost <= Fraction(loss))
    assert (loss == 0.0) == (max(theta) < 1e-300 and largest < 1e9)


def test_the_loss_of_cp_sat_may_be_beyond_all_numbers() -> None:
    adapter = ILPAdapter(ILPSpec(sense="max", shape=4, ub=2.0**50, integrality=True), "cp_sat")
    assert adapter.objective_loss(np.full(4, 1e308)) == math.inf


SIDES = {"A_ub": [[1.0, 2.0]], "b_ub": [2.0], "A_eq": [[1.0, -1.0]], "b_eq": [0.0], "ub": 3}


@pytest.mark.parametrize(
    ("name", "value"), [("b_ub", -1e20), ("b_ub", -LARGEST), ("b_eq", 1e20), ("b_eq", -1e300), ("b_eq", LARGEST)]
)
def test_sides_that_solvers_take_for_infinite_are_refused(name: str, value: float) -> None:
    with pytest.raises(
        ValueError, match=rf"expected {name} to be finite.* in {name}\[0\]; from 1e\+20 on .*scale the row"
    ):
        ILPSpec(sense="max", **{**SIDES, name: [value]})
    adapter = ILPAdapter(ILPSpec(sense="max", **SIDES), "highs")
    with pytest.raises(InputError, match=rf"^row 1 .*expected {name} to be finite.*scale the row"):
        adapter.check(np.zeros((2, 2)), {name: np.array([[0.0], [value]])})


@pytest.mark.parametrize("integrality", [True, False])
@pytest.mark.parametrize("backend", [*INTEGER_BACKENDS, "glop"])
@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"b_ub": [LARGEST]}, 3.0),
        ({"b_ub": [1e19]}, 3.0),
        ({"b_ub": [-9.9e19]}, None),
        ({"b_eq": [9.9e19]}, None),
        ({"b_ub": [1e-310]}, 0.0),
        ({"b_eq": [-1e-310]}, 2 / 3),
        ({"ub": [3.0, 5e-324]}, 0.0),
        ({"lb": [-1e-310, 0.0]}, 2 / 3),
    ],
)
def test_context_of_any_magnitude(
    integrality: bool, backend: str, context: dict[str, Any], expected: float | None
) -> None:
    spec = ILPSpec(sense="max", **SIDES, integrality=integrality)
    if (backend == "glop") > (not integrality) or (backend == "cp_sat") > integrality:
        return
    arrays = {name: np.array([value]) for name, value in context.items()}
    for compiled in (True, False):
        adapter = ILPAdapter(spec, backend, compiled=compiled)
        adapter.check(np.ones((1, 2)), arrays)
        solved = adapter.solve_batch(adapter.build(), np.ones((1, 2)), arrays)
        if expected is None:
            assert solved.statuses[0] == Status.INFEASIBLE
        else:
            assert solved.statuses[0] == Status.OPTIMAL
            assert solved.values[0] == pytest.approx([math.floor(expected) if integrality else expected] * 2, abs=1e-9)


@pytest.mark.parametrize("largest", [1e9, 1e12, 9e15])
def test_cp_sat_holds_decimal_rows_exactly_under_wide_bounds(largest: float) -> None:
    """It gave points that miss the row by more than anything else holds for rounding."""
    spec = ILPSpec(sense="max", A_eq=[[0.3, 0.1, 0.2]], b_eq=[1.5], ub=largest, integrality=True)
    adapter = ILPAdapter(spec, "cp_sat")
    solved = adapter.solve_batch(adapter.build(), np.array([[-3.0, 1.0, 3.0]]), {})
    assert solved.statuses[0] == Status.OPTIMAL
    assert solved.values.tolist() == [[0, 1, 7]]


def test_highs_refuses_bounds_with_which_it_is_wrong() -> None:
    """With OR-Tools 9.15 it takes [1, 1, 2] for optimal here."""
    rows = {"A_eq": [[3.0, 5.0, 3.0]], "b_eq": [14.0]}
    with pytest.raises(ValueError, match=r"HiGHS gives wrong answers .*beyond 1e\+06, such as variable 1; make them"):
        ILPAdapter(ILPSpec(sense="max", **rows, ub=[5, 1e9, np.inf], integrality=True), "highs")
    theta = np.array([[0.047, -0.983, 1.917]])
    for largest in (1e6, np.inf):
        adapter = ILPAdapter(ILPSpec(sense="max", **rows, ub=largest, integrality=True), "highs", compiled=False)
        assert adapter.solve_batch(adapter.build(), theta, {}).values.tolist() == [[0, 1, 3]]
        with pytest.raises(InputError, match="^row 1 .*HiGHS gives wrong answers .* variable 2; make"):
            adapter.check(np.zeros((2, 3)), {"lb": np.array([[0.0, 0, 0], [0, 0, -1e7]])})
    ILPAdapter(ILPSpec(sense="max", **rows, ub=1e9), "highs")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_layers_of_theta_of_any_magnitude(dtype: torch.dtype, training: bool) -> None:
    spec = ILPSpec(sense="max", A_ub=[[2.0, 3.0, 1.0, 4.0]], b_ub=[5.0], ub=1, integrality=True)
    # Noise in units of theta would make the largest numbers infinite, which is an error.
    estimator = IMLE(target=Target(), input_noise_temperature=1.0)
    layer = SolverLayer(ILPAdapter(spec), estimator=estimator).train(training)
    most = torch.finfo(dtype).max
    theta = torch.tensor(
        [[most] * 4, [most, -most, most, 1e-3], [1e-40, 0, 2e-40, 0], [most, 1e-30, 1, 2]], dtype=dtype
    )
    theta.requires_grad_()
    z = layer(theta)
    z.sum().backward()
    assert theta.grad is not None and theta.grad.isfinite().all()
    assert z[1].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("value", [1e20, -LARGEST, 1e-310, -5e-324])
def test_coefficients_that_no_solver_can_hold(value: float) -> None:
    with pytest.raises(
        ValueError, match=r"coefficients of 1e-100 to 1e\+20 in .*, or 0, got .* in A_eq\[0, 1\]; scale the"
    ):
        ILPSpec(sense="max", A_eq=[[1.0, value]], b_eq=[1.0])
