"""An adapter under examination, and the instances that it is examined by."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from imle_solvers.adapter import Parallelism, SolverAdapter
from imle_solvers.contract import check_adapter_attributes
from imle_solvers.deferred import wait_for_kernels
from imle_solvers.errors import AdapterError, ImleSolversError, InputError, SolveError, WorkerDiedError
from imle_solvers.executors.backlog import RESTARTS
from imle_solvers.executors.base import Executor
from imle_solvers.executors.processes.executor import ProcessExecutor
from imle_solvers.executors.serial import SerialExecutor
from imle_solvers.layer import SolverLayer
from imle_solvers.solving.context import context_tensor
from imle_solvers.status import Status
from imle_solvers.testing.probes import Probe, probes
from imle_solvers.testing.randomness import global_states, restore

_SURVIVE = "find what ends it, such as a fault of native code, os._exit or sys.exit"

Feasible = Callable[..., Any]
Objective = Callable[..., Any]

_WHAT_TO_DO = (
    "noise makes such theta: solve it; or, where that cannot be done, have check() raise InputError, or solve() "
    "return a status such as Status.INFEASIBLE"
)


class Subject:
    """An adapter that has its attributes, and has solved the given instances and others like them.

    Everything is solved in-process, one instance at a time but for the given ones at first. Instances that the adapter
    refuses are given up, unless they are the caller's.

    Args:
        adapter: the adapter.
        theta: (B, *instance_shape), B of at least 2.
        context: per-instance arrays, (B, ...).
        feasible: see `check_adapter`.
        objective: see `check_adapter`.
        any_sign: see `check_adapter`.

    Attributes:
        theta: (R, *instance_shape), the given instances, and others after them.
        context: arrays, (R, ...).
        names: of the R instances, for messages.
        of: of each, the index of the given instance that it was made of, or is.
        tied: of each, whether it was made to have many optima.
        clamped: of each, whether the adapter counted something as clamped, and so solved for another theta.
        z: (R, *solution_shape), their solutions.
        given: B.
        moved: the global generators of random numbers that solving in-process has moved; they were set back.

    Raises:
        AssertionError: the adapter cannot be used, or solved; see `check_adapter`.
        TypeError, ValueError: theta or context is not what the adapter takes.
    """

    def __init__(
        self,
        adapter: SolverAdapter,
        theta: Tensor,
        context: Mapping[str, Any],
        feasible: Feasible | None = None,
        objective: Objective | None = None,
        *,
        any_sign: bool = True,
    ) -> None:
        with in_plain_words(TypeError, ValueError):
            check_adapter_attributes(adapter)
        theta = torch.as_tensor(theta).detach().to("cpu", torch.float64)
        if len(theta) < 2:
            raise ValueError(f"theta: expected at least two instances, got {len(theta)}; some checks compare them")
        self.adapter: SolverAdapter = adapter
        self.feasible: Feasible | None = feasible
        self.objective: Objective | None = objective
        self.given: int = len(theta)
        self.serial: SerialExecutor = SerialExecutor()  # the same all along, since it may take long to build a state
        self.theta: Tensor = theta
        self.context: dict[str, Tensor] = _tensors(adapter, context, len(theta))
        self.names: list[str] = [f"instance {row}" for row in range(len(theta))]
        self.moved: set[str] = set()
        self._clamps = False
        self.z: Tensor
        self.of: list[int]
        self.tied: list[bool]
        self.clamped: Tensor
        self._survive()
        self._solve_given()
        self._solve_others(probes(theta, any_sign=any_sign))

    def _survive(self) -> None:
        """Raises `AssertionError` if solving ends the process, which is found out in another one."""
        if self.on_device:
            return
        context = {name: values.numpy() for name, values in self.context.items()}
        with ProcessExecutor(1) as executor:
            try:
                solved = executor.solve(self.adapter, self.theta.numpy().copy(), context)
            except WorkerDiedError as error:
                fail("building the state in a worker process", "a state", _one_line(error), _SURVIVE)
            except AdapterError:  # which comes up again here, in the words that it has in-process
                return
        dead = np.flatnonzero(solved.statuses == Status.CRASHED)
        if dead.size and solved.counters.get(RESTARTS):
            fail(
                f"solving {self.names[dead[0]]} in a worker process",
                "a solution, a status or an exception",
                f"the end of the process {solved.report.crash}" if solved.report else "the end of the process",
                _SURVIVE,
            )

    def _solve_given(self) -> None:
        before = self.theta.clone()
        self.z = self.solve().clone()  # of whatever memory the adapter made it
        wait_for_kernels()  # what has solved until they are there is compared with what does from now on
        if not torch.equal(self.theta, before):
            fail("solving", "theta to stay as it was", "another theta", "have solves work on a copy of it")

    def _solve_others(self, others: list[Probe]) -> None:
        solved = [(probe, tried) for probe in others if (tried := self.attempt(probe)) is not None]
        given = [self._clamps and self._clamps_alone(row) for row in range(self.given)]
        self.of = [*range(self.given), *(probe.of for probe, _ in solved)]
        self.names += [probe.name for probe, _ in solved]
        self.tied = [False] * self.given + [probe.tied for probe, _ in solved]
        self.clamped = torch.tensor(given + [clamped for _, (_, clamped) in solved])
        self.context = {name: values[self.of] for name, values in self.context.items()}
        self.theta = torch.cat([self.theta, *(probe.theta[None] for probe, _ in solved)])
        self.z = torch.cat([self.z, *(solution[None] for _, (solution, _) in solved)])

    def _clamps_alone(self, row: int) -> bool:
        tried = self.attempt(Probe(self.theta[row], row, self.names[row]))
        return tried is not None and tried[1]

    @property
    def on_device(self) -> bool:
        """Whether the adapter takes tensors, and has no workers."""
        return self.adapter.parallelism is Parallelism.DEVICE

    def solve(
        self,
        rows: Tensor | None = None,
        executor: Executor | None = None,
        adapter: SolverAdapter | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Solutions of some rows, by default of all, in one batch, by default in-process.

        Raises:
            AssertionError: the adapter raised, returned what is no solution, or did not end OPTIMAL.
        """
        rows = torch.arange(len(self.theta)) if rows is None else rows
        context = {name: values[rows] for name, values in self.context.items()}
        with in_plain_words(), self._undisturbed():
            layer = SolverLayer(adapter or self.adapter, executor=executor or self.serial)
            solutions = layer.map(self.theta[rows].to(dtype or self.theta.dtype), **context)
        self._clamps |= _clamped(layer)
        return solutions

    def attempt(self, probe: Probe, exchanged: Mapping[str, int] | None = None) -> tuple[Tensor, bool] | None:
        """The solution of another instance, and whether anything was clamped; None if the adapter refuses it.

        Args:
            probe: the instance, which has the context of the given one that it was made of.
            exchanged: names of context, and of which given instance it is taken instead.

        Raises:
            AssertionError: the adapter raised, or returned what is no solution.
        """
        rows = {name: (exchanged or {}).get(name, probe.of) for name in self.context}
        context = {name: values[rows[name] : rows[name] + 1] for name, values in self.context.items()}
        try:
            with self._undisturbed():
                layer = SolverLayer(self.adapter, executor=self.serial)
                solution = layer.map(probe.theta[None], **context)[0].clone()
        except (ValueError, SolveError):  # InputError among them
            return None
        except ImleSolversError as error:
            problem = _one_line(getattr(error, "problem", error))
            advice = f"; {_WHAT_TO_DO}" if error.__cause__ is not None else ""
            raise AssertionError(f"{probe.name}: {problem}{advice}") from error
        return solution, _clamped(layer)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Sets the user's generators back, and says nothing of what an adapter warns of theta that nobody gave it."""
        states = global_states()
        try:
            with no_warnings():
                yield
        finally:
            self.moved |= restore(states)

    def arrays(self, row: int) -> dict[str, Any]:
        """The context of a row as `solve` gets it."""
        return {name: values[row].numpy() for name, values in self.context.items()}


