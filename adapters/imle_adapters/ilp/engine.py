"""What every solver behind `ILPAdapter` does: minimise costs over the rows of a program within bounds."""

from __future__ import annotations

import enum
from typing import Protocol

from imle_adapters.ilp.program import Bounds
from imle_adapters.ilp.spec import Floats


class Claim(enum.Enum):
    """What a solver says about a solve."""

    OPTIMAL = enum.auto()
    FEASIBLE = enum.auto()
    LIMIT = enum.auto()
    NO_OPTIMUM = enum.auto()
    """Infeasible or unbounded; solvers do not always know which, and some say one for the other."""
    FAILED = enum.auto()


Outcome = tuple[Claim, Floats | None]


class Engine(Protocol):
    """A solver with a program loaded."""

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds; None for no time limit."""
