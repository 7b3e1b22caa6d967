"""Gurobi and Xpress, without a licence: what they are asked, and what is said where they are not there."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
import types
from typing import Any

import numpy as np
import pytest
from ortools.math_opt import parameters_pb2
from ortools.math_opt.python import mathopt

from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends
from imle_adapters.ilp.engines import licensed, math_opt
from imle_adapters.ilp.engines.engine import Claim
from imle_adapters.ilp.program import Program
from tests.adapters.ilp.instances import knapsack

SPEC = ILPSpec(sense="max", A_ub=[[2.0, 3.0, 4.0]], b_ub=[5.0], ub=1, integrality=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What MathOpt is asked in place of Gurobi and Xpress; CP-SAT answers."""
    calls: list[dict[str, Any]] = []
    solve = mathopt.solve

    def instead(model: Any, solver: Any, *, params: Any, **rest: Any) -> Any:
        calls.append({"solver": solver.value, "params": params.to_proto(), **rest})
        return solve(model, mathopt.SolverType.CP_SAT, **rest)

    monkeypatch.setattr(mathopt, "solve", instead)
    monkeypatch.setattr("imle_adapters.ilp.engines.fit.require", lambda backend: None)
    return calls


@pytest.mark.parametrize(
    ("backend", "solver", "own"),
    [
        (
            "gurobi",
            parameters_pb2.SOLVER_TYPE_GUROBI,
            {"FeasibilityTol": "1e-09", "IntFeasTol": "1e-09", "OptimalityTol": "1e-09"},
        ),
        (
            "xpress",
            parameters_pb2.SOLVER_TYPE_XPRESS,
            {
                "FEASTOL": "1e-09",
                "OPTIMALITYTOL": "1e-09",
                "MIPTOL": "1e-09",
                "MIPADDCUTOFF": "0.0",
                "MIPRELCUTOFF": "0.0",
            },
        ),
    ],
)
def test_they_are_asked_for_the_exact_optimum_on_one_thread(
    asked: list[dict[str, Any]], backend: str, solver: int, own: dict[str, str]
) -> None:
    adapter = ILPAdapter(SPEC, backend, time_limit=datetime.timedelta(seconds=7), compiled=False)
    assert adapter.backend == backend and adapter.in_process
    solved = adapter.solve_batch(adapter.build(), np.array([[1.0, 2.0, 2.5], [3.0, 1.0, 1.0]]), {})
    assert solved.values.tolist() == [[1, 1, 0], [1, 1, 0]]
    assert len(asked) == 3  # the first is for feasibility
    for call in asked:
        params = call["params"]
        assert call["solver"] == solver
        assert (params.threads, params.random_seed) == (1, 0)
        assert (params.relative_gap_tolerance, params.absolute_gap_tolerance) == (0, 0)
        assert params.HasField("relative_gap_tolerance") and params.HasField("absolute_gap_tolerance")
        assert 0 < params.time_limit.ToTimedelta().total_seconds() <= 7
        assert not params.enable_output
        assert {each.name: each.value for each in getattr(params, backend).parameters} == own
        assert isinstance(call["interrupter"].interrupted, bool)


def test_a_gap_is_passed_on(asked: list[dict[str, Any]]) -> None:
    ILPAdapter(SPEC, "gurobi", relative_gap=0.25)
    assert asked[0]["params"].relative_gap_tolerance == 0.25


def test_solves_by_mathopt_end_when_they_are_stopped() -> None:
    """Here by CP-SAT, which listens to the same interrupter."""
    solver = math_opt.Solver("CP_SAT", lambda: mathopt.SolveParameters(threads=1))
    program = Program.of(knapsack(60, 30))
    engine = math_opt.MathOptEngine(solver, program)
    costs = -np.random.default_rng(0).uniform(1.0, 2.0, 60)
    timer = threading.Timer(0.2, engine.stop)
    timer.start()
    claim = engine.minimize(costs, program.bounds, 60.0).claim
    timer.join()
    assert claim in (Claim.FEASIBLE, Claim.LIMIT)
    assert engine.minimize(costs, program.bounds, 60.0).claim in (Claim.FEASIBLE, Claim.LIMIT)  # for good


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("gurobi", "backend 'gurobi': OR-Tools .* finds no library of Gurobi; install Gurobi, and set GUROBI_HOME"),
        ("xpress", "backend 'xpress': OR-Tools .* finds no library of Xpress; install Xpress, and set XPRESSDIR"),
    ],
)
def test_without_a_library_the_error_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capfd: Any, backend: str, message: str
) -> None:
    for folder in ("GUROBI_HOME", "XPRESSDIR"):
        monkeypatch.setenv(folder, str(tmp_path))
    with pytest.raises(ValueError, match=message):
        ILPAdapter(SPEC, backend.title())
    assert capfd.readouterr() == ("", "")


