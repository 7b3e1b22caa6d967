"""ILPSpec: what it normalises, and what files and models are read as."""

from __future__ import annotations

import copy
import gzip
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from ortools.linear_solver.python import model_builder
from ortools.math_opt.python import mathopt

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers.status import Status
from tests.adapters.ilp.instances import data

MPS = """* a comment
NAME          T
OBJSENSE
    MAX
ROWS
 N  COST
 L  R1
 G  R2
 E  R3
 E  R4
 N  FREE
COLUMNS
 x  COST 1 R1 1
 x  R2 1 R3 1
 M1 'MARKER' 'INTORG'
 y  COST 2 R1 1
 y  R4 1 FREE 3
 q  R4 1
 M2 'MARKER' 'INTEND'
 w  R2 1 R3 2
RHS
 RHS R1 10 R2 2
 RHS R3 4 R4 5
 RHS COST -7
RANGES
 RNG R1 4 R2 3
 RNG R3 2 R4 -2
BOUNDS
{bounds}
ENDATA
"""

LP = r"""\ a comment
Maximize
 obj: 3 x + 2 y - 1.5e0 z
 + 7 w + 4
Subject To
 c1: x + y + 2 z <= 4
 c2: -1 <= x - z <= 3
 c3: w + x
   + y >= 2
 - w = -3
 -8 >= - 2 x - w
Bounds
 x <= 4
 -5 <= z <= 8
 w free
 y >= -inf
General
 y
Binary
 b
End
"""


def from_text(tmp_path: Path, name: str, text: str) -> ILPSpec:
    path = tmp_path / name
    path.write_text(text)
    return ILPSpec.from_mps(path)


def test_defaults_are_those_of_linprog() -> None:
    spec = ILPSpec(sense="min", shape=(2, 3))
    assert (spec.lb == 0).all() and (spec.ub == np.inf).all()
    assert not spec.integrality.any()
    assert spec.A_ub.shape == (0, 6) and spec.b_eq.shape == (0,)
    assert spec.theta_index.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("form", [np.array, scipy.sparse.csc_matrix, scipy.sparse.coo_array, lambda rows: rows])
def test_matrices_of_every_form_are_the_same_spec(form: object) -> None:
    rows = [[1.0, 0.0, 2.0], [0.0, 0.0, -3.0]]
    spec = ILPSpec(sense="min", A_ub=form(rows), b_ub=[1, 2])  # type: ignore[operator]
    assert spec.shape == (3,)
    assert spec.A_ub.format == "csr" and spec.A_ub.nnz == 3
    assert spec.A_ub.toarray().tolist() == rows


def test_a_spec_owns_its_arrays_and_is_frozen() -> None:
    weights, ub = np.ones((1, 3)), np.ones(3)
    spec = ILPSpec(sense="max", A_ub=weights, b_ub=[2], ub=ub)
    weights[:] = ub[:] = 9
    assert spec.A_ub.toarray().tolist() == [[1, 1, 1]] and spec.ub.tolist() == [1, 1, 1]
    with pytest.raises(FrozenInstanceError):
        spec.sense = "min"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        spec.ub[0] = 5


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda spec: pickle.loads(pickle.dumps(spec))])
def test_a_spec_can_be_copied_and_pickled(duplicate: object) -> None:
    spec = ILPSpec(sense="max", A_ub=[[2.0, 3.0]], b_ub=[4], ub=[1, 2], integrality=[0, 1], names=["a", "b"])
    other = duplicate(spec)  # type: ignore[operator]
    assert repr(other) == repr(spec) and other.names == ("a", "b")
    assert (other.A_ub != spec.A_ub).nnz == 0 and (other.integrality == [False, True]).all()


def test_bounds_may_have_the_shape_of_theta() -> None:
    spec = ILPSpec(sense="max", shape=(2, 2), ub=[[1, 2], [3, 4e30]], integrality=np.eye(2))
    assert spec.ub.tolist() == [1, 2, 3, np.inf]
    assert spec.integrality.tolist() == [True, False, False, True]


def test_fixed_cost_of_the_others_in_order_or_in_full() -> None:
    short = ILPSpec(sense="min", lb=np.zeros(4), theta_index=[2, 0], fixed_cost=[5, 6])
    full = ILPSpec(sense="min", lb=np.zeros(4), theta_index=[2, 0], fixed_cost=[0, 5, 0, 6])
    assert short.fixed_cost.tolist() == full.fixed_cost.tolist() == [0, 5, 0, 6]
    assert short.shape == (2,)


