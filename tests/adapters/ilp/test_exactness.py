"""Decimals, fractions and large integers: what CP-SAT rounds, and what is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_adapters.ilp.engines.engine import COST_EXPONENT, scaled
from tests.adapters.ilp.instances import knapsack

INTEGER_BACKENDS = ("scip", "cbc", "cp_sat", "highs")


def solve_alone(adapter: ILPAdapter, theta: np.ndarray) -> list[float]:
    solution: list[float] = adapter.solve_batch(adapter.build(), theta[None], {}).values[0].tolist()
    return solution


def test_cp_sat_is_exact_on_float32_theta() -> None:
    adapter = ILPAdapter(knapsack(32, 2), "cp_sat")
    theta = np.random.default_rng(0).gumbel(size=32).astype(np.float32)
    assert adapter.objective_loss(theta) == 0.0


def test_cp_sat_states_the_loss_and_keeps_within_it() -> None:
    spec = ILPSpec(sense="max", shape=3, A_ub=[[1, 1, 1]], b_ub=[1], ub=1, integrality=True)
    adapter = ILPAdapter(spec, "cp_sat")
    theta = np.array([1.0, 2.0**-70, 2.0**-71])
    loss = adapter.objective_loss(theta)
    assert 0.0 < loss < 2.0**-57
    z, _ = adapter.solve(adapter.build(), np.array([0.0, 2.0**-70, 2.0**-71]))
    assert z.tolist() == [0, 1, 0]  # without the large entry the small ones are seen
    z, _ = adapter.solve(adapter.build(), theta, ub=np.array([0.0, 1.0, 1.0]))
    assert 2.0**-70 - z @ theta <= loss
    with pytest.raises(ValueError, match="expected backend \"cp_sat\".*'scip'"):
        ILPAdapter(spec, "scip").objective_loss(theta)


def test_cp_sat_tells_apart_the_last_bits_of_theta() -> None:
    spec = ILPSpec(sense="max", shape=4, A_eq=np.ones((1, 4)), b_eq=[1], ub=1, integrality=True)
    adapter = ILPAdapter(spec, "cp_sat")
    for best in range(4):
        theta = np.full(4, 0.1)
        theta[best] = np.nextafter(0.1, 1)
        assert adapter.solve(adapter.build(), theta)[0].argmax() == best


def test_cp_sat_takes_decimal_rows_exactly() -> None:
    spec = ILPSpec(sense="max", shape=3, A_ub=[[0.1, 0.2, 0.3]], b_ub=[0.3], ub=1, integrality=True)
    adapter = ILPAdapter(spec, "cp_sat")
    state = adapter.build()
    assert adapter.solve(state, np.array([1.0, 1.0, 1.5]))[0].tolist() == [1, 1, 0]
    assert adapter.solve(state, np.array([1.0, 1.0, 1.5]), b_ub=np.array([0.1 + 0.2]))[0].tolist() == [1, 1, 0]
    assert adapter.solve(state, np.array([1.0, 1.0, 1.5]), b_ub=np.array([0.29]))[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("backend", INTEGER_BACKENDS)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("large", [1, 1e6])
def test_rows_of_fractions_are_held_up_to_their_rounding(backend: str, compiled: bool, large: float) -> None:
    """As decimals, 0.3333333333333333 and 0.6666666666666666 do not sum up to 1."""
    fractions = large * np.array([[1 / 3, 2 / 3, 1.0]])
    for kind, sign in (("eq", 1), ("ub", -1)):
        spec = ILPSpec(
            sense="min", **{f"A_{kind}": sign * fractions, f"b_{kind}": [sign * large]}, ub=1, integrality=True
        )
        assert solve_alone(ILPAdapter(spec, backend, compiled=compiled), np.array([1.0, 2.0, 4.0])) == [1, 1, 0]


def test_sides_computed_from_random_rows_are_met() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, inside = rng.uniform(0.1, 1.0, (1, 6)), rng.integers(0, 2, 6)
        spec = ILPSpec(sense="max", A_eq=rows, b_eq=rows @ inside, ub=1, integrality=True)
        assert solve_alone(ILPAdapter(spec, "cp_sat", compiled=False), np.zeros(6)) == inside.tolist()


def test_rows_of_large_integers_are_exact() -> None:
    """One in 1e12 is not much, but there is nothing to round."""
    spec = ILPSpec(sense="max", A_ub=[[1e12, 1, 1]], b_ub=[1e12], ub=1, integrality=True)
    for compiled in (False, True):
        adapter = ILPAdapter(spec, "cp_sat", compiled=compiled)
        assert solve_alone(adapter, np.array([4.0, 1.0, 1.1])) == [1, 0, 0]


def test_costs_are_scaled_exactly() -> None:
    costs: Any = np.array([3.7e-300, -1.1e-301, 0.0])
    ratio = scaled(costs)[:2] / costs[:2]
    assert ratio[0] == ratio[1] == 2.0 ** np.log2(ratio[0])
    assert 2.0 ** (COST_EXPONENT - 1) <= np.abs(scaled(costs)).max() < 2.0**COST_EXPONENT
    assert scaled(np.zeros(2)).tolist() == [0, 0]
