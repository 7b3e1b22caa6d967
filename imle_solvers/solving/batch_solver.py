"""From tensors to solved tensors: the only module where torch and numpy meet.

It turns scores in max form into the adapter's own sense, sends them to the executor (or, for solvers on tensors,
straight to the adapter), and deals with instances that failed.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imle_solvers.adapter import Context, FloatArray, Parallelism, SolverAdapter, claims_binary, not_finite
from imle_solvers.errors import AdapterError, InputError, RowError, SolveError
from imle_solvers.estimators.base import Solved
from imle_solvers.executors.base import Executor
from imle_solvers.executors.chunk import check_codes
from imle_solvers.pytorch.transforms import check_values
from imle_solvers.solving.selection import Selection, select
from imle_solvers.solving.stats import Stats
from imle_solvers.status import Status

OnFailure = Literal["raise", "zero_grad", "keep"]
StatusArray = NDArray[np.uint8]

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)

KNOWN, IDENTICAL = "solves skipped as known", "solves skipped as identical"
"""Counts, among an adapter's own, the rows that were not solved: of a target that is known, and those solved before."""

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
    ) -> None:
        self._adapter = adapter
        self._executor = executor
        self._theta = theta.detach()
        self._context = context
        self._on_failure = on_failure
        self._stats = stats
        self._on_progress = on_progress
        self._timeout: str | None = None
        self.num_ones: float | None = adapter.num_ones
        self.sign = -1 if adapter.sense == "min" else 1
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

    def _thetas(self, scores: Tensor, owned: bool) -> Tensor:
        """In the adapter's own sense; a copy, as solvers may overwrite it, unless it may be."""
        if self.sign < 0:
            return scores.neg_() if owned else -scores
        return scores if owned else scores.clone()

    def _solve_on_workers(
        self, array: FloatArray, samples: int, asked: NDArray[np.bool_] | None, skip_nonfinite: bool
    ) -> tuple[FloatArray, StatusArray]:
        array = np.ascontiguousarray(array.reshape(len(array) * samples, *self._adapter.instance_shape))
        context = {name: np.repeat(values, samples, axis=0) for name, values in self._context.items()}
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
                self._stats.counters[name] += count

    def _solve_rows(self, array: FloatArray, context: Context) -> tuple[FloatArray, StatusArray]:
        self._adapter.check(array, context)
        solved = self._executor.solve(self._adapter, array, context, self._on_progress)
        self._stats.counters.update(solved.counters)
        if solved.report is not None:
            self._stats.add(solved.report)
            self._timeout = solved.report.timeout
        return solved.values, solved.statuses

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
        try:
            with _no_autocast(thetas.device.type):
                result = self._adapter.solve_tensors(thetas, context)
        except InputError:
            raise
        except Exception as error:
            raise AdapterError(f"{self._adapter!r} failed: {type(error).__name__}: {error}") from error
        self._stats.executors["device"] += 1
        return _checked_tensors(self._adapter, thetas, result)

    def _judge(self, statuses: StatusArray, samples: int) -> NDArray[np.bool_] | None:
        """Which rows are to be used, None for all; raises where the policy says so."""
        self._stats.batches += 1
        self._stats.instances += len(statuses)
        if not np.count_nonzero(statuses):  # the usual case, and OPTIMAL is 0
            self._stats.statuses[Status.OPTIMAL] += len(statuses)
            return None
        counts = np.bincount(statuses, minlength=len(Status))
        self._stats.statuses.update({status: int(counts[status]) for status in Status if counts[status]})
        if counts[Status.FEASIBLE]:
            self.binary = False  # nothing follows for the target from a solution that need not be optimal
        accepted = {Status.OPTIMAL, Status.FEASIBLE} if self._on_failure == "keep" else {Status.OPTIMAL}
        ok = np.isin(statuses, list(accepted))
        if ok.all():
            return None
        if self._on_failure != "zero_grad":
            rows = np.flatnonzero(~ok)
            failures = [(int(row // samples), int(row % samples), Status(statuses[row])) for row in rows]
            raise SolveError(repr(self._adapter), failures, self._timeout)
        return ok


def _checked_tensors(adapter: SolverAdapter, thetas: Tensor, result: Any) -> tuple[Tensor, StatusArray]:
    """What a solver on tensors returned, as solutions of theta's dtype and device, and statuses."""
    values, statuses = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    expected = (len(thetas), *adapter.solution_shape)
    if not isinstance(values, Tensor) or values.shape != expected:
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise AdapterError(f"{adapter!r}: expected a tensor of solutions of shape {expected}, got {got}")
    if values.is_complex():
        raise AdapterError(f"{adapter!r}: expected solutions of real numbers, got {values.dtype}")
    values, codes = values.to(thetas), _codes(adapter, statuses, len(thetas))
    if not bool(values.sum().isfinite()):  # one pass without a temporary; it may be that only the sum is too large
        finite = values.isfinite().reshape(len(thetas), -1).all(1)
        wrong = (~finite).cpu().numpy() & (codes <= Status.FEASIBLE)
        if wrong.any():
            row = int(wrong.argmax())
            entry = tuple((~values[row].isfinite()).nonzero()[0].tolist())
            raise AdapterError(not_finite(adapter, values[row][entry].item(), entry, codes[row]), row)
    return values, codes


def _codes(adapter: SolverAdapter, statuses: Any, rows: int) -> StatusArray:
    """The statuses that a solver on tensors returned; None: all OPTIMAL."""
    if statuses is None:
        return np.zeros(rows, np.uint8)
    codes = torch.as_tensor(statuses).cpu().numpy()
    if codes.shape != (rows,):
        raise AdapterError(f"{adapter!r}: expected {rows} codes of Status, got statuses of shape {codes.shape}")
    if isinstance(statuses, list | tuple) and any(isinstance(status, bool) for status in statuses):
        codes = codes.astype(bool)  # as which they would be refused without a number among them
    check_codes(adapter, codes)
    return codes.astype(np.uint8)


def _no_autocast(device: str) -> AbstractContextManager[Any]:
    """Autocast rounds in the forward pass only, whose solutions would then differ from those of the backward pass."""
    # Older versions of PyTorch refuse to turn it off where they have none.
    return torch.autocast(device, enabled=False) if device in ("cpu", "cuda") else nullcontext()


def to_host(thetas: Tensor) -> FloatArray:
    """The tensor as an array; a copy where it is on another device, else the same memory.

    From a GPU by way of pinned memory, on a stream of its own: it waits for what makes theta, and for nothing that is
    queued on other streams, and the copy runs at the full speed of the bus.
    """
    if thetas.device.type == "cpu":
        return thetas.detach().numpy()
    if not thetas.is_cuda:
        return thetas.detach().cpu().numpy()
    thetas = thetas.detach().contiguous()
    host = torch.empty(thetas.shape, dtype=thetas.dtype, pin_memory=True)
    side = torch.cuda.Stream(thetas.device)
    side.wait_stream(torch.cuda.current_stream(thetas.device))
    with torch.cuda.stream(side):
        host.copy_(thetas, non_blocking=True)
    thetas.record_stream(side)
    side.synchronize()
    return host.numpy()


def to_device(values: NDArray[Any], like: Tensor) -> Tensor:
    """The array as a tensor of the dtype and on the device of another; the same memory where it can be.

    To a GPU by way of pinned memory, which PyTorch keeps until the copy is done, so that nobody waits for it.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if not like.is_cuda:
        return tensor.to(like)
    return tensor.pin_memory().to(like, non_blocking=True)


def _not_finite(thetas: FloatArray) -> NDArray[np.bool_] | None:
    """(N,) which rows have entries that are not finite; None if there are none."""
    finite = np.isfinite(thetas)
    if np.count_nonzero(finite) == finite.size:
        return None
    unsound: NDArray[np.bool_] = np.logical_not(finite.reshape(len(thetas), -1).all(1))
    return unsound


def prepare_context(
    adapter: SolverAdapter, context: Mapping[str, Any], batch: int, device: torch.device, *, single: bool = False
) -> Context:
    """The context of a call in the form that its adapter takes: tensors on theta's device, or numpy arrays.

    Args:
        adapter: the adapter, which declares names and shapes.
        context: tensors, arrays or nested lists with a leading axis of `batch`. Without it, where the adapter says the
            shape, they hold for all instances.
        batch: B.
        device: of theta.
        single: whether context came with a single theta, and has no such axis.

    Raises:
        TypeError: values that are no numbers.
        ValueError: a name that the adapter does not take, or a wrong shape.
    """
    unknown = [name for name in context if name not in adapter.context]
    if unknown:
        takes = ", ".join(adapter.context) or "no context"
        raise ValueError(f"{adapter!r} does not take {', '.join(unknown)} as context; it takes {takes}")
    prepared: dict[str, Any] = {}
    for name, values in context.items():
        tensor = context_tensor(name, values)
        shape = adapter.context[name]
        if tensor.shape == shape or (single and shape is None):
            tensor = tensor.expand(batch, *tensor.shape)
        if tensor.ndim == 0 or len(tensor) != batch or (shape is not None and tensor.shape[1:] != shape):
            expected = (
                f"({batch}, ...), an entry for each instance"
                if shape is None
                else f"{(batch, *shape)}, or {shape} for all instances"
            )
            raise ValueError(f"context {name!r}: expected shape {expected}, got {tuple(tensor.shape)}")
        if adapter.parallelism is Parallelism.DEVICE:
            prepared[name] = tensor.to(device)
        elif tensor.dtype == torch.bfloat16:  # numpy has none
            prepared[name] = tensor.float().cpu().numpy()
        else:
            prepared[name] = tensor.cpu().numpy()
    return prepared


def context_tensor(name: str, values: Any) -> Tensor:
    """Context that a caller passed as `name`, as a tensor.

    Raises:
        TypeError: it is not made of numbers.
    """
    if isinstance(values, Tensor):
        return values.detach()
    try:
        return torch.as_tensor(np.asarray(values))
    except (TypeError, ValueError):
        advice = "; leave it out where there is none" if values is None else ""
        raise TypeError(
            f"context {name!r}: expected a tensor, or an array or lists of numbers, got {reprlib.repr(values)}{advice}"
        ) from None


def check_tensor(theta: Any) -> None:
    """Raises unless theta is a tensor of a floating dtype of at least 16 bits.

    Raises:
        TypeError: it is not.
        RuntimeError: solvers cannot read it, see `check_values`.
    """
    if not isinstance(theta, Tensor):
        raise TypeError(
            f"theta: expected a torch.Tensor, got {type(theta).__name__}; make one by torch.as_tensor(theta)"
        )
    check_values(theta)
    if theta.dtype not in _DTYPES:
        raise TypeError(
            f"theta: expected a floating dtype of at least 16 bits, got {theta.dtype}; convert it with theta.float()"
        )


def check_finite(theta: Tensor, adapter: SolverAdapter) -> None:
    """Raises `ValueError` for NaN or infinity, naming the instance, and how the adapter is told to rule entries out.

    Args:
        theta: (B, *instance_shape).
        adapter: the adapter.
    """
    finite = theta.isfinite()
    if not bool(finite.all()):
        instance, *entry = (~finite).nonzero()[0].tolist()
        value = theta[(instance, *entry)].item()
        worst = math.inf if adapter.sense == "min" else -math.inf
        advice = f"rule entries out by {adapter.exclusion}, or " if value == worst and adapter.exclusion else ""
        raise ValueError(
            f"theta: expected finite values, got {value} in instance {instance} at {tuple(entry)}; {advice}check the "
            "network that predicts theta"
        )
