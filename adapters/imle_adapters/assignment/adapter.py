"""Linear assignment: matching rows to columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imle_adapters.instances import as_mask, take
from imle_solvers.adapter import (
    Context,
    ContextShapes,
    FloatArray,
    IsBinary,
    Parallelism,
    Sense,
    Shape,
    Solutions,
    SolverAdapter,
    check_sense,
)
from imle_solvers.arguments import explain_arguments
from imle_solvers.errors import InputError
from imle_solvers.layouts import Layout, MatrixLayout
from imle_solvers.status import Status

Backend = Literal["compiled", "scipy"]

_BACKENDS = ("compiled", "scipy")
_MOST = 1e300  # for prices: with sums of costs, which `take` bounds, they are still finite


@explain_arguments()
class AssignmentAdapter(SolverAdapter):
    """Each row matched to at most one column and each column to at most one row, at least cost.

    Theta, (n_rows, n_cols), are the costs of the pairs, or their scores with `sense="max"`; z, of the same shape, is
    one for the chosen pairs. The smaller side is matched completely, unless `unmatched` gives rows a way out.

    Context:
        allowed: (n_rows, n_cols) bool or 0/1, the pairs that may be chosen in this instance; where the adapter has
            `allowed` too, pairs must be allowed by both.
        unmatched: (n_rows,) the price of leaving each row unmatched in this instance; for adapters with `unmatched`.

    An instance whose forbidden pairs leave no complete matching ends INFEASIBLE.

    Solutions are optimal up to rounding in float64. Backends may choose differently among assignments of equal cost;
    each chooses the same for an instance whatever batch it comes in.

    Args:
        n_rows, n_cols: at least 1 each.
        sense: "min" (theta are costs) or "max" (scores).
        allowed: (n_rows, n_cols) bool or 0/1, the pairs that may be chosen; None: all.
        unmatched: what an unmatched row adds to the objective, in theta's units: a cost with "min", a score with
            "max", one for all rows or (n_rows,). Columns then stay unmatched for nothing, and every row may. None:
            no row stays unmatched unless there are more rows than columns.
        backend: "compiled", or as a reference "scipy".

    Raises:
        ValueError: sizes, shapes or values out of range, an unknown backend, or `allowed` without any complete
            matching.
    """

    exclusion: str | None = "allowed=..., false where a pair may not be chosen"
    is_binary: IsBinary = True

    def __init__(
        self,
        n_rows: int,
        n_cols: int,
        sense: Sense = "min",
        *,
        allowed: ArrayLike | None = None,
        unmatched: ArrayLike | None = None,
        backend: Backend = "compiled",
    ) -> None:
        check_sense(sense, "AssignmentAdapter")
        if backend not in _BACKENDS:
            raise ValueError(f"expected backend to be one of {', '.join(map(repr, _BACKENDS))}, got {backend!r}")
        for side in (n_rows, n_cols):
            if isinstance(side, bool) or not isinstance(side, int | np.integer) or side < 1:
                raise ValueError(
                    "AssignmentAdapter: expected whole numbers, at least one row and column, got "
                    f"{n_rows!r} x {n_cols!r}"
                )
        self.sense: Sense = sense
        self.backend = backend
        self.parallelism = Parallelism.THREADS if backend == "compiled" else Parallelism.PROCESSES
        shape = int(n_rows), int(n_cols)
        self.instance_shape: Shape = shape
        self.allowed: NDArray[np.bool_] | None = None
        if allowed is not None:
            given = _of_shape("allowed", np.asarray(allowed), shape)
            self.allowed = given.astype(bool)
            if (self.allowed != given).any():
                raise ValueError("AssignmentAdapter: allowed must be a mask of zeros and ones; threshold it first")
        self.unmatched: NDArray[np.float64] | None = None
        self.context: ContextShapes = {"allowed": shape}
        if unmatched is not None:
            prices = np.array(unmatched, dtype=float)  # a copy: the caller may go on to change theirs
            prices = np.full(n_rows, prices) if prices.ndim == 0 else prices
            self.unmatched = _of_shape("unmatched", prices, shape[:1])
            if not (np.abs(self.unmatched) < _MOST).all():
                raise ValueError(f"AssignmentAdapter: unmatched must be finite, and below {_MOST:g} in magnitude")
            self.context = {"allowed": shape, "unmatched": shape[:1]}
        else:
            self.num_ones: float | None = float(min(shape))
            if self.allowed is not None and self._match(np.zeros(shape), self.allowed, None) is None:
                raise ValueError(
                    "AssignmentAdapter: allowed leaves no complete matching; allow more pairs or give a price for "
                    "unmatched rows"
                )

    def description(self) -> dict[str, Any]:
        n_rows, n_cols = self.instance_shape
        given = {"allowed": self.allowed, "unmatched": self.unmatched, "backend": self.backend}
        return {"name": "assignment", "kwargs": {"n_rows": n_rows, "n_cols": n_cols, "sense": self.sense, **given}}

    def layout(self, context: Context) -> Layout:
        """The matrix of pairs, with those that may not be chosen."""
        allowed = np.ones(self.instance_shape, dtype=bool) if self.allowed is None else self.allowed
        if "allowed" in context:
            allowed = allowed & (np.asarray(context["allowed"]) != 0)
        return MatrixLayout(hidden=~allowed)

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for values that cannot be added up, and masks that are none."""
        take(thetas, self)
        self._allowed(context)
        if "unmatched" in context:
            sound = (np.abs(self._unmatched(context)) < _MOST).all(axis=1)
            if not sound.all():
                problem = f"context 'unmatched': expected finite prices, below {_MOST:g} in magnitude"
                raise InputError(problem, int(np.argmin(sound)))

    def build(self) -> Callable[..., None] | None:
        """Loads the kernel, None for SciPy."""
        if self.backend == "scipy":
            return None
        from imle_adapters.assignment.kernels import assignments

        return partial(assignments, 1.0 if self.sense == "min" else -1.0)

    def solve_batch(self, state: Callable[..., None] | None, thetas: FloatArray, context: Context) -> Solutions:
        thetas = take(thetas, self).reshape(thetas.shape)
        solutions = Solutions(np.zeros_like(thetas), np.zeros(len(thetas), dtype=np.uint8), fresh=True)
        allowed, unmatched = self._allowed(context), self._unmatched(context)
        if state is not None:
            state(thetas, allowed, unmatched, solutions.values, solutions.statuses)
            return solutions
        for row, weights in enumerate(thetas.astype(np.float64)):
            pairs = self._match(weights, _of_row(allowed, row), _of_row(unmatched, row))
            if pairs is None:
                solutions.statuses[row] = Status.INFEASIBLE
            else:
                solutions.values[row][pairs] = 1
        return solutions

    def _allowed(self, context: Context) -> NDArray[np.bool_]:
        """(0, 1 or N, n_rows, n_cols): of no instance, where all pairs are allowed; of one, where it holds for all."""
        own = np.ones((0, *self.instance_shape), dtype=bool) if self.allowed is None else self.allowed[None]
        if "allowed" not in context:
            return np.ascontiguousarray(own)
        extra: NDArray[np.bool_] = np.ascontiguousarray(as_mask(context["allowed"], "allowed", self))
        return extra if self.allowed is None else extra & own

    def _unmatched(self, context: Context) -> NDArray[np.float64]:
        """(0, 1 or N, n_rows), likewise."""
        if "unmatched" in context:
            return np.ascontiguousarray(context["unmatched"], dtype=np.float64)
        if self.unmatched is None:
            return np.empty((0, self.instance_shape[0]))
        return self.unmatched[None]

    def _match(
        self, weights: NDArray[np.float64], allowed: NDArray[np.bool_] | None, unmatched: NDArray[np.float64] | None
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
        """The rows and columns that SciPy chooses, None where there is no complete matching."""
        from scipy.optimize import linear_sum_assignment

        n_rows, n_cols = weights.shape
        forbidden = np.inf if self.sense == "min" else -np.inf
        if allowed is not None:
            weights = np.where(allowed, weights, forbidden)
        if unmatched is not None:
            # A column for each row, that stands for staying unmatched.
            alone = np.full((n_rows, n_rows), forbidden)
            np.fill_diagonal(alone, unmatched)
            weights = np.hstack([weights, alone])
        try:
            rows, columns = linear_sum_assignment(weights, maximize=self.sense == "max")
        except ValueError:  # SciPy's word for "cost matrix is infeasible"; the other reasons were checked before
            return None
        if unmatched is None:
            return rows, columns
        real = columns < n_cols
        return rows[real], columns[real]

    def __repr__(self) -> str:
        n_rows, n_cols = self.instance_shape
        return f"AssignmentAdapter({n_rows}, {n_cols}, sense={self.sense!r}, backend={self.backend!r})"


def _of_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        raise ValueError(f"AssignmentAdapter: expected {name} of shape {shape}, got {array.shape}")
    return array


def _of_row(arrays: NDArray[Any], row: int) -> NDArray[Any] | None:
    """An instance's own of (0, 1 or N, ...) arrays."""
    own: NDArray[Any] | None = arrays[row if len(arrays) > 1 else 0] if len(arrays) else None
    return own
