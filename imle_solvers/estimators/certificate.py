"""When the target's solution is known without solving.

Let z be optimal for scores s, and t = s + d the target's scores, with solutions of zeros and ones. If d is nowhere
negative where z is one, and nowhere positive where z is zero, then z is optimal for t: any other solution z' has

    <t, z> - <t, z'> = (<s, z> - <s, z'>) + sum_i d_i (z_i - z'_i) >= 0,

the first term since z is optimal for s, each term of the sum since z_i - z'_i is 0 or 1 where z_i is one, and 0 or -1
where z_i is zero. No rival gains more from the step than z does. With Hamming's loss it holds for every sample that
equals its label, so for most of them late in training; and wherever dL/dz is zero.

If several solutions are optimal for t, a solver may return another one of them than z.
"""

from __future__ import annotations

import math

from torch import Tensor

from imle_solvers.estimators.base import Solve, Solved


def solve_step(
    solve: Solve, target: Tensor, before: Tensor, solved: Solved, *, owned: bool = False, skip: bool = True
) -> Solved:
    """Solves the target, but for what is known.

    Known are the solutions that the step from `before` to `target` leaves optimal, as shown above.

    Args:
        solve: the solver.
        target: (B, M, *shape), the scores to solve.
        before: (B, M, *shape), the scores that were solved.
        solved: their solutions.
        owned: whether the target may be overwritten.
        skip: False solves everything.

    Returns:
        The target's solutions; those of `solved` where they are known.
    """
    if not skip or not solve.binary:
        return solve(target, owned=owned, skip_nonfinite=True)
    step = target - before
    # Turned around where z is one, a step that favours z is nowhere positive. Neither is one that is not finite; its
    # NaN must come out.
    turned = step.where(solved.values < 0.5, -step)
    known = ((turned <= 0) & (turned > -math.inf)).reshape(*step.shape[:2], math.prod(step.shape[2:])).all(-1)
    if solved.ok is not None:
        known &= solved.ok
    fresh = solve(target, needed=~known, owned=owned, skip_nonfinite=True)
    mask = known.reshape(*known.shape, *(1 for _ in step.shape[2:]))
    return Solved(solved.values.where(mask, fresh.values), fresh.ok)
