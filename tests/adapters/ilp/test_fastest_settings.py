"""The fastest settings are found by trying."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imle_adapters.ilp import ILPAdapter, ILPSpec, fastest_settings
from imle_solvers.status import Status
from tests.adapters.ilp.instances import knapsack


def test_the_fastest_settings_can_be_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    spec = knapsack(10, 2)
    thetas = np.random.default_rng(0).random((3, 10))
    settings = fastest_settings(spec, thetas, b_ub=np.tile(spec.b_ub, (3, 1)))
    printed = capsys.readouterr().out
    assert repr(settings["backend"]) in printed
    adapter = ILPAdapter(spec, **settings)
    assert adapter.compiled == settings["compiled"]
    with pytest.raises(ValueError, match=r"thetas of shape \(N, 10\), got \(3, 9\)"):
        fastest_settings(spec, thetas[:, :9])


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"b_ub": np.ones(3)}, r"b_ub \(3, 1\), .*, got b_ub of shape \(3,\)"),
        ({"b_ub": np.ones((1, 1))}, r"got b_ub of shape \(1, 1\)"),
        ({"cap": np.ones((3, 1))}, "got cap of shape"),
        ({"b_ub": np.full((3, 1), np.nan)}, "expected b_ub to be finite"),
    ],
)
def test_the_fastest_settings_of_wrong_context(context: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fastest_settings(knapsack(4, 1), np.ones((3, 4)), quiet=True, **context)
    with pytest.raises(ValueError, match="finite thetas, got nan"):
        fastest_settings(knapsack(4, 1), np.full((3, 4), np.nan), quiet=True)


def test_the_fastest_settings_pass_over_backends_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """No infinite bounds in CP-SAT and CBC, and what ends CRASHED at once is not fast."""
    spec = ILPSpec(sense="max", A_ub=[[2.0, 3.0]], b_ub=[4.0], ub=1, integrality=True)
    fastest = fastest_settings(spec, np.ones((2, 2)), quiet=True, ub=np.full((2, 2), np.inf))["backend"]
    assert fastest in ("scip", "scip_no_cuts", "highs")
    solve = ILPAdapter.solve

    def crashes(self: ILPAdapter, *args: Any, **context: Any) -> Any:
        return solve(self, *args, **context) if self.backend == "scip" else (None, Status.CRASHED)

    monkeypatch.setattr(ILPAdapter, "solve", crashes)
    thetas = np.zeros((2, 2))  # ties, which are left to the backend
    assert fastest_settings(spec, thetas, quiet=True)["backend"] == "scip"


def test_the_fastest_settings_of_a_linear_program_need_no_search(capsys: pytest.CaptureFixture[str]) -> None:
    spec = ILPSpec(sense="max", shape=4, A_ub=np.ones((1, 4)), b_ub=[2.5], ub=1)
    assert fastest_settings(spec, np.ones((2, 4)), quiet=True)["compiled"] is False
    assert capsys.readouterr().out == ""