def test_mps_with_ranges_markers_and_an_objective_constant(tmp_path: Path) -> None:
    spec = from_text(tmp_path, "t.mps", MPS.format(bounds=" FX B x 3\n UP B w -1"))
    assert spec.sense == "max" and spec.names == ("x", "y", "q", "w")
    assert spec.objective.tolist() == [1, 2, 0, 0] and spec.offset == 7
    assert spec.integrality.tolist() == [False, True, True, False]
    assert spec.lb.tolist() == [3, 0, 0, -np.inf] and spec.ub.tolist() == [3, 1, 1, -1]
    assert spec.A_ub.toarray().tolist() == [
        *([1, 1, 0, 0], [-1, -1, 0, 0]),  # 6 <= R1 <= 10
        *([1, 0, 0, 1], [-1, 0, 0, -1]),  # 2 <= R2 <= 5
        *([1, 0, 0, 2], [-1, 0, 0, -2]),  # 4 <= R3 <= 6: an E row with a positive range
        *([0, 1, 1, 0], [0, -1, -1, 0]),  # 3 <= R4 <= 5: and with a negative one
    ]
    assert spec.b_ub.tolist() == [10, -6, 5, -2, 6, -4, 5, -3]
    assert spec.A_eq.shape == (0, 4)


@pytest.mark.parametrize(
    ("bounds", "low", "high", "whole"),
    [
        (" MI B x", -np.inf, np.inf, False),
        (" FR B x", -np.inf, np.inf, False),
        (" PL B x", 0, np.inf, False),
        (" BV B x", 0, 1, True),
        (" LI B x 2\n UI B x 9", 2, 9, True),
        (" LO B x -2\n UP B x 1e30", -2, np.inf, False),
        (" UP x 4", 0, 4, False),
        (" MI B x\n UP B x 4", -np.inf, 4, False),
    ],
)
def test_mps_bounds(tmp_path: Path, bounds: str, low: float, high: float, whole: bool) -> None:
    spec = from_text(tmp_path, "t.mps", MPS.format(bounds=bounds))
    assert (spec.lb[0], spec.ub[0], spec.integrality[0]) == (low, high, whole)


@pytest.mark.parametrize("name", ["bell5", "egout", "flugpl", "gt2", "misc03", "p0033", "rgn", "stein27"])
def test_mps_is_read_as_ortools_reads_it(name: str) -> None:
    path = data(f"miplib3/{name}.mps.gz")
    spec = ILPSpec.from_mps(path)
    model = model_builder.Model()
    assert model.import_from_mps_string(gzip.decompress(path.read_bytes()).decode())
    variables = model.get_variables()
    assert spec.names == tuple(variable.name for variable in variables)
    assert spec.lb.tolist() == model.get_variable_lower_bounds().tolist()
    assert spec.ub.tolist() == model.get_variable_upper_bounds().tolist()
    assert spec.integrality.tolist() == [variable.is_integral for variable in variables]
    assert spec.objective.tolist() == [variable.objective_coefficient for variable in variables]
    helper, x = model.helper, np.random.default_rng(0).random(spec.num_variables)
    theirs = []
    for row in range(model.num_constraints):
        columns = helper.constraint_var_indices(row)
        activity = np.dot(helper.constraint_coefficients(row), x[columns])
        low, high = helper.constraint_lower_bound(row), helper.constraint_upper_bound(row)
        missed = [abs(activity - high)] if low == high else [activity - high, low - activity]
        theirs += [value for value in missed if np.isfinite(value)]
    ours = [*(spec.A_ub @ x - spec.b_ub), *np.abs(spec.A_eq @ x - spec.b_eq)]
    assert np.sort(ours) == pytest.approx(np.sort(theirs), rel=1e-9, abs=1e-9)


def test_lp_format(tmp_path: Path) -> None:
    spec = from_text(tmp_path, "t.lp", LP.replace("c1: x", "c1: b + x"))
    assert spec.sense == "max" and spec.names == ("x", "y", "z", "w", "b")
    assert spec.objective.tolist() == [3, 2, -1.5, 7, 0] and spec.offset == 4
    assert spec.A_ub.toarray().tolist() == [
        [1, 1, 2, 0, 1],
        *([1, 0, -1, 0, 0], [-1, 0, 1, 0, 0]),
        [-1, -1, 0, -1, 0],
        [-2, 0, 0, -1, 0],
    ]
    assert spec.b_ub.tolist() == [4, 3, 1, -2, -8]
    assert spec.A_eq.toarray().tolist() == [[0, 0, 0, -1, 0]] and spec.b_eq.tolist() == [-3]
    assert spec.lb.tolist() == [0, -np.inf, -5, -np.inf, 0] and spec.ub.tolist() == [4, np.inf, 8, np.inf, 1]
    assert spec.integrality.tolist() == [False, True, False, False, True]