GUROBI_SAYS = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
W0000 00:00:17 9 gurobi_util.cc:34] FAILED_PRECONDITION: Found the Gurobi shared library, but could \
not create Gurobi environment: is Gurobi licensed on this machine?No Gurobi license found (user x, host y)
Traceback (most recent call last):
AttributeError: 'StatusNotOk' object has no attribute 'canonical_code'
"""
XPRESS_SAYS = """W0000 00:00:17 9 xpress_environment.cc:417] XpressInterface: Xpress found at /x/lib/
E0000 00:00:17 9 xpress_environment.cc:421] XpressInterface : License error : expired (code 8).
E0000 00:00:17 9 xpress_environment.cc:423] |_Your Xpress installation should have set XPAUTH_PATH
"""
ABORTED = """F0000 00:00:17 9 dynamic_library.h:70] Check failed: function_address Error: could not \
find function GRBisattravailable in /x/lib/libgurobi120.so
*** Check failure stack trace: ***
"""
UNLINKED = "solver type SOLVER_TYPE_GUROBI is not registered, support for this solver has not been compiled"


@pytest.mark.parametrize(
    ("backend", "code", "said", "message"),
    [
        ("gurobi", 1, GUROBI_SAYS, "installed, but gives no licence; see to GRB_LICENSE_FILE.*No Gurobi license found"),
        ("xpress", 1, XPRESS_SAYS, "gives no licence; see to XPAUTH_PATH. It says: XpressInterface : License error"),
        ("gurobi", -6, ABORTED, "dies of its first use of Gurobi .*could not find function .* versions of Gurobi and"),
        ("gurobi", -11, "", r"dies of its first use of Gurobi \(signal 11\); set GUROBI_HOME"),
        ("gurobi", 1, UNLINKED, "is built without Gurobi; take another OR-Tools"),
        ("xpress", 1, "Traceback\nRuntimeError: odd\n", "cannot use Xpress. It says: RuntimeError: odd"),
        ("xpress", 1, "", "cannot use Xpress. It says: nothing"),
    ],
)
def test_the_error_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, backend: str, code: int, said: str, message: str
) -> None:
    ended = types.SimpleNamespace(returncode=code, stderr=said)
    monkeypatch.setattr(licensed.subprocess, "run", lambda *args, **settings: ended)
    with pytest.raises(ValueError, match=message):
        ILPAdapter(SPEC, backend)


def test_a_licence_server_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Any, **settings: Any) -> Any:
        raise subprocess.TimeoutExpired(command, settings["timeout"])

    monkeypatch.setattr(licensed.subprocess, "run", run)
    with pytest.raises(ValueError, match="Gurobi did not solve .* within 60 s; is its licence server reachable"):
        ILPAdapter(SPEC, "gurobi")


def test_an_error_is_found_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have installed what was missing."""
    codes = iter([1, 0, 1])
    monkeypatch.setattr(
        licensed.subprocess, "run", lambda *args, **settings: types.SimpleNamespace(returncode=next(codes), stderr="")
    )
    licensed.require.cache_clear()
    try:
        with pytest.raises(ValueError, match="cannot use Xpress"):
            licensed.require("xpress")
        licensed.require("xpress")
        licensed.require("xpress")  # not tried again
        assert list(codes) == [1]
    finally:
        licensed.require.cache_clear()


def test_nobody_looks_for_them_unless_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imle_adapters.ilp.engines.fit.require", pytest.fail)
    monkeypatch.setattr(math_opt, "load_gurobi", pytest.fail)
    available_backends.cache_clear()
    assert not {"gurobi", "xpress"} & set(available_backends())
    ILPAdapter(SPEC)


def test_nothing_is_said_and_mathopt_is_not_imported_unless_it_is_used() -> None:
    program = """
import sys
from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends
assert "highs" in available_backends()
spec = ILPSpec(sense="max", A_ub=[[2.0, 3.0, 4.0]], b_ub=[5.0], ub=1, integrality=True)
ILPAdapter(spec)
assert not [name for name in sys.modules if name.startswith("ortools.math_opt")]
ILPAdapter(spec, "highs")
assert "ortools.math_opt.python.mathopt" in sys.modules
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["SCIP", "CP-SAT", "cp sat", " highs", "CBC"])
def test_names_are_taken_however_they_are_written(name: str) -> None:
    assert ILPAdapter(SPEC, name).backend == name.strip().lower().replace("-", "_").replace(" ", "_")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("cpsat", "cp_sat"), ("SAT", "cp_sat"), ("GLPK", "glop"), ("Gurobbi", "gurobi"), ("XPRESS-MP", "xpress")],
)
def test_unknown_names_suggest_the_nearest(name: str, meant: str) -> None:
    known = f"one of {', '.join(available_backends())} in this OR-Tools, or with a licence gurobi or xpress"
    with pytest.raises(ValueError, match=f"{known}, got '{name}'; did you mean '{meant}'"):
        ILPAdapter(SPEC, name)


def test_names_like_nothing_suggest_nothing() -> None:
    for name in ("", "solver of my own"):
        with pytest.raises(ValueError, match=f"got '{name}'$"):
            ILPAdapter(SPEC, name)


@pytest.mark.parametrize("backend", [None, 3, b"scip", ["scip"], True])
def test_backends_that_are_no_names(backend: Any) -> None:
    with pytest.raises(TypeError, match='expected backend "auto", one of .*, got '):
        ILPAdapter(SPEC, backend)
