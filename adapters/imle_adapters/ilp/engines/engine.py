"""What every solver behind `ILPAdapter` does: minimise costs over the rows of a program within bounds."""

from __future__ import annotations

import enum
import time
from typing import NamedTuple, Protocol

import numpy as np

from imle_adapters.ilp.program import Bounds
from imle_adapters.ilp.spec import Floats

COST_EXPONENT = 16
"""Costs are scaled by a power of two, so exactly, until the largest is below 2**COST_EXPONENT.

Solvers compare objective values up to absolute tolerances (1e-5 in CBC, 1e-6 in HiGHS, 1e-9 in SCIP). At this
scale these are at most 3e-10 of the largest cost, whatever the magnitude of theta.
"""


class Claim(enum.Enum):
    """What a solver says about a solve."""

    OPTIMAL = enum.auto()
    FEASIBLE = enum.auto()
    LIMIT = enum.auto()
    NO_OPTIMUM = enum.auto()
    """Infeasible or unbounded; solvers do not always know which, and some say one for the other."""
    FAILED = enum.auto()


class Outcome(NamedTuple):
    """How a solve ended.

    Attributes:
        claim: what the solver says.
        x: (n,) the point, None without one.
        work: what the solve took, counted and not timed, so that it is the same each time: about as many seconds as
            that takes on a core of 2023. 0 where a solver does not tell.
        bound: what the scaled costs of no point are below, see `scaled`: their sum is finite where that of the costs
            need not be. None, or from 1e20 on, which is infinity to solvers: nothing is proven.
    """

    claim: Claim
    x: Floats | None
    work: float = 0.0
    bound: float | None = None


class Engine(Protocol):
    """A solver with a program loaded."""

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds; None for no time limit."""

    def stop(self) -> None:
        """Has a call of `minimize` in another thread end soon, with whatever outcome; nothing where it cannot."""


class CountingEngine(Engine, Protocol):
    """A solver that counts its work, and can be told how much of it to do."""

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None, work: float | None = None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds, and gives up after about so much work."""


class Deadline:
    """The time that is left for one instance, however many solves it takes."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds, or None for no limit."""
        return None if self._end is None else max(1e-3, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether there is none left."""
        return self._end is not None and time.monotonic() >= self._end


def scaled(costs: Floats) -> Floats:
    """Costs times the power of two that brings the largest just below 2**COST_EXPONENT."""
    largest = np.abs(costs).max(initial=0.0)
    return costs if largest == 0.0 else np.ldexp(costs, COST_EXPONENT - int(np.frexp(largest)[1]))
