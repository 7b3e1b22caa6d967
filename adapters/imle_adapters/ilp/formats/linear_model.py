"""A linear program as files and models hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike

from imle_adapters.ilp.naming import positions
from imle_solvers.adapter import Sense


@dataclass
class LinearModel:
    """A program as files and models hold it: rows with two sides, an objective over all variables.

    Attributes:
        names: (n,) of the variables.
        objective: (n,).
        offset: the objective's constant.
        maximize: whether the objective is to be maximised.
        matrix: (m, n) in any sparse format.
        row_lb, row_ub: (m,), infinite where a row has one side only.
        lb, ub: (n,).
        integrality: (n,) of bool.
    """

    names: Sequence[str]
    objective: ArrayLike
    offset: float
    maximize: bool
    matrix: Any
    row_lb: ArrayLike
    row_ub: ArrayLike
    lb: ArrayLike
    ub: ArrayLike
    integrality: ArrayLike

    def spec_arguments(
        self, theta_index: ArrayLike | None, shape: int | Sequence[int] | None, sense: Sense | None
    ) -> dict[str, Any]:
        """The arguments of an `ILPSpec` with these variables priced by theta, and this objective for the others."""
        matrix = scipy.sparse.csr_matrix(self.matrix)
        low, high = np.asarray(self.row_lb, dtype=np.float64), np.asarray(self.row_ub, dtype=np.float64)
        equal = low == high
        upper, lower = ~equal & (high != np.inf), ~equal & (low != -np.inf)
        # Ranges become two rows next to each other, so that the order is the file's.
        order = np.argsort(np.concatenate([np.flatnonzero(upper), np.flatnonzero(lower)]), kind="stable")
        rows = scipy.sparse.vstack([matrix[upper], -matrix[lower]], format="csr")[order]
        sides = np.concatenate([high[upper], -low[lower]])[order]
        objective = np.asarray(self.objective, dtype=np.float64)
        priced = np.arange(objective.size) if theta_index is None else positions(theta_index, self.names)
        others = np.ones(objective.size, dtype=bool)
        inside = (priced >= 0) & (priced < objective.size)  # the spec complains about the others
        others[priced[inside]] = False
        return {
            "sense": sense if sense is not None else "max" if self.maximize else "min",
            "shape": shape if shape is not None else priced.shape,
            "A_ub": rows,
            "b_ub": sides,
            "A_eq": matrix[equal],
            "b_eq": high[equal],
            "lb": self.lb,
            "ub": self.ub,
            "integrality": self.integrality,
            "theta_index": priced,
            "fixed_cost": np.where(others, objective, 0.0),
            "objective": objective[priced] if inside.all() else None,
            "offset": self.offset,
            "names": self.names,
        }
