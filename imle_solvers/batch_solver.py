"""From tensors to solved tensors: the only module where torch and numpy meet.

It turns scores in max form into the adapter's own sense, sends them to the executor (or, for solvers on tensors,
straight to the adapter), and deals with instances that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from imle_solvers.adapter import Context, Parallelism, SolverAdapter
from imle_solvers.errors import AdapterError, InputError, SolveError
from imle_solvers.estimators.base import Solved
from imle_solvers.executors import Executor
from imle_solvers.stats import Stats
from imle_solvers.status import Status

OnFailure = Literal["raise", "zero_grad", "keep"]


class BatchSolver:
    """The `Solve` of one forward call: its adapter, executor, context and what happens to failures.

    Args:
        adapter: the solver.
        executor: where it runs; not used by adapters that solve tensors where they are.
        context: the arrays that go to the adapter with each instance, with a leading axis of B, see
            `prepare_context`.
        on_failure: see `SolverLayer`.
        stats: where to count.
    """

    def __init__(
        self, adapter: SolverAdapter, executor: Executor, context: Context, on_failure: OnFailure, stats: Stats
    ) -> None:
        self._adapter = adapter
        self._executor = executor
        self._context = context
        self._on_failure = on_failure
        self._stats = stats
        self.num_ones = adapter.num_ones

    def __call__(self, scores: Tensor) -> Solved:
        """Solves (B, M, *instance_shape) scores in max form. See `Solve`.

        Raises:
            SolveError: instances ended with a status that `on_failure` does not accept.
            AdapterError, InputError: naming instance and sample.
        """
        batch, samples = scores.shape[:2]
        # Either way a copy: solvers may overwrite their input, which must not be the user's tensor.
        thetas = (-scores if self._adapter.sense == "min" else scores.clone()).flatten(0, 1)
        if batch == 0:
            return Solved(scores.new_zeros((0, samples, *self._adapter.solution_shape)), None)
        try:
            on_device = self._adapter.parallelism is Parallelism.DEVICE
            solve = self._solve_on_device if on_device else self._solve_on_workers
            values, statuses = solve(thetas, samples)
        except (AdapterError, InputError) as error:
            error.locate(samples)
            raise
        values = values.unflatten(0, (batch, samples))
        ok = self._judge(statuses, samples)
        if ok is None:
            return Solved(values, None)
        mask = torch.from_numpy(ok).to(values.device).unflatten(0, (batch, samples))
        return Solved(torch.where(mask.reshape(batch, samples, *(1,) * (values.ndim - 2)), values, 0.0), mask)

    def _solve_on_workers(self, thetas: Tensor, samples: int) -> tuple[Tensor, np.ndarray[Any, Any]]:
        array = thetas.cpu().contiguous().numpy()
        _check_perturbed(array)
        context = {name: np.repeat(values, samples, axis=0) for name, values in self._context.items()}
        self._adapter.check(array, context)
        solved = self._executor.solve(self._adapter, array, context)
        self._stats.counters.update(solved.counters)
        return torch.from_numpy(np.ascontiguousarray(solved.values)).to(thetas), solved.statuses

    def _solve_on_device(self, thetas: Tensor, samples: int) -> tuple[Tensor, np.ndarray[Any, Any]]:
        context = {name: values.repeat_interleave(samples, dim=0) for name, values in self._context.items()}
        try:
            result = self._adapter.solve_tensors(thetas, context)
        except InputError:
            raise
        except Exception as error:
            raise AdapterError(f"{self._adapter!r} failed: {type(error).__name__}: {error}") from error
        values, statuses = result if isinstance(result, tuple) else (result, None)
        expected = (len(thetas), *self._adapter.solution_shape)
        if not isinstance(values, Tensor) or values.shape != expected:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise AdapterError(f"{self._adapter!r}: expected a tensor of solutions of shape {expected}, got {got}")
        if statuses is None:
            return values.to(thetas), np.zeros(len(thetas), np.uint8)
        codes = torch.as_tensor(statuses).cpu().numpy()
        if codes.shape != (len(thetas),) or not np.isin(codes, list(Status)).all():
            raise AdapterError(f"{self._adapter!r}: expected {len(thetas)} codes of Status, got {codes.tolist()}")
        return values.to(thetas), codes.astype(np.uint8)

    def _judge(self, statuses: np.ndarray[Any, Any], samples: int) -> np.ndarray[Any, Any] | None:
        """Which rows are to be used, None for all; raises where the policy says so."""
        self._stats.batches += 1
        self._stats.instances += len(statuses)
        if not statuses.any():  # the usual case, and OPTIMAL is 0
            self._stats.statuses[Status.OPTIMAL] += len(statuses)
            return None
        counts = np.bincount(statuses, minlength=len(Status))
        self._stats.statuses.update({status: int(counts[status]) for status in Status if counts[status]})
        accepted = {Status.OPTIMAL, Status.FEASIBLE} if self._on_failure == "keep" else {Status.OPTIMAL}
        ok = np.isin(statuses, list(accepted))
        if ok.all():
            return None
        if self._on_failure != "zero_grad":
            rows = np.flatnonzero(~ok)
            failures = [(int(row // samples), int(row % samples), Status(statuses[row])) for row in rows]
            raise SolveError(repr(self._adapter), failures)
        return ok


def prepare_context(adapter: SolverAdapter, context: Mapping[str, Any], batch: int, device: torch.device) -> Context:
    """The context of a call in the form that its adapter takes: tensors on theta's device, or numpy arrays.

    Args:
        adapter: the adapter, which declares names and shapes.
        context: tensors, arrays or nested lists with a leading axis of `batch`.
        batch: B.
        device: of theta.

    Raises:
        ValueError: a name that the adapter does not take, a wrong shape, or values that are not finite.
    """
    unknown = [name for name in context if name not in adapter.context]
    if unknown:
        takes = ", ".join(adapter.context) or "no context"
        raise ValueError(f"{adapter!r} does not take {', '.join(unknown)} as context; it takes {takes}")
    prepared: dict[str, Any] = {}
    for name, values in context.items():
        tensor = values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
        shape = adapter.context[name]
        expected = f"({batch}, ...)" if shape is None else str((batch, *shape))
        if tensor.ndim == 0 or len(tensor) != batch or (shape is not None and tensor.shape[1:] != shape):
            raise ValueError(f"context {name!r}: expected shape {expected}, got {tuple(tensor.shape)}")
        if adapter.parallelism is Parallelism.DEVICE:
            prepared[name] = tensor.to(device)
        else:
            prepared[name] = tensor.cpu().numpy()
    return prepared


def check_tensor(theta: Any) -> None:
    """Raises unless theta is a tensor of a floating dtype.

    Raises:
        TypeError: it is not.
        RuntimeError: under `torch.func.vmap`.
    """
    if not isinstance(theta, Tensor):
        raise TypeError(f"theta: expected a torch.Tensor, got {type(theta).__name__}")
    if torch._C._functorch.is_batchedtensor(theta):
        raise RuntimeError("SolverLayer does not work under torch.func.vmap; it takes a batch of theta by itself")
    if not theta.is_floating_point():
        raise TypeError(f"theta: expected a floating dtype, got {theta.dtype}; convert it with theta.float()")


def check_finite(theta: Tensor, single: bool = False) -> None:
    """Raises `ValueError` for NaN or infinity, naming the instance.

    Args:
        theta: (B, *instance_shape), or (*instance_shape) if `single`.
        single: whether it is one instance without a batch axis.
    """
    finite = theta.isfinite()
    if not bool(finite.all()):
        bad = (~finite).nonzero()[0].tolist()
        instance, entry = (0, bad) if single else (bad[0], bad[1:])
        raise ValueError(
            f"theta: expected finite values, got {theta[tuple(bad)].item()} in instance {instance} at {tuple(entry)}; "
            "check the network that predicts theta"
        )


def _check_perturbed(thetas: np.ndarray[Any, Any]) -> None:
    finite = np.isfinite(thetas)
    if not finite.all():
        row = int(np.flatnonzero(~finite.reshape(len(thetas), -1).all(1))[0])
        raise InputError("theta is not finite after noise; check the noise distribution and its temperature", row)
