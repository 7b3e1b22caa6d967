"""The trial by which `backend="auto"` chooses: solvers race on a few instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from imle_adapters.ilp.engines.engine import Claim, Deadline, scaled
from imle_adapters.ilp.engines.fit import unfit_bounds
from imle_adapters.ilp.engines.portfolio import Portfolio
from imle_adapters.ilp.program import Bounds
from imle_adapters.ilp.spec import Floats

INSTANCES = 8
"""How many instances a trial takes at most."""

_FIRST = 0.05  # the limit of work in the first round of a race
_GROWTH = 4.0  # of the limit from round to round
_LARGEST = 3.2  # no limit is larger
_ENOUGH = 6.0  # the trial ends where all races have taken more
_WORSE = 3.0  # times the work of the winner: what others get
_HOPELESS = 4.0  # times the least work in the first race: a solver leaves the trial
_CLOSE = 1.5  # the same, after many races
_DOUBT = 2.0  # times less work must another kind of solver need: two kinds count with an error
_STRAGGLER = 10.0  # times the longest solve
_SOON = 0.1  # nothing that took less is a straggler


class Solve(NamedTuple):
    """A solve in a trial.

    Attributes:
        done: whether it was solved.
        work: what it took.
        objective: of the best solution found, infinite without one.
    """

    done: bool
    work: float
    objective: float


def choose(
    portfolio: Portfolio, costs: Floats, bounds: Sequence[Bounds], seconds: float | None
) -> tuple[tuple[str, ...], float]:
    """Has solvers of a portfolio try instances: the best of them, and what makes a straggler, see `try_out`.

    Args:
        portfolio: the solvers, in the order that counts without a trial.
        costs: (N, n), finite.
        bounds: N of them.
        seconds: the time limit of an instance; None: none. With one the clock may decide.
    """
    rows = range(max(len(costs), INSTANCES // 2))
    # One or two instances say little, so they come again with other prices.
    factors = np.random.default_rng(0).uniform(0.8, 1.2, (len(rows), costs.shape[1]))
    factors[: len(costs)] = 1.0
    tried = [scaled(costs[row % len(costs)]) * factors[row] for row in rows]

    def solve(name: str, row: int, work: float) -> Solve:
        within = bounds[row % len(costs)]
        if portfolio.stopped or unfit_bounds(name, portfolio.program, within) is not None:
            return Solve(False, work, np.inf)
        deadline = Deadline(seconds)
        claim, x, taken, _ = portfolio.attempt(name, tried[row], within, seconds, work)
        done = claim in (Claim.OPTIMAL, Claim.NO_OPTIMUM)
        if claim is Claim.FAILED or (deadline.over and not done):
            taken = max(taken, _LARGEST)  # a larger limit of work would not help
        return Solve(done, taken, np.inf if x is None else float(tried[row] @ x))

    return try_out(portfolio.solvers, len(rows), solve)


def try_out(
    solvers: Sequence[str], instances: int, solve: Callable[[str, int, float], Solve]
) -> tuple[tuple[str, ...], float]:
    """Has solvers race on one instance after another, and orders them by the work that they do.

    Args:
        solvers: names, in the order that counts without a trial.
        instances: how many there are.
        solve: `solve(name, instance, work)` tries an instance within a limit of work.

    Returns:
        The solvers, the best first and then the best of another kind, and above which work an instance is a straggler.
    """
    doubts = {name: 1.0 if _kind(name) == _kind(solvers[0]) else _DOUBT for name in solvers}
    taken: dict[str, list[float]] = {name: [] for name in solvers}
    longest = dict.fromkeys(solvers, 0.0)  # of what was solved

    def doubtful(name: str, instance: int, work: float) -> Solve:
        result = solve(name, instance, work / doubts[name])
        return result._replace(work=doubts[name] * result.work)

    def mean(name: str) -> float:
        return sum(taken[name]) / max(1, len(taken[name]))

    running, spent = list(solvers), 0.0
    for instance in range(instances):
        results = _race(sorted(running, key=mean), instance, doubtful)
        spent += sum(result.work for result in results.values())
        for name, result in results.items():
            taken[name].append(_worth(result, results.values()))
            if result.done:
                longest[name] = max(longest[name], result.work / doubts[name])
        least = min(map(mean, running))
        much = max(_CLOSE, _HOPELESS / math.sqrt(instance + 1))
        running = [name for name in running if mean(name) <= much * least]
        if len(running) == 1 or spent > _ENOUGH:
            break
    ranking = sorted(solvers, key=lambda name: (name not in running, mean(name)))
    others = sorted(ranking[1:], key=lambda name: _kind(name) == _kind(ranking[0]))
    order = (ranking[0], *others[:1], *(name for name in ranking[1:] if name != others[0]))
    return order, max(_SOON, _STRAGGLER * longest[order[0]]) if longest[order[0]] else _LARGEST


def _kind(solver: str) -> str:
    return solver.removesuffix("_no_cuts")


def _race(solvers: Sequence[str], instance: int, solve: Callable[[str, int, float], Solve]) -> dict[str, Solve]:
    """Who needs how much work, in rounds with a growing limit until somebody is done, and a last one for the others."""
    results: dict[str, Solve] = {}

    def give_turns(limit: float) -> None:
        for name in solvers:
            fastest = min((result.work for result in results.values() if result.done), default=np.inf)
            allowed = min(limit, _WORSE * fastest)
            known = results.get(name)
            if known is None or (not known.done and known.work < allowed):
                results[name] = solve(name, instance, allowed)

    limit = _FIRST
    give_turns(limit)
    while limit < _LARGEST and not any(result.done for result in results.values()):
        limit = min(_LARGEST, _GROWTH * limit)
        give_turns(limit)
    if any(result.done for result in results.values()):
        give_turns(np.inf)
    return results


def _worth(result: Solve, results: Collection[Solve]) -> float:
    """The work that a result counts as, beside the others of its race."""
    if result.done:
        return result.work
    fastest = min((other.work for other in results if other.done), default=None)
    if fastest is not None:
        return max(result.work, _HOPELESS * fastest)
    # Nobody is done: it is the best solution that counts.
    best = min(other.objective for other in results)
    return _LARGEST if result.objective <= best else _HOPELESS * _LARGEST
