"""Arguments that let a solve end before the optimum: how long it may take, and how far off it may be."""

from __future__ import annotations

import datetime
import math

from imle_solvers.arguments import is_finite


def seconds_of(time_limit: float | datetime.timedelta | None) -> float | None:
    """A time limit in seconds; None: none.

    Raises:
        ValueError: it is not positive and finite.
    """
    if time_limit is None:
        return None
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
