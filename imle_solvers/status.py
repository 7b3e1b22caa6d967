"""How one instance's solve ended."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """The end of one solve."""

    OPTIMAL = 0
    FEASIBLE = 1
    INFEASIBLE = 2
    UNBOUNDED = 3
    TIMEOUT = 4
    CRASHED = 5

    @property
    def help(self) -> str:
        """What this status means and what to do about it."""
        return _HELP[self]


_HELP = {
    Status.OPTIMAL: "the solution is a proven optimum",
    Status.FEASIBLE: (
        "a limit was reached with a solution that is feasible but not proven optimal; raise the "
        'limit, or use such solutions as they are with on_failure="keep"'
    ),
    Status.INFEASIBLE: (
        "no solution satisfies the constraints of this instance; check its context (masks, "
        'right-hand sides, bounds), or skip such instances with on_failure="zero_grad"'
    ),
    Status.UNBOUNDED: (
        "the objective improves without limit in this instance; bound the variables, or keep theta "
        'in the range where the problem is bounded, or skip such instances with on_failure="zero_grad"'
    ),
    Status.TIMEOUT: (
        "the time limit was reached before any solution was found; raise the limit, or skip such "
        'instances with on_failure="zero_grad"'
    ),
    Status.CRASHED: (
        "the solver failed on this instance without a result, or killed its worker twice; solve it alone to see "
        'why, or skip such instances with on_failure="zero_grad"'
    ),
}