def test_binary_variables_of_lp_files_keep_tighter_bounds(tmp_path: Path) -> None:
    bounds = "Bounds\n a = 0\n b >= 1\n -inf <= c <= inf\n d <= 7\nBinary\n a b c d e\n"
    spec = from_text(tmp_path, "t.lp", f"Minimize\n a + b + c + d + e\n{bounds}End\n")
    assert spec.lb.tolist() == [0, 1, 0, 0, 0] and spec.ub.tolist() == [0, 1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["p0033", "flugpl", "stein27"])
def test_lp_files_that_ortools_writes_have_the_same_optimum(tmp_path: Path, name: str) -> None:
    path = data(f"miplib3/{name}.mps.gz")
    model = model_builder.Model()
    assert model.import_from_mps_string(gzip.decompress(path.read_bytes()).decode())
    with gzip.open(tmp_path / "t.lp.gz", "wt") as file:
        file.write(model.export_to_lp_string())
    optima = []
    for spec in (ILPSpec.from_mps(path), ILPSpec.from_mps(tmp_path / "t.lp.gz")):
        adapter = ILPAdapter(spec)
        z, status = adapter.solve(adapter.build(), spec.objective)
        assert status is Status.OPTIMAL
        optima.append(z @ spec.objective)
    assert optima[0] == pytest.approx(optima[1], rel=1e-9)


def test_a_file_with_some_variables_priced(tmp_path: Path) -> None:
    path = tmp_path / "t.mps"
    path.write_text(MPS.format(bounds=" UP B x 3"))
    spec = ILPSpec.from_mps(path, theta_index=[[3, 1]], sense="min")
    assert spec.shape == (1, 2) and spec.sense == "min"
    assert spec.objective.tolist() == [[0, 2]] and spec.fixed_cost.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("kind", [list, np.array, lambda names: np.array(names, dtype=object)])
def test_variables_may_be_priced_by_name(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "t.mps"
    path.write_text(MPS.format(bounds=" UP B x 3"))
    by_name, by_position = (ILPSpec.from_mps(path, theta_index=index) for index in (kind([["w", "y"]]), [[3, 1]]))
    assert by_name.names == ("x", "y", "q", "w")
    assert by_name.shape == by_position.shape == (1, 2)
    for array in ("theta_index", "objective", "fixed_cost"):
        assert np.array_equal(getattr(by_name, array), getattr(by_position, array)), array
    spec = ILPSpec(sense="min", ub=np.ones(3), names=["a", "b", "c"], theta_index=kind(["c", "a"]))
    assert spec.theta_index.tolist() == [2, 0]
    assert ILPSpec(sense="min", ub=np.ones(3), names=["a", "b", "c"], theta_index="b").shape == ()


def test_mathopt_model() -> None:
    model = mathopt.Model()
    x = [[model.add_binary_variable(name=f"x{i}{j}") for j in range(3)] for i in range(2)]
    gone = model.add_variable()
    y = model.add_variable(lb=-1, ub=5)
    model.delete_variable(gone)
    model.add_linear_constraint(mathopt.LinearSum([v for row in x for v in row]) + y <= 3)
    model.add_linear_constraint(lb=1, ub=2, expr=x[0][0] + x[1][2])
    model.add_linear_constraint(x[0][1] == x[1][1])
    model.maximize(2 * x[0][0] + 3 * x[1][1] - 4 * y + 9)
    spec = ILPSpec.from_mathopt(model, x)
    assert spec.sense == "max" and spec.shape == (2, 3) and spec.offset == 9
    assert spec.objective.tolist() == [[2, 0, 0], [0, 3, 0]]
    assert spec.fixed_cost.tolist() == [0] * 6 + [-4]
    assert spec.A_ub.shape == (3, 7) and spec.A_eq.toarray().tolist() == [[0, 1, 0, 0, -1, 0, 0]]
    adapter = ILPAdapter(spec)
    z, _ = adapter.solve(adapter.build(), spec.objective)
    theirs = mathopt.solve(model, mathopt.SolverType.GSCIP).objective_value()
    assert (z * spec.objective).sum() + 4 + 9 == pytest.approx(theirs)  # y is at -1
