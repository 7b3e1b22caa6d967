"""How much worse than the optimum a solution may be at most, as far as a solver has proven it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imle_solvers.status import Status

Gaps = NDArray[np.float64]
"""(N,) relative gaps: |objective - bound| / |objective|, 0 of a proven optimum, infinity where nothing is proven."""

OPTIMAL_WITHIN = 1e-3
"""The largest gap of what is OPTIMAL. Gurobi and HiGHS call a gap of 1e-4 optimal (MIPGap, mip_rel_gap); the rest is
for those who relate it to the bound, or to what they have rounded."""


def gaps_of(statuses: NDArray[Any]) -> Gaps:
    """What statuses say, (N,): OPTIMAL is a gap of 0; of FEASIBLE nothing is proven."""
    return np.where(statuses == Status.FEASIBLE, np.inf, 0.0)


def gather_gaps(parts: Iterable[tuple[slice | NDArray[np.intp], Gaps | None]], statuses: NDArray[Any]) -> Gaps | None:
    """The gaps of a batch from those of its parts.

    Args:
        parts: rows of the batch, and their gaps; None: those that their statuses say.
        statuses: (N,) of the batch, for these and for rows that are in no part.

    Returns:
        (N,), or None where no part has any.
    """
    known = [(rows, gaps) for rows, gaps in parts if gaps is not None]
    if not known:
        return None
    together = gaps_of(statuses)
    for rows, gaps in known:
        together[rows] = gaps
    return together
