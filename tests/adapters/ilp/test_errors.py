"""Bad input to ILPSpec and ILPAdapter: the error says what was expected and what came."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from ortools.math_opt.python import mathopt

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers.errors import AdapterError
from tests.adapters.ilp.instances import knapsack

GOOD: dict[str, Any] = {"sense": "max", "shape": 2, "A_ub": [[1.0, 2.0]], "b_ub": [3.0], "ub": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sense": "maximize"}, "sense=\"min\".*'maximize'"),
        ({"shape": 3}, r"A_ub has 2 columns, shape \(3,\) has 3 entries; .* theta_index"),
        ({"shape": (2, 0)}, r"positive sides, got \(2, 0\)"),
        ({"shape": "ab"}, "tuple of integers, got 'ab'"),
        ({"shape": (2.7,)}, r"tuple of integers, got \(2.7,\)"),
        ({"b_ub": [3.0, 4.0]}, r"b_ub to have shape \(1,\), one entry for each row of A_ub, got \(2,\)"),
        ({"b_ub": None}, "A_ub and b_ub together, got A_ub without b_ub"),
        ({"b_eq": [1.0]}, "A_eq and b_eq together, got b_eq without A_eq"),
        ({"A_ub": [1.0, 2.0]}, r"matrix with one row for each constraint, got shape \(2,\)"),
        ({"A_ub": [[1.0, np.nan]]}, r"finite coefficients, got nan in A_ub\[0, 1\]"),
        ({"A_ub": scipy.sparse.csr_matrix([[0, np.inf]])}, r"finite coefficients, got inf in A_ub\[0, 1\]"),
        ({"A_ub": scipy.sparse.csr_matrix([[0, 1j]])}, "real numbers, got a matrix of complex128"),
        ({"A_ub": [["a", "b"]]}, "A_ub to be an array of real numbers"),
        ({"A_ub": [[1.0, 2j]]}, "A_ub to be an array of real numbers"),
        ({"A_ub": np.array([[1.0, 2j]])}, "A_ub to be an array of real numbers"),
        ({"b_ub": [np.nan]}, r"b_ub to be finite, or \+inf .*got nan in b_ub\[0\]"),
        ({"A_eq": [[1, 1]], "b_eq": [np.inf]}, r"b_eq to be finite, got inf in b_eq\[0\]"),
        ({"lb": [0, 2]}, r"lb <= ub, got lb = 2.0 > ub = 1.0 for variable 1"),
        ({"lb": [0, 2], "names": ["x", "y"]}, r"variable 1 \(y\)"),
        ({"lb": np.inf}, "lb to be a number or -inf, got inf for variable 0"),
        ({"ub": [1, np.nan]}, "ub to be a number or inf, got nan for variable 1"),
        ({"ub": [1, 1, 1]}, "one number of variables, but A_ub has 2 columns.*ub has 3 entries"),
        ({"integrality": [True]}, "integrality has 1 entries"),
        ({"integrality": [0, 2]}, "got 2.0 for variable 1; semi-continuous"),
        ({"theta_index": [0, 2]}, r"theta_index within 0..1, got 2"),
        ({"theta_index": [1, -1]}, r"theta_index within 0..1, got -1"),
        ({"theta_index": [1, 1]}, "each variable at most once, but variable 1 comes 2 times"),
        ({"theta_index": [1]}, r"each of theta's 2 \(shape \(2,\)\), got 1"),
        ({"theta_index": [0.0, 1.0]}, "theta_index to hold integers, got an array of float64"),
        ({"theta_index": ["x", "y"]}, "theta_index: expected positions, as the variables have no names, got 'x'"),
        (
            {"theta_index": ["price", "costs"], "names": ["price", "cost"]},
            "theta_index: expected the name of one variable, got 'costs'; did you mean 'cost'?",
        ),
        ({"theta_index": ["q", "x"], "names": ["x", "y"]}, "got 'q'; the variables are 'x', 'y'"),
        ({"theta_index": ["x", "x"], "names": ["x", "x"]}, "got 'x', which variables 0 and 1 have; give positions"),
        ({"theta_index": ["x", 1], "names": ["x", "y"]}, "expected the name of one variable, got '1'"),
        ({"theta_index": ["x", "x"], "names": ["x", "y"]}, "each variable at most once, but variable 0 comes 2 times"),
        (
            {"theta_index": [0], "shape": 1, "fixed_cost": [1, 2, 3]},
            r"fixed_cost of shape \(1,\).* or \(2,\), got \(3,\)",
        ),
        ({"theta_index": [0], "shape": 1, "fixed_cost": [1, 2]}, "0 where theta prices, got 1.0 for variable 0"),
        ({"theta_index": [0], "shape": 1, "fixed_cost": np.nan}, "fixed_cost to be finite, got nan"),
        ({"names": ["x"]}, "a name for each of the 2 variables, got 1"),
    ],
)
def test_specs(change: dict[str, Any], message: str) -> None:
    ILPSpec(**GOOD)
    with pytest.raises(ValueError, match=message):
        ILPSpec(**{**GOOD, **change})


def test_a_spec_without_a_size() -> None:
    with pytest.raises(ValueError, match="number of variables from shape"):
        ILPSpec(sense="min")


@pytest.mark.parametrize("backend", ["auto", "scip", "cbc", "cp_sat", "highs"])
@pytest.mark.parametrize(
    "rows",
    [
        {"A_ub": [[-1.0, -1.0]], "b_ub": [-3.0]},
        {"A_eq": [[2.0, 2.0]], "b_eq": [1.0]},
        {"A_ub": [[-3.0, 1.0], [3.0, 1.0]], "b_ub": [-1.0, 2.0]},
        {"lb": 0.2, "ub": 0.8},
    ],
)
def test_infeasible_programs_are_found_at_construction(backend: str, rows: dict[str, Any]) -> None:
    spec = ILPSpec(**{"sense": "min", "shape": 2, "ub": 1, "integrality": True, **rows})
    with pytest.raises(ValueError, match="expected a feasible program, but no x satisfies.*check"):
        ILPAdapter(spec, backend)


def test_infeasible_linear_programs() -> None:
    with pytest.raises(ValueError, match="expected a feasible program"):
        ILPAdapter(ILPSpec(sense="min", shape=1, A_ub=[[1.0]], b_ub=[-1.0]))


@pytest.mark.parametrize(
    ("backend", "change", "message"),
    [
        ("glop", {}, "it solves linear programs, and 2 variables are integer.*take one of scip"),
        ("cp_sat", {"integrality": [True, False]}, "variable 1 is continuous"),
        ("cp_sat", {"ub": [1, np.inf]}, r"variable 1 has bounds \[0.0, inf\]"),
        ("cp_sat", {"A_ub": [[np.pi, 1e10]]}, "coefficients of row 0 make sums above"),
        ("cbc", {"ub": [1, np.inf]}, "integer variables without finite bounds, such as variable 1"),
    ],
)
def test_programs_that_a_backend_cannot_take(backend: str, change: dict[str, Any], message: str) -> None:
    spec = ILPSpec(**{**GOOD, "integrality": True, **change})
    with pytest.raises(ValueError, match=message):
        ILPAdapter(spec, backend)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), datetime.timedelta(0)])
def test_time_limits(limit: Any) -> None:
    with pytest.raises(ValueError, match="time_limit to be a positive number of seconds"):
        ILPAdapter(knapsack(4, 1), time_limit=limit)


def test_something_else_than_a_spec() -> None:
    with pytest.raises(TypeError, match="expected an ILPSpec, got list"):
        ILPAdapter([])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sense"):
        ILPAdapter({"shape": 2})


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"b_ub": [[1.0, 2.0], [1.0, np.nan]]}, r"^row 1 .*expected b_ub to be finite.*nan in b_ub\[1\]"),
        (
            {"lb": [[0.0] * 4, [0, 0, 5, 0]]},
            r"^row 1 .*expected lb <= ub, got lb = 5.0, ub = 1.0 for variable 2",
        ),
        (
            {"ub": [[1.0, np.nan, 1, 1], [1.0] * 4]},
            r"^row 0 .*expected ub to be numbers, got nan in ub\[1\]",
        ),
        (
            {"ub": [[1.0] * 4, [1.0, 1, 1, np.inf]]},
            r"^row 1 .*backend 'cp_sat' cannot take.*variable 3 has bounds",
        ),
    ],
)
def test_context(context: dict[str, Any], message: str) -> None:
    arrays = {name: np.array(value) for name, value in context.items()}
    with pytest.raises(ValueError, match=message):
        ILPAdapter(knapsack(4, 2), "cp_sat").check(np.zeros((2, 4)), arrays)


def test_context_with_bounds_that_count_as_infinite() -> None:
    adapter = ILPAdapter(knapsack(2, 1), "scip")
    context = {"lb": np.array([[0.0, 1e20]]), "ub": np.array([[1.0, 1e30]])}
    with pytest.raises(ValueError, match="^row 0 .*expected lb <= ub, got lb = inf, ub = inf for variable 1"):
        adapter.check(np.zeros((1, 2)), context)


def test_bounds_of_an_instance_that_make_sums_too_large_for_cp_sat() -> None:
    spec = ILPSpec(sense="max", A_ub=[[1000.0, 3.0]], b_ub=[1000.0], ub=1, integrality=True)
    adapter = ILPAdapter(spec, "cp_sat")
    context = {"b_ub": np.array([[1e19]]), "ub": np.full((1, 2), 2.0**52)}
    with pytest.raises(AdapterError, match=r"row 0 .*expected bounds under which row 0, .* 2\*\*61"):
        adapter.solve_batch(adapter.build(), np.ones((1, 2)), context)
    context["ub"] /= 1000
    solved = adapter.solve_batch(adapter.build(), np.ones((1, 2)), context)
    assert solved.values.tolist() == np.floor(context["ub"]).tolist()


HEAD = "NAME T\nROWS\n N C\n L R\nCOLUMNS\n x C 1 R 1\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.mps", HEAD + "RHS\n", "end with ENDATA; it is cut short"),
        ("t.mps", "hello\nworld\n", "line 1: expected a section of an MPS file.*'hello'"),
        ("t.mps", HEAD + " x Q 1\nENDATA\n", "line 7: row Q is not in ROWS"),
        ("t.mps", HEAD + " x R 1\nENDATA\n", "line 7: the coefficient of x in row R comes twice"),
        ("t.mps", HEAD + " y R 1x\nENDATA\n", "line 7: expected a number, got '1x'"),
        ("t.mps", HEAD + " y R nan\nENDATA\n", "line 7: expected a number, got nan"),
        ("t.mps", HEAD + "BOUNDS\n UP B z 3\nENDATA\n", "line 8: variable z is not in COLUMNS"),
        ("t.mps", HEAD + "BOUNDS\n SC B x 3\nENDATA\n", "semi-continuous variables are not supported"),
        ("t.mps", HEAD + "BOUNDS\n UP B x 3\n UP D x 4\nENDATA\n", "one set in BOUNDS, got B and D"),
        ("t.mps", HEAD + "BOUNDS\n LO B x 4\n UP B x 3\nENDATA\n", r"lb = 4.0 > ub = 3.0 for variable 0 \(x\)"),
        ("t.mps", HEAD + "QUADOBJ\n x x 2\nENDATA\n", "line 7: a quadratic objective are not supported"),
        ("t.mps", HEAD + "SOS\n S1 s\nENDATA\n", "special ordered sets are not supported"),
        ("t.mps", "ROWS\n L R\nCOLUMNS\n x R 1\nENDATA\n", "expected an N row"),
        ("t.lp", "max: 3x + 2y;", "LP file of CPLEX's format, which starts with Minimize or Maximize"),
        ("t.lp", "Minimize\n x\nSubject To\n x >= 1\n", "end with End; it is cut short"),
        ("t.lp", "Minimize\n x\nSubject To\n x >= y\nEnd\n", "all variables on one side"),
        ("t.lp", "Minimize\n x\nSubject To\n x + y\nEnd\n", "constraint with one or two of"),
        ("t.lp", "Minimize\n x\nSubject To\n c: x >= 2\n c: <= 8\nEnd\n", "range in one line, .*a second 'c' without"),
        ("t.lp", "Minimize\n x + [ x ^ 2 ] / 2\nEnd\n", "quadratic terms"),
        ("t.lp", "Minimize\n x\nSemi-continuous\n x\nEnd\n", "semi-continuous variables"),
        ("t.lp", "Minimize\n x\nBounds\n z <= 3\nEnd\n", "section from line 3: variable z is in no objective"),
        ("t.txt", "", "named .mps, .lp"),
        ("t.mps.gz", "no gzip", "packed by gzip"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        ILPSpec.from_mps(path)


def test_files_that_are_not_there_or_cut_short(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ILPSpec.from_mps(tmp_path / "missing.mps")
    (tmp_path / "t.mps.gz").write_bytes(gzip.compress(HEAD.encode() * 99)[:-20])
    with pytest.raises(ValueError, match="packed by gzip"):
        ILPSpec.from_mps(tmp_path / "t.mps.gz")


def test_mathopt_models() -> None:
    model, other = mathopt.Model(), mathopt.Model()
    x, y = model.add_binary_variable(name="x"), other.add_binary_variable(name="y")
    with pytest.raises(ValueError, match=r"variables of the model, .*got .* at \(1,\)"):
        ILPSpec.from_mathopt(model, [x, y])
    with pytest.raises(ValueError, match="each variable at most once"):
        ILPSpec.from_mathopt(model, [x, x])
    model.minimize(x * x)
    with pytest.raises(ValueError, match="quadratic objective"):
        ILPSpec.from_mathopt(model, [x])
