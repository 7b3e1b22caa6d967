"""The contract between the layer and a solver. Nothing here, or imported from here, knows torch."""

from __future__ import annotations

import enum
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imle_solvers.errors import AdapterError
from imle_solvers.report import Report
from imle_solvers.status import Status

Sense = Literal["min", "max"]
Context = Mapping[str, Any]
FloatArray = NDArray[np.floating[Any]]


class Parallelism(enum.Enum):
    """How solves of one adapter may run side by side."""

    PROCESSES = "the solver holds the GIL: worker processes"
    THREADS = "the solver releases the GIL: worker threads"
    DEVICE = "the solver takes a batch of tensors and stays on their device: no workers"


@dataclass
class Solutions:
    """What a batch of N solves gave.

    Attributes:
        values: (N, *solution_shape); rows of failed instances are ignored.
        statuses: (N,) codes of `Status`.
        counters: what was worth counting ("clamped costs"), summed over batches in `layer.stats()`.
        report: how it was solved; for executors to fill in.
        fresh: whether the adapter made values for this batch, and keeps no hold on them. If not, they are copied before
            anybody else sees them.
    """

    values: NDArray[Any]
    statuses: NDArray[np.uint8]
    counters: dict[str, int] = field(default_factory=dict)
    report: Report | None = None
    fresh: bool = False


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
        limit_advice: how to bound the time of a solve, for the log, where one takes long.
        exclusion: for messages, how context rules out entries of theta, for which callers may have tried infinity:
            "mask=..., false where an entry may not be chosen". None: it cannot.
    """

    sense: Sense
    instance_shape: tuple[int, ...]
    parallelism: Parallelism = Parallelism.PROCESSES
    context: Mapping[str, tuple[int, ...] | None] = {}
    num_ones: float | None = None
    limit_advice: str = "give the layer executor=ProcessExecutor(timeout=seconds) to end solves that take longer"
    exclusion: str | None = None

    @cached_property
    def solution_shape(self) -> tuple[int, ...]:
        # A cached property gives way to a plain attribute of that name, so subclasses simply assign one.
        return self.instance_shape

    def is_binary(self, context: Context) -> bool:
        """Whether every feasible solution, under this context, has entries of zero and one only.

        Then a solution that a step only makes better is known to stay optimal, and need not be solved for again, see
        `imle_solvers.estimators.certificate`. False, unless overridden, claims nothing.

        Args:
            context: the names and arrays that the caller passed.
        """
        return False

    def build(self) -> Any:
        """Builds the native state that solves share. Called once in each worker, before its first solve."""
        return None

    def interrupt(self, state: Any) -> None:
        """Has a solve that runs with this state in another thread end soon, in whatever way: nobody waits for it.

        Called when the user interrupts a batch, and again until the solve has ended; the state is not used again. Does
        nothing unless overridden. A solver that spends seconds outside Python should be stopped here. To be
        interrupted in the main thread, too, it is called by `imle_solvers.waiting.call_interruptibly`.
        """

    def check(self, thetas: FloatArray, context: Context) -> None:
        """Raises `InputError` for the first row whose theta or context cannot be solved.

        Called in the user's process before any work, for the forward and again for the target solve.

        Args:
            thetas: (N, *instance_shape), finite.
            context: arrays with a leading axis of N, of the declared shapes.
        """

    def solve(self, state: Any, theta: FloatArray, **context: Any) -> Any:
        """Solves one instance.

        Args:
            state: what `build` returned.
            theta: (*instance_shape), float32 or float64, finite, in natural units (costs are costs).
            context: the declared per-instance arrays that the caller passed.

        Returns:
            The solution, (*solution_shape), or `(solution, status)`; the solution may be None where there is none.
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
        for row, theta in enumerate(thetas):
            try:
                result = self.solve(state, theta, **{name: array[row] for name, array in context.items()})
                solution, status = result if isinstance(result, tuple) else (result, Status.OPTIMAL)
                statuses[row] = Status(status)
                if solution is None and status in (Status.OPTIMAL, Status.FEASIBLE):
                    raise TypeError(f"expected a solution with status {Status(status).name}, got None")
                if solution is not None:
                    values[row] = self._checked(np.asarray(solution))
            except Exception as error:
                raise AdapterError(f"{self!r} failed: {type(error).__name__}: {error}", row) from error
        return Solutions(values, statuses, fresh=True)

    def solve_tensors(self, thetas: Any, context: Context) -> Any:
        """Solves a batch of tensors where they are. For adapters with `Parallelism.DEVICE`, which override it.

        Args:
            thetas: Tensor (N, *instance_shape), float32 or float64, on any device.
            context: tensors with a leading axis of N, on the same device.

        Returns:
            Tensor (N, *solution_shape) on the same device, or `(solutions, statuses)`, statuses (N,).
        """
        raise NotImplementedError(f"{type(self).__name__} does not override solve_tensors")

    def _checked(self, solution: NDArray[Any]) -> NDArray[Any]:
        if solution.shape != self.solution_shape:
            raise ValueError(f"expected a solution of shape {self.solution_shape}, got {solution.shape}")
        return solution

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sense={self.sense!r}, instance_shape={self.instance_shape})"


def check_adapter_attributes(adapter: SolverAdapter) -> None:
    """Raises if `adapter` lacks what every adapter must have, or has it in a form that would fail later.

    Shapes are made tuples.

    Raises:
        TypeError: not an adapter; a shape that is not of ints.
        ValueError: no sense, or one that is neither "min" nor "max"; a shape with a side below 0.
    """
    if not isinstance(adapter, SolverAdapter):
        raise TypeError(f"expected a SolverAdapter, got {_what_to_make_of(adapter)}")
    name = type(adapter).__name__
    check_sense(getattr(adapter, "sense", None), name)
    for attribute in ("instance_shape", "solution_shape"):
        given = getattr(adapter, attribute, None)
        shape = as_shape(given, f"{name}.{attribute}")
        if shape is not given:
            object.__setattr__(adapter, attribute, shape)  # it may be a frozen dataclass


def _what_to_make_of(other: Any) -> str:
    if isinstance(other, type):
        return f"the class {other.__name__}; make one by {other.__name__}(...)"
    if callable(other):
        return f"{type(other).__name__}; wrap a plain function with FunctionAdapter(fn, sense=..., instance_shape=...)"
    return f"{type(other).__name__}; give it to an adapter first, one of imle_adapters or of your own"


def as_shape(shape: Any, name: str) -> tuple[int, ...]:
    """A shape as a tuple; n stands for (n,).

    Raises:
        TypeError: it is not made of ints; `name` is whose it is.
        ValueError: one of them is below 0.
    """
    if type(shape) is tuple and all(type(side) is int and side >= 0 for side in shape):
        return shape
    sides = (shape,) if isinstance(shape, int | np.integer) else shape
    try:
        result = tuple(map(operator.index, sides))
    except TypeError:
        result = None
    if result is None or any(isinstance(side, bool) for side in sides):
        raise TypeError(f"{name} must be a tuple of ints, got {shape!r}")
    if min(result, default=0) < 0:
        raise ValueError(f"{name} must not be negative, got {shape!r}")
    return result


def check_sense(sense: Any, name: str) -> None:
    """Raises `ValueError` unless `sense` is "min" or "max"; `name` is whose it is."""
    if sense not in get_args(Sense):
        raise ValueError(f'{name}: sense must be "min" (theta are costs) or "max" (theta are scores), got {sense!r}')
