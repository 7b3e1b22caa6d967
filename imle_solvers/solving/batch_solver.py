"""From tensors to solved tensors.

It turns scores in max form into the adapter's own sense, sends them to the executor (or, for solvers on tensors,
straight to the adapter), and deals with instances that failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imle_solvers.adapter import CLAMPED, Context, FloatArray, Parallelism, SolverAdapter, calling, claims_binary
from imle_solvers.errors import AdapterError, ImleSolversError, InputError, RowError, SolveError
from imle_solvers.estimators.base import Solved
from imle_solvers.executors.base import Executor
from imle_solvers.report import Report
from imle_solvers.solving.clamping import Clamping
from imle_solvers.solving.observation import IDENTICAL, KNOWN, Observation
from imle_solvers.solving.on_tensors import StatusArray, solve_tensors
from imle_solvers.solving.selection import Selection, select
from imle_solvers.solving.stats import Stats
from imle_solvers.solving.theta import check_finite
from imle_solvers.solving.transfer import to_device, to_host
from imle_solvers.status import Status

OnFailure = Literal["raise", "zero_grad", "keep"]

_BINARY_LOOKS = 15
"""Of so many batches one is looked at for solutions that are not 0/1; an odd number, for targets to have their turn."""

_NOT_FINITE = "theta is not finite after noise; check the noise distribution and its temperature"


class BatchSolver:
    """The `Solve` of one forward call: its adapter, executor, context and what happens to failures.

    Args:
        adapter: the solver.
        executor: where it runs; not used by adapters that solve tensors where they are.
        theta: (B, *instance_shape), what scores are made of, to say whose fault it is if they are not finite.
        context: the arrays that go to the adapter with each instance, with a leading axis of B, see
            `prepare_context`.
        on_failure: see `SolverLayer`.
        stats: where to count.
        on_progress: told of the parts of a batch, see `Executor.solve`.
        clamping: warns where entries of theta were solved as zero; None: nobody does.

    Attributes:
        watch: who looks on, for diagnostics; None: nobody.
        unproven: (B,), of the last solve, which instances have a solution that need not be optimal; None: none has.
    """

    def __init__(
        self,
        adapter: SolverAdapter,
        executor: Executor,
        theta: Tensor,
        context: Context,
        on_failure: OnFailure,
        stats: Stats,
        on_progress: Callable[[int, int], None] | None = None,
        clamping: Clamping | None = None,
    ) -> None:
        self._adapter = adapter
        self._executor = executor
        self._theta = theta.detach()
        self._context = context
        self._on_failure = on_failure
        self._stats = stats
        self._on_progress = on_progress
        self._clamping = clamping
        self._report: Report | None = None
        self.watch: Observation | None = None
        self.unproven: NDArray[np.bool_] | None = None
        self.num_ones: float | None = adapter.num_ones
        self.sign = -1 if adapter.sense == "min" else 1
        self.alike: bool = not context  # all instances have the same feasible solutions
        self.proven: bool = True  # that solutions are optimal, of all that were solved
        self.binary: bool = adapter.parallelism is not Parallelism.DEVICE and claims_binary(adapter, context)

    def __call__(
        self,
        scores: Tensor,
        *,
        needed: Tensor | None = None,
        owned: bool = False,
        skip_nonfinite: bool = False,
    ) -> Solved:
        """Solves (B, M, *instance_shape) scores in max form. See `Solve`.

        Raises:
            SolveError: instances ended with a status that `on_failure` does not accept.
            AdapterError, InputError: naming instance and sample.
        """
        if self.watch is None:
            return self._solve(scores, needed, owned, skip_nonfinite)
        self.watch.before(scores)
        solved = self._solve(scores, needed, owned, skip_nonfinite)
        self.watch.after(solved, needed)
        return solved

    def map_aside(self, instances: int) -> Solved | None:
        """MAP states of the first instances, (instances, 1, *solution_shape), uncounted; None where that fails."""
        context = {name: values[:instances] for name, values in self._context.items()}
        theta = self._theta[:instances]
        aside = BatchSolver(self._adapter, self._executor, theta, context, "zero_grad", Stats())
        scores = (theta if self.sign > 0 else -theta).unsqueeze(1)
        try:
            return aside(
                scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores, owned=self.sign < 0
            )
        except ImleSolversError:  # the solves that matter have gone well
            return None

    def _solve(self, scores: Tensor, needed: Tensor | None, owned: bool, skip_nonfinite: bool) -> Solved:
        batch, samples = scores.shape[:2]
        shape = (batch, samples, *self._adapter.solution_shape)
        if batch == 0:
            return Solved(scores.new_zeros(shape), None)
        try:
            if self._adapter.parallelism is Parallelism.DEVICE:
                thetas = self._thetas(scores, owned).flatten(0, 1)
                values, statuses = self._solve_on_device(thetas, samples, skip_nonfinite)
                values = values.reshape(shape)
            else:
                asked = None if needed is None else needed.cpu().numpy().reshape(-1)
                thetas = self._thetas(scores, owned)
                array, statuses = self._solve_on_workers(to_host(thetas), samples, asked, skip_nonfinite)
                if self.binary and self._stats.batches % _BINARY_LOOKS == 0:
                    self._check_binary(array, statuses)
                values = to_device(array.reshape(shape), scores)
        except RowError as error:
            error.locate(samples)
            raise
        ok = self._judge(statuses, samples)
        if ok is None:  # what a solver on tensors returns may be its own
            return Solved(values, None, owned=self._adapter.parallelism is not Parallelism.DEVICE)
        mask = torch.from_numpy(ok).to(values.device).reshape(batch, samples)
        return Solved(
            torch.where(mask.reshape(batch, samples, *(1,) * (values.ndim - 2)), values, 0.0), mask, owned=True
        )

    def clamped(self, scores: Tensor) -> Tensor | None:
        """Which of (B, M, *instance_shape) scores are solved as zero, see `SolverAdapter.clamped`; None: none."""
        adapter = self._adapter
        if (
            type(adapter).clamped is SolverAdapter.clamped
            or adapter.parallelism is Parallelism.DEVICE
            or not len(scores)
        ):
            return None
        samples = scores.shape[1]
        thetas = to_host(self._thetas(scores.flatten(0, 1), owned=False))
        try:
            with calling(adapter, "clamped"):
                clamped = adapter.clamped(thetas, self._repeated(samples))
        except RowError as error:
            error.locate(samples)
            raise
        if clamped is None or not clamped.any():
            return None
        return torch.from_numpy(clamped.reshape(scores.shape)).to(scores.device)

    def warn_of_clamped(self, theta: Tensor, which: str = "predicted") -> None:
        """Warns, once a layer, where entries of (B, *instance_shape), in the adapter's sense, are solved as zero."""
        if self._clamping is not None:
            thetas = theta.float() if theta.dtype in (torch.float16, torch.bfloat16) else theta
            self._clamping.look(self._adapter, to_host(thetas), self._context, which)

    def _repeated(self, samples: int) -> Context:
        """The context of all rows."""
        return {name: np.repeat(values, samples, axis=0) for name, values in self._context.items()}

    def _thetas(self, scores: Tensor, owned: bool) -> Tensor:
        """In the adapter's own sense; a copy, as solvers may overwrite it, unless it may be."""
        if self.sign < 0:
            return scores.neg_() if owned else -scores
        return scores if owned else scores.clone()

    def _solve_on_workers(
        self, array: FloatArray, samples: int, asked: NDArray[np.bool_] | None, skip_nonfinite: bool
    ) -> tuple[FloatArray, StatusArray]:
        array = np.ascontiguousarray(array.reshape(len(array) * samples, *self._adapter.instance_shape))
        context = self._repeated(samples)
        unsound = _not_finite(array)
        if unsound is not None:
            if not skip_nonfinite:
                # Not before: as long as all is well only the host's copy is looked at, and no device need wait.
                check_finite(self._theta, self._adapter)
                raise InputError(_NOT_FINITE, int(unsound.argmax()))
            asked = np.logical_not(unsound) if asked is None else asked & ~unsound
        selection = select(array, context, asked)
        if selection is None:
            return self._solve_rows(array, context)
        values, statuses = self._solve_selection(selection, array, context)
        self._count_skipped(selection, asked, len(array))
        if unsound is not None:
            values[unsound] = np.nan
        return values, statuses

    def _solve_selection(
        self, selection: Selection, array: FloatArray, context: Context
    ) -> tuple[FloatArray, StatusArray]:
        chosen = selection.chosen
        shape = (len(array), *self._adapter.solution_shape)
        if len(chosen) == 0:
            values: FloatArray = np.zeros(shape, dtype=array.dtype)
            return values, np.zeros(len(array), dtype=np.uint8)
        try:
            solved = self._solve_rows(
                selection.gather(array), {name: values[chosen] for name, values in context.items()}
            )
        except RowError as error:
            error.of_part(chosen)
            raise
        alike = array.shape == shape and array.dtype == solved[0].dtype
        # Nobody needs theta any more, unless an adapter has made its solutions there.
        out = array if alike and not np.may_share_memory(array, solved[0]) else None
        return selection.spread(solved[0], out), selection.spread(solved[1])

    def _count_skipped(self, selection: Selection, asked: NDArray[np.bool_] | None, rows: int) -> None:
        wanted = rows if asked is None else int(asked.sum())
        for name, count in ((KNOWN, rows - wanted), (IDENTICAL, wanted - len(selection.chosen))):
            if count:
                self._count({name: count})

    def _solve_rows(self, array: FloatArray, context: Context) -> tuple[FloatArray, StatusArray]:
        with calling(self._adapter, "check"):
            self._adapter.check(array, context)
        solved = self._executor.solve(self._adapter, array, context, self._on_progress)
        self._count(solved.counters)
        if self._clamping is not None and solved.counters.get(CLAMPED):
            self.warn_of_clamped(self._theta)
            self._clamping = None  # once a call: what noise and targets do is not what was predicted
        self._stats.gaps.add(solved.statuses, solved.gaps)
        if solved.report is not None:
            self._stats.add(solved.report)
            self._report = solved.report
        return solved.values, solved.statuses

    def _count(self, counters: Mapping[str, int]) -> None:
        self._stats.counters.update(counters)
        if self.watch is not None:
            self.watch.counters.update(counters)

    def _solve_on_device(self, thetas: Tensor, samples: int, skip_nonfinite: bool) -> tuple[Tensor, StatusArray]:
        finite = thetas.isfinite()
        if not bool(finite.all()):
            rows = finite.reshape(len(thetas), -1).all(1)
            if not skip_nonfinite:
                check_finite(self._theta, self._adapter)
                raise InputError(_NOT_FINITE, int(rows.int().argmin()))
            entries = rows.reshape(-1, *(1 for _ in self._adapter.instance_shape))
            values, statuses = self._solve_on_device(torch.where(entries, thetas, 0.0), samples, skip_nonfinite)
            entries = rows.reshape(-1, *(1 for _ in self._adapter.solution_shape))
            return torch.where(entries, values, math.nan), statuses
        context = {name: values.repeat_interleave(samples, dim=0) for name, values in self._context.items()}
        values, statuses = solve_tensors(self._adapter, thetas, context)
        self._stats.executors["device"] += 1
        self._stats.gaps.add(statuses)
        if self._on_progress is not None:
            self._on_progress(len(thetas), len(thetas))
        return values, statuses

    def _check_binary(self, array: FloatArray, statuses: StatusArray) -> None:
        """Raises `AdapterError` if the adapter claims zeros and ones, and has others. Now and then: it costs a pass."""
        others = ((array != 0) & (array != 1)).reshape(len(array), -1) & (statuses <= Status.FEASIBLE)[:, None]
        if others.any():
            row, entry = map(int, np.argwhere(others)[0])
            raise AdapterError(
                f"{self._adapter!r} says is_binary, but has {array[row].flat[entry]} in a solution; leave that out, or "
                "targets would be taken for known that are not",
                row,
            )

    def _judge(self, statuses: StatusArray, samples: int) -> NDArray[np.bool_] | None:
        """Which rows are to be used, None for all; raises where the policy says so."""
        self._stats.batches += 1
        self._stats.instances += len(statuses)
        self.unproven = None
        if not np.count_nonzero(statuses):  # the usual case, and OPTIMAL is 0
            self._stats.statuses[Status.OPTIMAL] += len(statuses)
            return None
        counts = np.bincount(statuses, minlength=len(Status))
        self._stats.statuses.update({status: int(counts[status]) for status in Status if counts[status]})
        if counts[Status.FEASIBLE]:
            self.proven = self.binary = False  # nothing follows for the target from a solution that need not be optimal
            self.unproven = (statuses == Status.FEASIBLE).reshape(-1, samples).any(1)
        accepted = {Status.OPTIMAL, Status.FEASIBLE} if self._on_failure == "keep" else {Status.OPTIMAL}
        ok = np.isin(statuses, list(accepted))
        if ok.all():
            return None
        if self._on_failure != "zero_grad":
            rows = np.flatnonzero(~ok)
            failures = [(int(row // samples), int(row % samples), Status(statuses[row])) for row in rows]
            ends = (None, None) if self._report is None else (self._report.timeout, self._report.crash)
            raise SolveError(repr(self._adapter), failures, *ends, keeps=self._on_failure == "keep")
        return ok


def _not_finite(thetas: FloatArray) -> NDArray[np.bool_] | None:
    """(N,) which rows have entries that are not finite; None if there are none."""
    finite = np.isfinite(thetas)
    if np.count_nonzero(finite) == finite.size:
        return None
    unsound: NDArray[np.bool_] = np.logical_not(finite.reshape(len(thetas), -1).all(1))
    return unsound
