"""What is proven of an instance, whatever its solver claims: points that hold, and why there is no optimum."""

from __future__ import annotations

import numpy as np

from imle_adapters.ilp.engines.engine import Claim, Deadline, scaled
from imle_adapters.ilp.program import Bounds
from imle_adapters.ilp.spec import Floats
from imle_adapters.ilp.state import State
from imle_solvers.status import Status

_RAY = 1e-6  # how much a direction in the unit box must save, at costs of about 1, to be called improving


def settle(state: State, x: Floats, costs: Floats, bounds: Bounds, deadline: Deadline) -> Floats | None:
    """A solver's point with exact integers, checked against the rows; None if that cannot be had.

    Rounding integers can break rows with continuous variables (x <= 1e6 * y at y = 1e-7); then the continuous
    ones are solved for again, with the integers fixed.
    """
    program = state.program
    point = program.round(x, bounds)
    if point is None or program.holds(point, bounds):
        return point
    if program.integrality.all() or not program.integrality.any():
        return None
    fixed = Bounds(
        np.where(program.integrality, point, bounds.lb),
        np.where(program.integrality, point, bounds.ub),
        bounds.row_lb,
        bounds.row_ub,
    )
    refined = state.relaxation().minimize(costs, fixed, deadline.left()).x
    if refined is None:
        return None
    point = program.round(refined, fixed)
    return point if point is not None and program.holds(point, bounds) else None


def feasibility(state: State, bounds: Bounds, deadline: Deadline) -> Status:
    """OPTIMAL (feasible), INFEASIBLE, TIMEOUT or CRASHED, from a solve without objective."""
    if bounds.crossed:
        return Status.INFEASIBLE
    costs = np.zeros(len(state.program.integrality))
    claim, x, *_ = state.engine.minimize(costs, bounds, deadline.left())
    if x is not None and settle(state, x, costs, bounds, deadline) is not None:
        return Status.OPTIMAL
    return {Claim.NO_OPTIMUM: Status.INFEASIBLE, Claim.LIMIT: Status.TIMEOUT}.get(claim, Status.CRASHED)


def why_no_optimum(state: State, costs: Floats, bounds: Bounds, deadline: Deadline, *, feasible: bool) -> Status:
    """INFEASIBLE or UNBOUNDED, each proven, whichever of the two the solver named.

    A feasible program with rational data is unbounded exactly if its recession cone has a direction that
    improves the objective (Meyer 1974), so one solve without objective and one linear program decide.

    Args:
        state: what solves.
        costs: of the instance.
        bounds: of the instance.
        deadline: of the instance.
        feasible: whether it is known to have a point.
    """
    if not feasible:
        status = feasibility(state, bounds, deadline)
        if status is not Status.OPTIMAL:
            return status
    return Status.UNBOUNDED if improves_forever(state, costs, bounds, deadline) else Status.CRASHED


def improves_forever(state: State, costs: Floats, bounds: Bounds, deadline: Deadline) -> bool:
    """Whether some direction of the recession cone lowers the costs."""
    if bounds.finite or not costs.any():
        return False
    costs = scaled(costs)  # as they come, their sum may not be finite
    ray = state.relaxation().minimize(costs, bounds.directions(), deadline.left()).x
    return ray is not None and bool(costs @ ray < -_RAY * np.abs(costs).max())
