"""Several passes that are solved together.

What is mapped over a batch, as by `vmap`, is so many passes, each with its own noise, and with norms, scales and state
of its own. Their tensor maths is done one after another, so that each comes out, bit for bit, as it does alone. Their
solves are not: each pass is begun anew until it asks for one that has not been solved for; then all that they asked for
is solved in one batch, by all workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from imle_solvers.adapter import CLAMPED
from imle_solvers.estimators.base import Solved
from imle_solvers.solving.batch_solver import BatchSolver
from imle_solvers.solving.observation import Observation

Result = TypeVar("Result")


class PassSolve:
    """The `Solve` of one pass, whose first solutions are known.

    Args:
        solver: that of all passes; who watches it is shown what is known, too.
        known: the solutions of its first solves.
        alone: whether there is no other pass; if there is, a solve that is not known is asked for by an exception.

    Attributes:
        asked: the solves so far, of this pass alone.
    """

    def __init__(self, solver: BatchSolver, known: Sequence[Solved], alone: bool) -> None:
        self._solver = solver
        self._known = known
        self._alone = alone
        self.asked: list[Solved] = []
        self.num_ones: float | None = solver.num_ones
        self.binary: bool = solver.binary
        self.sign: int = solver.sign

    def __call__(
        self,
        scores: Tensor,
        *,
        needed: Tensor | None = None,
        owned: bool = False,
        skip_nonfinite: bool = False,
    ) -> Solved:
        if len(self.asked) < len(self._known):
            solved = self._known[len(self.asked)]
            if self._solver.watch is not None:
                self._show(self._solver.watch, scores, solved)
        elif self._alone:
            solved = self._solver(scores, needed=needed, owned=owned, skip_nonfinite=skip_nonfinite)
        else:
            raise _Asks(scores.detach(), needed, skip_nonfinite)
        self.asked.append(solved)
        return solved

    def _show(self, watch: Observation, scores: Tensor, solved: Solved) -> None:
        watch.before(scores)
        watch.after(solved, None)
        clamped = self._solver.clamped(scores)  # was counted when it was solved, where nobody watched
        if clamped is not None:
            watch.counters[CLAMPED] += int(clamped.sum())
        if watch.probes and (mapped := self._solver.map_aside(watch.instances)) is not None:
            watch.compare(mapped)


class _Asks(Exception):  # noqa: N818 - no error, and seen by nobody
    """Ends a pass that needs solutions."""

    def __init__(self, scores: Tensor, needed: Tensor | None, skip_nonfinite: bool) -> None:
        super().__init__()
        self.scores = scores
        self.needed = needed
        self.skip_nonfinite = skip_nonfinite


def in_step(
    solver: BatchSolver,
    passes: int,
    run: Callable[[int, PassSolve], Result],
    known: Sequence[Sequence[Solved]] | None = None,
) -> list[Result]:
    """Runs all passes.

    Args:
        solver: of all instances, those of the first pass first; each pass has as many.
        passes: how many.
        run: runs one, from its number and its `Solve`; called again from the start once it has been given solutions.
        known: of each pass, the solutions of its first solves; None: of none.
    """
    answers = [list(known[i]) if known is not None else [] for i in range(passes)]
    if passes == 1:
        return [run(0, PassSolve(solver, answers[0], alone=True))]
    results: dict[int, Result] = {}
    while len(results) < passes:
        asks: dict[int, _Asks] = {}
        for i in range(passes):
            if i not in results:
                try:
                    results[i] = run(i, PassSolve(solver, answers[i], alone=False))
                except _Asks as ask:
                    asks[i] = ask
        if asks:
            for i, solved in _solve_together(solver, passes, asks).items():
                answers[i].append(solved)
    return [results[i] for i in range(passes)]


def _solve_together(solver: BatchSolver, passes: int, asks: dict[int, _Asks]) -> dict[int, Solved]:
    """One batch of what was asked for; a pass that did not ask takes part in it with nothing that is needed."""
    first = next(iter(asks.values()))
    none = torch.zeros(first.scores.shape[:2], dtype=torch.bool)
    if len(asks) < passes or any(ask.needed is not None for ask in asks.values()):
        masks = [none if i not in asks else ~none if asks[i].needed is None else asks[i].needed for i in range(passes)]
        needed = torch.cat([mask for mask in masks if mask is not None])
    else:
        needed = None
    rows = [asks[i].scores if i in asks else torch.zeros_like(first.scores) for i in range(passes)]
    solved = solver(
        torch.cat(rows),
        needed=needed,
        owned=True,
        skip_nonfinite=any(ask.skip_nonfinite for ask in asks.values()),
    )
    size = len(first.scores)
    parts = {i: slice(i * size, (i + 1) * size) for i in asks}
    return {
        i: Solved(solved.values[part], _unless_all(None if solved.ok is None else solved.ok[part]))
        for i, part in parts.items()
    }


def _unless_all(ok: Tensor | None) -> Tensor | None:
    return None if ok is None or bool(ok.all()) else ok
