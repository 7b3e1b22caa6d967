"""A linear program as the solvers take it: rows with two sides. Minimised, whatever the user's sense."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from imle_adapters.ilp.spec import INFINITE, Bools, Floats, ILPSpec
from imle_adapters.ilp.unimodular import UnimodularRows, unimodular_rows

ROUNDING = 1e-5
"""How far from an integer a solver may put an integer variable, before rounding."""

FEASIBILITY = 1e-6
"""How far a row may be missed, relative to the largest of its terms, its right-hand side and 1."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """The sides of a program, which one instance may override: lb <= x <= ub, row_lb <= A x <= row_ub."""

    lb: Floats
    ub: Floats
    row_lb: Floats
    row_ub: Floats

    @property
    def finite(self) -> bool:
        """Whether no objective can be unbounded."""
        return bool(np.isfinite(self.lb).all() and np.isfinite(self.ub).all())

    @property
    def crossed(self) -> bool:
        """Whether some variable, or row, has no value left."""
        return bool((self.lb > self.ub).any() or (self.row_lb > self.row_ub).any())

    def stacked(self) -> Bounds:
        """These as a batch of one, (1, ...)."""
        return Bounds(self.lb[None], self.ub[None], self.row_lb[None], self.row_ub[None])

    def directions(self) -> Bounds:
        """The bounds of the recession cone, cut to a box: where its rays go, the feasible set is unbounded."""
        return Bounds(
            np.where(np.isfinite(self.lb), 0.0, -1.0),
            np.where(np.isfinite(self.ub), 0.0, 1.0),
            np.where(np.isfinite(self.row_lb), 0.0, -np.inf),
            np.where(np.isfinite(self.row_ub), 0.0, np.inf),
        )


@dataclass(frozen=True, eq=False)
class Program:
    """The rows and the kinds of variables that all instances of a spec share, and its own bounds.

    Attributes:
        matrix: (m, n) CSR.
        integrality: (n,) of bool.
        bounds: of the spec itself.
    """

    matrix: Any
    integrality: Bools
    bounds: Bounds

    @classmethod
    def of(cls, spec: ILPSpec) -> Program:
        """Stacks the rows of a spec, those of A_ub first."""
        matrix = scipy.sparse.vstack([spec.A_ub, spec.A_eq], format="csr")
        program = cls(matrix, spec.integrality, Bounds(spec.lb, spec.ub, np.zeros(0), np.zeros(0)))
        return cls(matrix, spec.integrality, program.bounds_for(spec.lb, spec.ub, spec.b_ub, spec.b_eq))

    def bounds_for(self, lb: Floats, ub: Floats, b_ub: Floats, b_eq: Floats) -> Bounds:
        """The bounds with these sides, those of integer variables rounded inwards.

        All four may have a leading axis of instances.
        """
        whole = self.integrality
        return Bounds(
            np.where(whole, np.ceil(lb - FEASIBILITY), lb) + 0.0,
            np.where(whole, np.floor(ub + FEASIBILITY), ub) + 0.0,
            np.concatenate([np.full_like(b_ub, -np.inf), b_eq], axis=-1),
            np.concatenate([np.where(b_ub >= INFINITE, np.inf, b_ub), b_eq], axis=-1),
        )

    @cached_property
    def unimodular(self) -> UnimodularRows | None:
        """The rows, where all variables are integer and the rows are known to be totally unimodular up to factors.

        Whatever the sides: these can be rounded to what sums of integers reach.
        """
        return unimodular_rows(self.matrix) if self.integrality.all() else None

    def relaxed(self) -> Program:
        """The same rows with continuous variables only."""
        return Program(self.matrix, np.zeros_like(self.integrality), self.bounds)

    def round(self, x: Floats, bounds: Bounds) -> Floats | None:
        """The point with its integer variables exactly integer and all within their bounds.

        None where an integer variable is too far from an integer, or any from its bounds, to be called so.
        """
        rounded = np.where(self.integrality, np.rint(x), x) + 0.0
        inside = np.clip(rounded, bounds.lb, bounds.ub)
        if not np.isfinite(x).all() or (np.abs(rounded - x) > ROUNDING).any():
            return None
        if (np.abs(inside - rounded) > FEASIBILITY * np.maximum(1.0, np.abs(inside))).any():
            return None
        return inside

    def holds(self, x: Floats, bounds: Bounds, tolerance: float = FEASIBILITY) -> bool:
        """Whether a point satisfies every row, up to the tolerance relative to the row's scale."""
        if self.matrix.shape[0] == 0:
            return True
        activity = self.matrix @ x
        missed = np.maximum(activity - bounds.row_ub, bounds.row_lb - activity)
        terms = abs(self.matrix) @ np.abs(x)  # an upper bound of the largest term, and of rounding errors
        return bool((missed <= tolerance * np.maximum(1.0, self._row_scale(x, bounds, terms))).all())

    def _row_scale(self, x: Floats, bounds: Bounds, terms: Floats) -> Floats:
        sides = [np.where(np.isfinite(side), np.abs(side), 0.0) for side in (bounds.row_lb, bounds.row_ub)]
        scale: Floats = np.maximum(terms, np.maximum(*sides))
        return scale
