"""Several solvers that take turns at an instance, so that none of them can hold it up for long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imle_adapters.ilp.engines.backends import ENGINES
from imle_adapters.ilp.engines.cp_sat import ROUNDED
from imle_adapters.ilp.engines.engine import Claim, CountingEngine, Deadline, Outcome, scaled
from imle_adapters.ilp.engines.fit import unfit_bounds
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Floats

_GROWTH = 4.0  # of the limit from one round of turns to the next


class Portfolio:
    """Solvers in an order. Whichever first ends an instance, within a limit of work that grows, has solved it.

    The limit is counted, so the same instance takes the same turns wherever it is solved.

    Args:
        program: the program.
        solvers: names of engines that count their work.
        work: the limit in the first round.
        gap: the relative gap.

    Attributes:
        program: the program.
        solvers: the names.
        stopped: whether `stop` was called.
    """

    def __init__(self, program: Program, solvers: Sequence[str], work: float, gap: float = 0.0) -> None:
        self.program = program
        self.solvers: Sequence[str] = solvers
        self._work = work
        self._gap = gap
        self._engines: dict[str, CountingEngine] = {}
        self.stopped: bool = False

    def minimize(self, costs: Floats, bounds: Bounds, seconds: float | None) -> Outcome:
        """Minimises costs @ x, (n,), within bounds. With a time limit: the best that any of them has found."""
        deadline = Deadline(seconds)
        best, done = Outcome(Claim.FAILED, None), 0.0
        left = self._fit(bounds)
        limit = self._work
        while left:
            for name in tuple(left):
                alone = len(left) == 1
                outcome = self.attempt(name, costs, bounds, deadline.left(), None if alone else limit)
                done += outcome.work
                if outcome.claim in (Claim.OPTIMAL, Claim.NO_OPTIMUM):
                    return outcome._replace(work=done)
                best = _better(best, outcome, costs)
                if alone or deadline.over or self.stopped:
                    return best._replace(work=done)
                if outcome.claim is Claim.FAILED:
                    left.remove(name)
            limit *= _GROWTH
        return best._replace(work=done)

    def attempt(self, name: str, costs: Floats, bounds: Bounds, seconds: float | None, work: float | None) -> Outcome:
        """What one of the solvers makes of it.

        Solvers in floating point may miss a row by a share of its largest coefficient, which can be more than its
        smallest. Where CP-SAT could do better, such a point is a failure.
        """
        outcome = self.engine(name).minimize(costs, bounds, seconds, work)
        exact = any(other.startswith("cp_sat") for other in self._fit(bounds)) and not name.startswith("cp_sat")
        if exact and outcome.x is not None and not self.program.holds(np.rint(outcome.x), bounds, ROUNDED):
            return Outcome(Claim.FAILED, None, outcome.work)
        return outcome

    def stop(self) -> None:
        """Ends `minimize` in another thread."""
        self.stopped = True
        for engine in list(self._engines.values()):
            engine.stop()

    def _fit(self, bounds: Bounds) -> list[str]:
        return [name for name in self.solvers if unfit_bounds(name, self.program, bounds) is None]

    def engine(self, name: str) -> CountingEngine:
        """The engine of this name, made when first needed."""
        if name not in self._engines:
            self._engines[name] = ENGINES[name](self.program, self._gap)  # type: ignore[assignment]
        return self._engines[name]


def _better(best: Outcome, other: Outcome, costs: Floats) -> Outcome:
    """The better solution of the two, with the bound of whoever has proven more."""
    bound = max((each.bound for each in (best, other) if each.bound is not None), default=None)
    if other.x is not None:
        costs = scaled(costs)  # as they come, their sum may not be finite
        better = other if best.x is None or costs @ other.x < costs @ best.x else best
    else:
        better = other if best.claim is Claim.FAILED else best
    return better._replace(bound=bound)
