"""The contract between the layer and a solver. Nothing here, or imported from here, knows torch."""

from __future__ import annotations

import contextlib
import enum
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imle_solvers.errors import AdapterError, ImleSolversError
from imle_solvers.gaps import OPTIMAL_WITHIN, Gaps, gaps_of
from imle_solvers.layouts import Layout
from imle_solvers.report import Report
from imle_solvers.status import Status

Sense = Literal["min", "max"]
Context = Mapping[str, Any]
FloatArray = NDArray[np.floating[Any]]
Shape = tuple[int, ...]
ContextShapes = Mapping[str, Shape | None]
IsBinary = bool | Callable[..., bool]

CLAMPED = "clamped costs"
"""Counts, among an adapter's own, the entries of theta that were solved as zero, see `SolverAdapter.clamped`."""


class Parallelism(enum.Enum):
    """How solves of one adapter may run side by side."""

    PROCESSES = "the solver holds the GIL: worker processes"
    THREADS = "the solver releases the GIL: worker threads"
    DEVICE = "the solver takes a batch of tensors and stays on their device: no workers"


@dataclass
class Solutions:
    """What a batch of N solves gave.

    Attributes:
        values: (N, *solution_shape), finite; rows of failed instances are ignored, and may hold anything.
        statuses: (N,) codes of `Status`, no truth values.
        counters: what was worth counting ("clamped costs"), summed over batches in `layer.stats()`.
        report: how it was solved; for executors to fill in.
        fresh: whether the adapter made values for this batch, and keeps no hold on them. If not, they are copied before
            anybody else sees them.
        gaps: (N,) by how much of its objective a solution is proven to be worse than the optimum at most:
            |objective - bound| / |objective|, 0 or more, infinity where nothing is proven; rows of failed instances are
            ignored. What is OPTIMAL has one within a solver's tolerances, at most 0.001. Their mean and the worst are
            in `layer.stats()`. None: 0 of OPTIMAL, infinity of FEASIBLE.
    """

    values: NDArray[Any]
    statuses: NDArray[np.uint8]
    counters: dict[str, int] = field(default_factory=dict)
    report: Report | None = None
    fresh: bool = False
    gaps: Gaps | None = None