def _clamped(layer: SolverLayer) -> bool:
    return any(name.startswith("clamp") for name, count in layer.stats().counters.items() if count)


def _tensors(adapter: SolverAdapter, context: Mapping[str, Any], batch: int) -> dict[str, Tensor]:
    tensors = {}
    for name, values in context.items():
        tensor = context_tensor(name, values)
        if name in adapter.context and tensor.shape == adapter.context[name]:
            tensor = tensor.expand(batch, *tensor.shape)
        if tensor.ndim == 0 or len(tensor) != batch:
            raise ValueError(
                f"context {name!r}: expected an entry for each of {batch} instances, got shape {tuple(tensor.shape)}"
            )
        tensors[name] = tensor
    return tensors


def fail(done: str, expected: str, got: str, advice: str) -> NoReturn:
    """Raises `AssertionError` in the words in which all checks speak: what was done, what came, and what to do."""
    raise AssertionError(f"{done}: expected {expected}, got {got}; {advice}")


def shown(solution: Tensor) -> str:
    """A solution in a few words."""
    return " ".join(np.array2string(solution.numpy(), threshold=8, edgeitems=3, separator=", ", precision=6).split())


@contextlib.contextmanager
def in_plain_words(*more: type[Exception]) -> Iterator[None]:
    """Turns errors of the adapter's making into assertions of one line. What the caller gave comes up as it is."""
    broken: tuple[type[Exception], ...] = (ImleSolversError, *more)
    try:
        yield
    except InputError:
        raise
    except broken as error:
        raise AssertionError(_one_line(error)) from error


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Hears no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
