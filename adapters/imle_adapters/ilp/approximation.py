"""What is said and proven of solutions that need not be optimal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from imle_adapters.ilp.spec import INFINITE
from imle_solvers.arguments import is_finite


def proven_gap(objective: float, bound: float | None) -> float:
    """By how much of the objective it exceeds the bound; infinity where there is no bound, or nothing to relate to."""
    away = math.inf if bound is None or not abs(bound) < INFINITE else objective - bound
    if away <= 0.0:
        return 0.0
    return away / abs(objective) if objective else math.inf


def check_gap(relative_gap: Any) -> float:
    """The gap that an adapter is given; raises `ValueError` for what is no number of at least 0."""
    if isinstance(relative_gap, bool) or not is_finite(relative_gap) or relative_gap < 0:
        raise ValueError(f"expected relative_gap to be a number of at least 0, such as 0.01, got {relative_gap!r}")
    return float(relative_gap)


def check_relaxed(relaxed: Any, backend: Any, gap: float) -> bool:
    """Whether an adapter is to solve the relaxation.

    Raises:
        TypeError: no truth value.
        ValueError: beside a gap, or by a backend that takes integers only.
    """
    if not isinstance(relaxed, bool | np.bool_):
        raise TypeError(f"expected relaxed to be True or False, got {relaxed!r}")
    if relaxed and gap:
        raise ValueError(
            f"relaxed=True solves a linear program, to its optimum: expected no relative_gap beside it, got {gap}"
        )
    if relaxed and str(backend).lower().replace("-", "_").startswith("cp_sat"):
        raise ValueError(
            f'backend {backend!r} takes integer variables only, and relaxed=True has none; take "auto", which is "glop"'
        )
    return bool(relaxed)
