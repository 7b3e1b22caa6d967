"""What lets a solve end before the optimum, how long it may take or how far off it may be, and what is then proven."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np

from imle_adapters.ilp.spec import INFINITE
from imle_solvers.arguments import is_finite


def seconds_of(time_limit: float | datetime.timedelta | None) -> float | None:
    """A time limit in seconds; None: none.

    Raises:
        TypeError: it is no time.
        ValueError: it is not positive and finite.
    """
    if time_limit is None:
        return None
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | float | np.number | datetime.timedelta):
        raise TypeError(f"expected time_limit to be a number of seconds or a timedelta, got {time_limit!r}")
    seconds = time_limit.total_seconds() if isinstance(time_limit, datetime.timedelta) else float(time_limit)
    if not 0.0 < seconds < math.inf:
        raise ValueError(
            f"expected time_limit to be a positive number of seconds or a timedelta, got {time_limit!r}; "
            "None sets no limit"
        )
    return seconds


def checked_gap(relative_gap: float) -> float:
    """A relative gap.

    Raises:
        ValueError: it is no number of at least 0.
    """
    if isinstance(relative_gap, bool) or not is_finite(relative_gap) or relative_gap < 0:
        raise ValueError(f"expected relative_gap to be a number of at least 0, such as 0.01, got {relative_gap!r}")
    return float(relative_gap)


def checked_flag(name: str, value: Any) -> bool:
    """A truth value.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"expected {name} to be True or False, got {value!r}")
    return bool(value)


def checked_relaxed(relaxed: Any, backend: Any, gap: float) -> bool:
    """Whether an adapter is to solve the relaxation.

    Raises:
        TypeError: no truth value.
        ValueError: beside a gap, or by a backend that takes integers only.
    """
    flag = checked_flag("relaxed", relaxed)
    if flag and gap:
        raise ValueError(
            f"relaxed=True solves a linear program, to its optimum: expected no relative_gap beside it, got {gap}"
        )
    if flag and str(backend).lower().replace("-", "_").startswith("cp_sat"):
        raise ValueError(
            f'backend {backend!r} takes integer variables only, and relaxed=True has none; take "auto", which is "glop"'
        )
    return flag


def proven_gap(objective: float, bound: float | None) -> float:
    """By how much of the objective it exceeds the bound; infinity where there is no bound, or nothing to relate to."""
    away = math.inf if bound is None or not abs(bound) < INFINITE else objective - bound
    if away <= 0.0:
        return 0.0
    return away / abs(objective) if objective else math.inf
