"""What an integer linear program is: everything but the prices that theta gives."""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from imle_adapters.ilp.formats.reading import read_file, read_mathopt
from imle_adapters.ilp.naming import positions
from imle_solvers.adapter import Sense
from imle_solvers.arguments import explain_arguments

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

INFINITE = 1e20
"""Bounds, and sides of rows, from here on count as infinite, as they do in the solvers."""

_VANISHING = 1e-100  # coefficients below it are mistakes, and their reciprocals are hardly numbers


@explain_arguments(
    c="theta is the objective: pass it to the layer, or keep one by objective=...",
    bounds="write lb=..., ub=...",
    A="write A_ub=..., b_ub=... for rows of A @ x <= b, A_eq=..., b_eq=... for those of A @ x == b",
    constraints="write A_ub=..., b_ub=... for rows of A @ x <= b, A_eq=..., b_eq=... for those of A @ x == b",
)
@dataclass(frozen=True, eq=False, init=False, repr=False)
class ILPSpec:
    """The feasible set of a linear program, with or without integer variables, and which variables theta prices.

    The program is

        min or max  sum_i theta_i * x[theta_index_i] + fixed_cost @ x
        subject to  A_ub @ x <= b_ub,  A_eq @ x == b_eq,  lb <= x <= ub,  x_j integer where integrality_j.

    The arguments are those of `scipy.optimize.linprog` and `milp`, defaults included, so variables are
    non-negative unless bounds say otherwise. Write `a @ x >= b` as `-a @ x <= -b`.

    Attributes:
        sense: "min" if theta are costs, "max" if they are scores.
        shape: of theta and of the solution, for one instance.
        A_ub: (m_ub, n) CSR, float64; no rows if there are no inequalities. Entries are 0, or of 1e-100 to 1e20.
        b_ub: (m_ub,); +inf, or 1e20 and more, switches a row off.
        A_eq: (m_eq, n) CSR, float64.
        b_eq: (m_eq,); below 1e20 in magnitude.
        lb: (n,), -inf for none.
        ub: (n,), +inf for none.
        integrality: (n,) of bool.
        theta_index: (theta.size,), the variable that each entry of theta (flattened in C order) prices.
        fixed_cost: (n,) the prices of the other variables, 0 where theta prices.
        objective: (*shape) the objective that came with a file or a model, to be passed as theta; or None.
        offset: the constant term of that objective, in no way part of a solve.
        names: the names of the variables, if they have any.
    """

    sense: Sense
    shape: tuple[int, ...]
    A_ub: Any
    b_ub: Floats
    A_eq: Any
    b_eq: Floats
    lb: Floats
    ub: Floats
    integrality: Bools
    theta_index: NDArray[np.int64]
    fixed_cost: Floats
    objective: Floats | None
    offset: float
    names: tuple[str, ...] | None

    def __init__(
        self,
        *,
        sense: Sense,
        shape: int | Sequence[int] | None = None,
        A_ub: Any = None,
        b_ub: ArrayLike | None = None,
        A_eq: Any = None,
        b_eq: ArrayLike | None = None,
        lb: ArrayLike = 0.0,
        ub: ArrayLike = np.inf,
        integrality: ArrayLike = False,
        theta_index: ArrayLike | None = None,
        fixed_cost: ArrayLike | None = None,
        objective: ArrayLike | None = None,
        offset: float = 0.0,
        names: Sequence[str] | None = None,
    ) -> None:
        """Checks and normalises the arguments; none of them is kept or changed.

        Args:
            sense: "min" or "max".
            shape: of theta. May be left out where `theta_index` or the constraints tell the number of variables.
            A_ub: (m_ub, n) dense, any scipy.sparse matrix, or the data, indices, indptr and shape of its CSR in a
                dict; may be left out together with `b_ub`.
            b_ub: (m_ub,).
            A_eq: (m_eq, n) likewise; may be left out together with `b_eq`.
            b_eq: (m_eq,).
            lb: lower bounds, one for all or (n,) or of theta's shape.
            ub: upper bounds, likewise.
            integrality: True or 1 for integer variables, one for all or (n,) or of theta's shape.
            theta_index: the variables that theta prices, by position or by name, in theta's shape or flat; all of them,
                unless given.
            fixed_cost: prices of the variables that theta does not price: (n - theta.size,) in the order of the
                variables, or (n,) with 0 where theta prices. 0, unless given.
            objective: an objective to keep with the spec, of theta's shape or flat.
            offset: its constant term.
            names: (n,) names of the variables, for messages and `theta_index`.

        Raises:
            ValueError: for arguments that do not fit together; it says what was expected and what came.
        """
        if sense not in ("min", "max"):
            raise ValueError(f'expected sense="min" (theta are costs) or sense="max" (theta are scores), got {sense!r}')

        def set_(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        index = None if theta_index is None else positions(theta_index, names)
        shape = _shape(shape, index)
        matrices = {"A_ub": _matrix("A_ub", A_ub), "A_eq": _matrix("A_eq", A_eq)}
        per_variable = {"lb": lb, "ub": ub, "integrality": integrality}
        n = _num_variables(matrices, per_variable, shape, index)
        shape = (n,) if shape is None else shape

        set_("sense", sense)
        set_("shape", shape)
        set_("names", _names(names, n))
        for kind, rhs in (("ub", b_ub), ("eq", b_eq)):
            matrix, vector = _rows(kind, matrices[f"A_{kind}"], rhs, n)
            set_(f"A_{kind}", matrix)
            set_(f"b_{kind}", vector)
        set_("integrality", _integrality(integrality, n))
        for name, bound in (("lb", lb), ("ub", ub)):
            set_(name, _frozen(clip_infinite(_spread(name, bound, n))))
        self._check_bounds()
        set_("theta_index", _theta_index(index, shape, n))
        set_("fixed_cost", _fixed_cost(fixed_cost, self.theta_index, n))
        set_("objective", None if objective is None else _objective(objective, shape))
        set_("offset", float(offset))

    @classmethod
    def from_mps(
        cls,
        path: str | os.PathLike[str],
        *,
        theta_index: ArrayLike | None = None,
        shape: int | Sequence[int] | None = None,
        sense: Sense | None = None,
    ) -> ILPSpec:
        """Reads an MPS or (CPLEX) LP file: .mps, .lp, each also as .gz.

        The file's own objective is kept: its part for the variables that theta prices as `objective`, for the
        others as `fixed_cost`, its constant as `offset`. Rows keep their order in the file, a row with two
        different sides becomes two rows of `A_ub`, and a `>=` row is negated.

        Args:
            path: the file.
            theta_index: the variables that theta prices, by position or by their names in the file, in theta's shape or
                flat; all of them, unless given.
            shape: of theta, (theta_index.size,) unless given.
            sense: "min" or "max", the file's unless given.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is not in the format, or uses a feature that an `ILPSpec` cannot hold
                (quadratic terms, semi-continuous variables, special ordered sets); it names the line.
        """
        return cls(**read_file(path).spec_arguments(theta_index, shape, sense))

    @classmethod
    def from_mathopt(cls, model: Any, variables: Any) -> ILPSpec:
        """Takes over a model made with `ortools.math_opt.python.mathopt`.

        Args:
            model: a `mathopt.Model` with a linear objective and linear constraints. Variables keep their order.
            variables: the variables that theta prices, a (nested) sequence or an array of them: its shape is
                theta's. The model's objective prices the others, and is kept as `objective` for these.

        Raises:
            ValueError: the model has parts that an `ILPSpec` cannot hold (quadratic terms, indicators, other
                objectives), or a variable comes twice or from another model.
        """
        linear, index = read_mathopt(model, variables)
        return cls(**linear.spec_arguments(index, index.shape, None))

    def description(self) -> dict[str, Any]:
        """The arguments that make an equal one, of numbers, texts, lists and arrays."""
        matrices = {
            name: {"data": each.data, "indices": each.indices, "indptr": each.indptr, "shape": list(each.shape)}
            for name, each in (("A_ub", self.A_ub), ("A_eq", self.A_eq))
        }
        same = ("sense", "b_ub", "b_eq", "lb", "ub", "integrality", "theta_index", "fixed_cost", "objective", "offset")
        names = None if self.names is None else list(self.names)
        return {**{name: getattr(self, name) for name in same}, **matrices, "shape": list(self.shape), "names": names}

    @property
    def num_variables(self) -> int:
        """The number n of variables, priced by theta or not."""
        return int(self.lb.size)

    def variable(self, index: int) -> str:
        """How messages name a variable."""
        return f"variable {index}" if self.names is None else f"variable {index} ({self.names[index]})"

    def _check_bounds(self) -> None:
        for name, bound, wrong in (("lb", self.lb, np.inf), ("ub", self.ub, -np.inf)):
            bad = np.isnan(bound) | (bound == wrong)
            if bad.any():
                where = int(np.argmax(bad))
                raise ValueError(
                    f"expected {name} to be a number or {-wrong}, got {bound[where]} for {self.variable(where)}"
                )
        if (self.lb > self.ub).any():
            where = int(np.argmax(self.lb > self.ub))
            raise ValueError(
                f"expected lb <= ub, got lb = {self.lb[where]} > ub = {self.ub[where]} for {self.variable(where)}; "
                "lb defaults to 0, so pass lb=-inf for variables that may be negative"
            )

    def __repr__(self) -> str:
        return (
            f"ILPSpec(sense={self.sense!r}, shape={self.shape}, variables={self.num_variables} "
            f"({int(self.integrality.sum())} integer), A_ub={self.A_ub.shape}, A_eq={self.A_eq.shape})"
        )


def clip_infinite(bound: Floats) -> Floats:
    """Bounds with what counts as infinite made infinite."""
    return np.where(np.abs(bound) >= INFINITE, np.copysign(np.inf, bound), bound)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _floats(name: str, value: ArrayLike) -> Floats:
    try:
        if np.iscomplexobj(value):  # NumPy would drop the imaginary parts
            raise TypeError("complex numbers")
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected {name} to be an array of real numbers, got {value!r}") from error


def _shape(shape: int | Sequence[int] | None, index: NDArray[Any] | None) -> tuple[int, ...] | None:
    if shape is None:
        return None if index is None else index.shape
    try:
        sides = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(map(operator.index, shape))
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected shape to be a tuple of integers, got {shape!r}") from error
    if any(side < 1 for side in sides):
        raise ValueError(f"expected shape to have positive sides, got {shape!r}")
    return sides


def _matrix(name: str, value: Any) -> Any:
    """Float64 CSR with sorted, summed, non-zero entries; None for None."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = _compressed(name, value)
    if scipy.sparse.issparse(value):
        if np.iscomplexobj(value):
            raise ValueError(f"expected {name} to hold real numbers, got a matrix of {value.dtype}")
        matrix = scipy.sparse.csr_matrix(value, dtype=np.float64, copy=True)
    else:
        dense = _floats(name, value)
        if dense.ndim != 2:
            raise ValueError(
                f"expected {name} to be a matrix with one row for each constraint, got shape {dense.shape}"
            )
        matrix = scipy.sparse.csr_matrix(dense)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    bad = ~((np.abs(matrix.data) >= _VANISHING) & (np.abs(matrix.data) < INFINITE))
    if bad.any():
        where = int(np.argmax(bad))
        value, row = matrix.data[where], int(np.searchsorted(matrix.indptr, where, side="right")) - 1
        sizes = f" of {_VANISHING:g} to {INFINITE:g} in magnitude, or 0" if np.isfinite(value) else ""
        hint = "; scale the row" if np.isfinite(value) else ""
        raise ValueError(
            f"expected finite coefficients{sizes}, got {value} in {name}[{row}, {matrix.indices[where]}]{hint}"
        )
    return matrix


def _compressed(name: str, value: Mapping[str, Any]) -> Any:
    """The matrix whose compressed rows a dict has, as `ILPSpec.description` makes it."""
    try:
        return scipy.sparse.csr_matrix((value["data"], value["indices"], value["indptr"]), tuple(value["shape"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected {name} to be a matrix, or a dict of data, indices, indptr and shape of its compressed rows, got "
            f"{reprlib.repr(value)} ({error})"
        ) from None


def _num_variables(
    matrices: dict[str, Any],
    per_variable: dict[str, ArrayLike],
    shape: tuple[int, ...] | None,
    index: NDArray[Any] | None,
) -> int:
    """The number of variables, from whatever tells it; an error lists who says what if they differ."""
    said = {f"{name} has {m.shape[1]} columns": m.shape[1] for name, m in matrices.items() if m is not None}
    if index is None and shape is not None:
        said[f"shape {shape} has {math.prod(shape)} entries"] = math.prod(shape)
    for name, value in per_variable.items():
        if np.ndim(value) > 0:
            said[f"{name} has {np.size(value)} entries"] = np.size(value)
    if not said:
        raise ValueError(
            "expected to learn the number of variables from shape (or, with theta_index, from A_ub, A_eq, lb or ub), "
            "got none of them; pass one"
        )
    if len(set(said.values())) > 1:
        hint = "" if index is not None else "; where theta prices only some variables, say which by theta_index"
        raise ValueError(f"expected one number of variables, but {', '.join(said)}{hint}")
    n = next(iter(said.values()))
    if n < 1:
        raise ValueError("expected at least one variable, got none")
    return int(n)


def _names(names: Sequence[str] | None, n: int) -> tuple[str, ...] | None:
    if names is not None and len(names) != n:
        raise ValueError(f"expected a name for each of the {n} variables, got {len(names)}")
    return None if names is None else tuple(names)


def _rows(kind: str, matrix: Any, rhs: ArrayLike | None, n: int) -> tuple[Any, Floats]:
    a, b = f"A_{kind}", f"b_{kind}"
    if (matrix is None) != (rhs is None):
        there, missing = (b, a) if matrix is None else (a, b)
        raise ValueError(f"expected {a} and {b} together, got {there} without {missing}")
    if matrix is None or rhs is None:
        return scipy.sparse.csr_matrix((0, n)), _frozen(np.zeros(0))
    vector = _floats(b, rhs)
    if vector.shape != (matrix.shape[0],):
        raise ValueError(
            f"expected {b} to have shape ({matrix.shape[0]},), one entry for each row of {a}, got {vector.shape}"
        )
    check_right_hand_side(b, vector)
    return matrix, _frozen(vector)


def check_right_hand_side(name: str, vector: Floats) -> None:
    """Raises `ValueError` for entries of b_ub or b_eq that are no right-hand side, or that count as infinite."""
    bad = ~(vector > -INFINITE)
    if name == "b_eq":
        bad |= vector >= INFINITE
    if bad.any():
        where = int(np.argmax(bad))
        value = vector.flat[where]
        expected = "finite" if name == "b_eq" else "finite, or +inf for no limit"
        why = f"; from {INFINITE:g} on solvers take it for infinite, so scale the row" if np.isfinite(value) else ""
        raise ValueError(f"expected {name} to be {expected}, got {value} in {name}[{where}]{why}")


def _spread(name: str, value: ArrayLike, n: int) -> Floats:
    """One value for all, or one a variable in any shape, as (n,)."""
    array = _floats(name, value)
    if array.ndim > 0 and array.size != n:
        raise ValueError(f"expected {name} to be one value or one for each of the {n} variables, got {array.shape}")
    return np.array(np.broadcast_to(array.ravel(), n))


def _integrality(value: ArrayLike, n: int) -> Bools:
    flags = _spread("integrality", value, n)
    bad = (flags != 0) & (flags != 1)
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(
            f"expected integrality to be False or 0 (continuous) or True or 1 (integer), got {flags[where]} for "
            f"variable {where}; semi-continuous variables are not supported"
        )
    result: Bools = _frozen(flags == 1)
    return result


def _theta_index(index: NDArray[Any] | None, shape: tuple[int, ...], n: int) -> NDArray[np.int64]:
    if index is None:
        return _frozen(np.arange(n))
    if not np.issubdtype(index.dtype, np.integer):
        raise ValueError(f"expected theta_index to hold integers, got an array of {index.dtype}")
    flat = index.ravel().astype(np.int64)
    if flat.size != math.prod(shape) or flat.size == 0:
        raise ValueError(
            f"expected theta_index to have an entry for each of theta's {math.prod(shape)} (shape {shape}), got "
            f"{flat.size}"
        )
    bad = (flat < 0) | (flat >= n)
    if bad.any():
        raise ValueError(f"expected theta_index within 0..{n - 1}, got {flat[np.argmax(bad)]}")
    values, counts = np.unique(flat, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"expected theta_index to name each variable at most once, but variable {values[counts.argmax()]} comes "
            f"{counts.max()} times"
        )
    return _frozen(flat)


def _fixed_cost(value: ArrayLike | None, index: NDArray[np.int64], n: int) -> Floats:
    costs = np.zeros(n)
    if value is None:
        return _frozen(costs)
    given = _floats("fixed_cost", value)
    others = np.setdiff1d(np.arange(n), index)
    if not np.isfinite(given).all():
        raise ValueError(f"expected fixed_cost to be finite, got {given[~np.isfinite(given)][0]}")
    if given.shape == (n,):
        bad = index[given[index] != 0]
        if bad.size:
            raise ValueError(
                f"expected fixed_cost to be 0 where theta prices, got {given[bad[0]]} for variable {bad[0]}; add it "
                "to theta instead"
            )
        costs[:] = given
    elif given.shape in ((others.size,), ()):
        costs[others] = given
    else:
        raise ValueError(
            f"expected fixed_cost of shape ({others.size},), one for each variable that theta does not price, or "
            f"({n},), got {given.shape}"
        )
    return _frozen(costs)


def _objective(value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    objective = _floats("objective", value)
    if objective.size != math.prod(shape) or not np.isfinite(objective).all():
        raise ValueError(f"expected a finite objective of shape {shape}, got shape {objective.shape}: {objective}")
    return _frozen(objective.reshape(shape))