class SolverAdapter:
    """One family of problem instances that share everything but theta (and the declared context).

    An adapter is a small, picklable description, not changed once it is in use. What is expensive (an OR-Tools
    model, CSR arrays) is built by `build` once in each worker, and handed to every solve there. A subclass sets
    `sense` and `instance_shape`, and overrides `solve` (one instance) or `solve_batch` (many at once). Solves must
    be deterministic: the same instance gives the same solution, whatever was solved before and in whichever worker.

    Attributes:
        sense: "min" if theta are costs, "max" if they are scores. Mandatory.
        instance_shape: shape of theta for one instance; n stands for (n,), as it does in `solution_shape`. Mandatory.
        solution_shape: shape of one solution; theta's, unless set.
        parallelism: how solves may run side by side; in processes, unless set.
        context: the per-instance arrays that solves take besides theta: name -> shape for one instance (None in
            place of the shape: any). They arrive as keyword arguments of `solve`.
        num_ones: about how many ones a solution has, None where that is unknown; sets the default noise.
        in_process: whether solves may well run in the caller's process. If not, as for a solver that cannot be
            interrupted, a layer that decides where to solve has worker processes from the first batch on.
        limit_advice: how to bound the time of a solve, for the log, where one takes long.
        exclusion: for messages, how context rules out entries of theta, for which callers may have tried infinity:
            "mask=..., false where an entry may not be chosen". None: it cannot.
        is_binary: whether every feasible solution has entries of zero and one only. Then a solution that a step only
            makes better is known to stay optimal, and need not be solved for again, see
            `imle_solvers.estimators.certificate`. False, unless set, claims nothing. Where that depends on the context,
            a method `is_binary(context)`, which gets the names and arrays that the caller passed.
        clamping_advice: for the warning that entries of theta are solved as zero, see `clamped`: what to do about it.
        revision: how often the adapter has changed. Only `check` may change it, to settle by the first batch how to
            solve; workers then get it anew.
    """

    sense: Sense
    instance_shape: Shape
    parallelism: Parallelism = Parallelism.PROCESSES
    context: Mapping[str, Shape | None] = {}
    num_ones: float | None = None
    in_process: bool = True
    limit_advice: str = "give the layer executor=ProcessExecutor(timeout=seconds) to end solves that take longer"
    exclusion: str | None = None
    is_binary: IsBinary = False
    clamping_advice: str = "keep theta in the range that is solved as it is"
    revision: int = 0

    @cached_property
    def solution_shape(self) -> Shape:
        # A cached property gives way to a plain attribute of that name, so subclasses simply assign one.
        return self.instance_shape

    def build(self) -> Any:
        """Builds the native state that solves share. Called once in each worker, before its first solve."""
        return None

    def interrupt(self, state: Any) -> None:
        """Has a solve that runs with this state in another thread end soon, in whatever way: nobody waits for it.

        Called when the user interrupts a batch, and again until the solve has ended; the state is not used again. Does
        nothing unless overridden. A solver that spends seconds outside Python should be stopped here. To be
        interrupted in the main thread, too, it is called by `imle_solvers.waiting.call_interruptibly`.
        """

    @classmethod
    def backends(cls) -> Sequence[str]:
        """The names of the solvers that are found here for adapters of this class, for `python -m imle_solvers`."""
        return ()

    def description(self) -> dict[str, Any] | None:
        """How to make an equal adapter, for files of models: `{"name": ..., "kwargs": {...}}` for `make_adapter`.

        Returns:
            The name that the class, or the class method that made it, is registered by, and arguments that JSON holds,
            or tuples or arrays of numbers. None, unless overridden: it cannot be described.
        """
        return None

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for the first row whose theta or context cannot be solved.

        Called in the user's process before any work, for the forward and again for the target solve. What it raises
        besides, but for ValueError, is a fault of the adapter's, an `AdapterError`.

        Args:
            thetas: (N, *instance_shape), finite.
            context: arrays with a leading axis of N, of the declared shapes.
        """

    def layout(self, context: Context) -> Layout | None:
        """How solutions are drawn by `layer.plot`, and theta where it has their shape.

        Args:
            context: that of one instance: the declared arrays that the caller passed, without a leading axis.

        Returns:
            One of `imle_solvers.layouts`. None, unless overridden: a matrix or bars, as their shape suggests.
        """
        return None

    def clamped(self, thetas: FloatArray, context: Context) -> NDArray[np.bool_] | None:
        """Which entries of theta a solve takes as zero, since it cannot solve them as they are; None: never any.

        An adapter that overrides this counts those entries as `CLAMPED` when it solves.

        Args:
            thetas: (N, *instance_shape), finite.
            context: arrays with a leading axis of N.

        Returns:
            (N, *instance_shape), without entries that the context rules out.
        """
        return None

    def solve(self, state: Any, theta: FloatArray, **context: Any) -> Any:
        """Solves one instance.

        Args:
            state: what `build` returned.
            theta: (*instance_shape), float32 or float64, finite, in natural units (costs are costs).
            context: the declared per-instance arrays that the caller passed.

        Returns:
            The solution, (*solution_shape), or `(solution, status)`, a `Status`, or `(solution, status, gap)`, see
            `Solutions.gaps`. Solutions that are OPTIMAL or FEASIBLE are finite numbers; with any other status what
            stands in place of a solution, or of its gap, is ignored.
        """
        raise NotImplementedError(f"{type(self).__name__} overrides neither solve nor solve_batch")

    def solve_batch(self, state: Any, thetas: FloatArray, context: Context) -> Solutions:
        """Solves a batch, by default one instance after another.

        Args:
            state: what `build` returned.
            thetas: (N, *instance_shape), C-contiguous float32 or float64, N >= 1; may be overwritten.
            context: arrays with a leading axis of N.

        Returns:
            N solutions and statuses in order.

        Raises:
            AdapterError: the solver raised or returned something that is not a solution, naming the row.
        """
        values = np.zeros((len(thetas), *self.solution_shape), dtype=thetas.dtype)
        statuses = np.zeros(len(thetas), dtype=np.uint8)
        told: dict[int, float] = {}
        for row, theta in enumerate(thetas):
            try:
                result = self.solve(state, theta, **{name: array[row] for name, array in context.items()})
                solution, status, gap = _with_status(result)
                statuses[row] = status
                if status <= Status.FEASIBLE:
                    values[row] = self._checked(solution, status)
                    if gap is not None:
                        told[row] = _checked_gap(gap)
            except Exception as error:
                check_finite_solutions(self, values[:row], statuses[:row])  # the first row at fault is named, always
                raise AdapterError(f"{self!r} failed: {type(error).__name__}: {error}", row) from error
        solutions = Solutions(values, statuses, fresh=True)
        if told:
            solutions.gaps = gaps_of(statuses)
            solutions.gaps[list(told)] = list(told.values())
        return solutions

    def solve_tensors(self, thetas: Any, context: Context) -> Any:
        """Solves a batch of tensors where they are. For adapters with `Parallelism.DEVICE`, which override it.

        Args:
            thetas: Tensor (N, *instance_shape), float32 or float64, on any device.
            context: tensors with a leading axis of N, on the same device.

        Returns:
            Tensor (N, *solution_shape) on the same device, or `(solutions, statuses)`, statuses (N,).
        """
        raise NotImplementedError(f"{type(self).__name__} does not override solve_tensors")

    def _checked(self, solution: Any, status: Status) -> NDArray[Any]:
        if solution is None:
            raise TypeError(f"expected a solution with status {status.name}, got None")
        array = np.asarray(solution)
        if array.shape != self.solution_shape:
            raise ValueError(f"expected a solution of shape {self.solution_shape}, got {array.shape}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"expected a solution of real numbers, got {array.dtype}")
        return array

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sense={self.sense!r}, instance_shape={self.instance_shape})"


def _with_status(result: Any) -> tuple[Any, Status, Any]:
    """What `solve` returned as a solution, its status and its gap, or None."""
    if not isinstance(result, tuple):
        return result, Status.OPTIMAL, None
    if len(result) not in (2, 3):
        raise TypeError(
            f"expected a solution, or a tuple of it, a Status and, if known, its gap, got a tuple of {len(result)}"
        )
    solution, status, gap = result if len(result) == 3 else (*result, None)
    # No truth value, of which False would be OPTIMAL, and no objective.
    if isinstance(status, bool) or not isinstance(status, numbers.Integral):
        raise TypeError(f"expected a status such as Status.OPTIMAL beside the solution, got {status!r}")
    return solution, Status(int(status)), gap


def _checked_gap(gap: Any) -> float:
    if isinstance(gap, bool) or not isinstance(gap, numbers.Real) or not float(gap) >= 0:
        raise ValueError(f"expected the gap of a solution to be a number of at least 0, such as 0.01, got {gap!r}")
    return float(gap)


def check_gaps(adapter: SolverAdapter, gaps: Gaps, statuses: NDArray[Any]) -> None:
    """Raises `AdapterError` for the first row that is solved with a gap below 0, or NaN, or optimal with a large one.

    Args:
        adapter: whose solutions they are.
        gaps: (N,) real numbers.
        statuses: (N,) codes of `Status`.
    """
    wrong = ~(gaps >= 0) & (statuses <= Status.FEASIBLE)
    if wrong.any():
        row = int(wrong.argmax())
        raise AdapterError(
            f"{adapter!r}: expected gaps of at least 0, infinity where nothing is proven, got {gaps[row]}", row
        )
    wrong = (gaps > OPTIMAL_WITHIN) & (statuses == Status.OPTIMAL)
    if wrong.any():
        row = int(wrong.argmax())
        raise AdapterError(
            f"{adapter!r}: expected a gap of at most {OPTIMAL_WITHIN:g} beside OPTIMAL, got {gaps[row]:g}; return "
            "Status.FEASIBLE where more may be left",
            row,
        )


def check_finite_solutions(adapter: SolverAdapter, values: NDArray[Any], statuses: NDArray[Any]) -> None:
    """Raises `AdapterError` for the first row that counts as solved but has NaN or infinity in its solution.

    Args:
        adapter: whose solutions they are.
        values: (N, *solution_shape) real numbers.
        statuses: (N,) codes of `Status`.
    """
    finite = np.isfinite(values)
    if np.count_nonzero(finite) == finite.size:
        return
    wrong = ~finite.reshape(len(values), -1).all(1) & (statuses <= Status.FEASIBLE)
    if wrong.any():
        row = int(wrong.argmax())
        entry = tuple(np.argwhere(~finite[row])[0].tolist())
        raise AdapterError(not_finite(adapter, values[row][entry], entry, statuses[row]), row)


def not_finite(adapter: SolverAdapter, value: Any, entry: tuple[int, ...], status: Any) -> str:
    """What is wrong with a solution that has this value at this entry."""
    return (
        f"{adapter!r}: expected finite numbers in a solution that is {Status(int(status)).name}, got {value} at "
        f"{entry}; where there is no solution return a status that says so, such as Status.INFEASIBLE"
    )


@contextlib.contextmanager
def calling(adapter: SolverAdapter, method: str) -> Iterator[None]:
    """Turns what a method of the adapter's raises into `AdapterError`, but for what it says of theta and context.

    Args:
        adapter: whose method is called within.
        method: its name.

    Raises:
        AdapterError: it raised neither an error of this package nor ValueError, of which `InputError` is one.
    """
    try:
        yield
    except (ImleSolversError, ValueError):
        raise
    except Exception as error:
        raise AdapterError(f"{adapter!r}: {method} failed: {type(error).__name__}: {error}") from error


def claims_binary(adapter: SolverAdapter, context: Context) -> bool:
    """What the adapter's `is_binary` says for this context."""
    claim = adapter.is_binary
    if not callable(claim):
        return claim
    with calling(adapter, "is_binary"):
        return bool(claim(context))


def check_sense(sense: Any, name: str) -> None:
    """Raises `ValueError` unless `sense` is "min" or "max"; `name` is whose it is."""
    if sense not in get_args(Sense):
        raise ValueError(f'{name}: sense must be "min" (theta are costs) or "max" (theta are scores), got {sense!r}')
