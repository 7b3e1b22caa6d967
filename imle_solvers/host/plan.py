"""The plan of a front end: draws and pulls, numpy in and numpy out."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imle_solvers.adapter import SolverAdapter
from imle_solvers.estimators import Estimator
from imle_solvers.estimators.base import Sampling, Solved
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP
from imle_solvers.executors.base import Executor
from imle_solvers.host.arrays import DTYPES, Array, computed_in, stand_in, to_array, to_tensor
from imle_solvers.host.in_step import PassSolve, in_step
from imle_solvers.host.one_thread import one_thread
from imle_solvers.host.seeds import generator_of
from imle_solvers.host.state import State, adapts, held, read_state
from imle_solvers.layer import SolverLayer
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss
from imle_solvers.solving.batch_solver import BatchSolver, OnFailure
from imle_solvers.solving.context import prepare_context
from imle_solvers.solving.theta import is_single

Contexts = Mapping[str, Array]

_OK, _UNPROVEN = 1, 2
"""Bits of a mark: the solve went well; a solution of this pass need not be optimal, so that nothing follows from it."""


@dataclass(frozen=True)
class Draws:
    """How a call draws.

    Attributes:
        num_samples: S; None: one, without an axis of its own.
        group: of how many draws each sample is the mean.
        perturb: whether there is noise.
    """

    num_samples: int | None = None
    group: int = 1
    perturb: bool = True


@dataclass(frozen=True)
class Drawn:
    """What a forward pass gave.

    Attributes:
        samples: (*lead, B, *solution_shape), or (*lead, B, S, *solution_shape), in theta's dtype.
        draws: (*lead, B, M, *solution_shape), what samples are means of, in the dtype that is computed in.
        marks: (*lead, B, M) uint8, for `HostPlan.pull`.
    """

    samples: Array
    draws: Array
    marks: Array


class HostPlan:
    """A solver layer behind arrays. Every call does its work from its arguments; calls from several threads take turns.

    Theta is (*lead, B, *instance_shape), of float16, bfloat16, float32 or float64. Leading axes are those of maps over
    calls, such as `vmap`: each entry is a pass of its own, with words, context and state of its own, and comes out bit
    for bit as it does alone. All are solved in one batch.

    Args:
        adapter, estimator, executor, num_workers, on_failure: see `SolverLayer`.

    Attributes:
        layer: the layer, whose `stats`, `on_progress` and `close` are the plan's.

    Raises:
        TypeError, ValueError, AdapterError: see `SolverLayer`.
    """

    def __init__(
        self,
        adapter: SolverAdapter,
        *,
        estimator: Estimator | None = None,
        executor: str | Executor | None = None,
        num_workers: int | None = None,
        on_failure: OnFailure = "raise",
    ) -> None:
        self.layer: SolverLayer = SolverLayer(
            adapter, estimator=estimator, executor=executor, num_workers=num_workers, on_failure=on_failure
        )
        self.layer.noise_rank = 0  # the words say it all
        self._turn = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _turn=threading.RLock())

    @property
    def adapter(self) -> SolverAdapter:
        """The solver."""
        return self.layer.adapter

    @property
    def estimator(self) -> Estimator:
        """What estimates gradients; its attributes may be set as those of a layer's."""
        return self.layer.estimator

    @property
    def adapts(self) -> bool:
        """Whether the backward pass moves state, so that `pull` needs it."""
        return adapts(self.estimator)

    def check(self, theta: tuple[int, ...], context: Mapping[str, tuple[tuple[int, ...], str]]) -> bool:
        """Checks the shapes of a call before there are values.

        Args:
            theta: its shape, without leading axes but B.
            context: name -> shape, likewise, and the name of the dtype.

        Returns:
            Whether theta is that of a single instance, without B.

        Raises:
            ValueError: see `SolverLayer.forward`.
        """
        single = is_single(stand_in(theta), self.adapter)
        stands = {name: stand_in(shape, _context_dtype(name, dtype)) for name, (shape, dtype) in context.items()}
        prepare_context(self.adapter, stands, 1 if single else theta[0], torch.device("cpu"), single=single)
        return single

    def check_differentiable(self) -> None:
        """Raises `ValueError` where the estimator cannot differentiate solutions of the adapter's shape."""
        self.estimator.check_shapes(self.adapter.instance_shape, self.adapter.solution_shape)

    def num_draws(self, draws: Draws) -> int:
        """M, how often each instance is solved in the forward pass."""
        means = self.estimator.num_marginal_samples if draws.perturb else 1
        return (draws.num_samples or 1) * draws.group * means

    def keeps_draws(self, draws: Draws, dtype: str) -> bool:
        """Whether the backward pass needs draws beside samples, which they are not: means, or rounded."""
        return computed_in(dtype) != dtype or self.num_draws(draws) != (draws.num_samples or 1)

    @property
    def awaits_scale(self) -> bool:
        """Whether the first differentiated batch is yet to fix the scale that relative temperatures go by."""
        return isinstance(self.estimator, PerturbAndMAP) and self.estimator.awaits_scale()

    def fix_scale(self, theta: Array) -> None:
        """Has relative temperatures go by the scale of this theta, (B, *instance_shape), from now on.

        Raises:
            ValueError: theta has another shape, is empty or not finite.
        """
        single = self.check(theta.shape, {})
        if isinstance(self.estimator, PerturbAndMAP):
            with self._working():
                tensor = to_tensor(theta).to(DTYPES[computed_in(theta.dtype.name)])
                self.estimator.fix_scale(tensor.unsqueeze(0) if single else tensor)

    def read_state(self, theta: Array | None = None) -> dict[str, Array]:
        """What the estimator has adapted, and starts from: name -> array of float64.

        Args:
            theta: whose scale it is to have in place of its own, see `fix_scale`.
        """
        with self._turn:
            own = read_state(self.estimator)
            if theta is None:
                return own
            with held(self.estimator, own):
                self.fix_scale(theta)
                return read_state(self.estimator)

    def draw(
        self,
        theta: Array,
        words: Array | None,
        context: Contexts,
        draws: Draws,
        state: State | None = None,
        *,
        learning: bool = False,
    ) -> Drawn:
        """Solves forward.

        Args:
            theta: see the class.
            words: (*lead, W), of the key; None only where nothing is perturbed.
            context: arrays of (*lead, B, ...), or (*lead, ...) where they have the declared shape for all instances.
            draws: how.
            state: what the estimator has adapted, name -> (*lead, ...); None: what is on the host.
            learning: whether a backward pass may follow. The first such call fixes the scale of relative temperatures.

        Raises:
            ValueError, SolveError, AdapterError, ClosedError: see `SolverLayer.forward`. Of a map over passes,
                instances are counted on from one to the next.
        """
        with self._working(), torch.no_grad():
            batch = _Batch(self.adapter, theta, words, context, state)
            prepared, solver, _ = self.layer.prepare(batch.theta.requires_grad_(learning), batch.context)
            thetas = batch.split(prepared)

            def run(i: int, solve: PassSolve) -> tuple[Tensor, Solved]:
                with held(self.estimator, batch.state_of(i)), self._keyed(batch, i):
                    if learning:
                        self._fix_scale(thetas[i], draws)
                    samples = self.estimator(thetas[i], solve, self._sampling(draws))
                return samples, self._only(solve, len(samples), draws)

            results = in_step(solver, batch.passes, run) if batch.passes else []
            return self._drawn(batch, results, solver, draws)

    def pull(
        self,
        theta: Array,
        words: Array | None,
        values: Array,
        marks: Array,
        dz: Array,
        context: Contexts,
        draws: Draws,
        state: State | None = None,
    ) -> tuple[Array, dict[str, Array]]:
        """Pulls a downstream gradient back.

        Args:
            theta, words, context, draws, state: those of the forward pass.
            values: its draws, (*lead, B, M, *solution_shape).
            marks: likewise.
            dz: the gradient in samples, of their shape.

        Returns:
            dL/dtheta, of theta's shape and dtype; and the state afterwards, empty without `state`.

        Raises:
            SolveError, AdapterError, ClosedError: of the target's solves.
        """
        with self._working(), torch.no_grad():
            batch = _Batch(self.adapter, theta, words, context, state)
            prepared, solver, _ = self.layer.prepare(batch.theta, batch.context, learning=False)
            thetas = batch.split(prepared)
            flags = batch.split(_rows(marks, batch.lead))
            known = [
                [Solved(one, None if bool(flag.bitwise_and(_OK).all()) else flag.bitwise_and(_OK).bool())]
                for one, flag in zip(batch.split(_rows(values, batch.lead), prepared.dtype), flags, strict=True)
            ]
            incoming = batch.split(_rows(dz, batch.lead), prepared.dtype)
            after: dict[int, dict[str, Array]] = {}
            if batch.passes == 1 and draws.perturb:  # a step as a layer has them
                solver.watch = self.layer.observe(batch.theta, prepared, solver, may_be_shared=True)

            def run(i: int, solve: PassSolve) -> Tensor:
                if bool(flags[i].bitwise_and(_UNPROVEN).any()):
                    solve.binary = False
                dz = incoming[i].unsqueeze(1) if draws.num_samples is None else incoming[i]
                with held(self.estimator, batch.state_of(i)), self._keyed(batch, i):
                    self._fix_scale(thetas[i], draws)
                    sampling = replace(self._sampling(draws), watch=solver.watch)
                    gradient = self.estimator.pull_back(thetas[i], dz, solve, sampling)
                    if state is not None:
                        after[i] = read_state(self.estimator)
                return gradient

            gradients = in_step(solver, batch.passes, run, known) if batch.passes else []
            gradient = batch.join(gradients, self.adapter.instance_shape, theta.dtype)
            return gradient, _stacked(after, state, batch.lead)

    def losses(
        self,
        loss: FenchelYoungLoss | SPOPlusLoss,
        theta: Array,
        others: tuple[Array, ...],
        words: Array | None,
        context: Contexts,
        state: State | None = None,
    ) -> tuple[Array, Array]:
        """Losses of each instance, and their gradients in theta.

        Args:
            loss: on this plan's layer, without reduction.
            theta: see the class.
            others: what the loss takes beside theta, of its shape.
            words: (*lead, W); None: a loss without noise, for which all passes are one.
            context: see `draw`.
            state: see `draw`.

        Returns:
            (*lead, B) and (*lead, B, *instance_shape), in the dtype that is computed in.

        Raises:
            ValueError, SolveError, AdapterError, ClosedError: the loss's own.
        """
        with self._working(), torch.enable_grad():
            batch = _Batch(self.adapter, theta, words, context, state)
            dtype = computed_in(theta.dtype.name)
            together = words is None and state is None
            split = batch.whole if together else batch.split
            thetas = split(batch.theta, DTYPES[dtype])
            given = [split(_rows(other, batch.lead)) for other in others]
            contexts = {name: split(values) for name, values in batch.context.items()}
            values: list[Tensor] = []
            gradients: list[Tensor] = []
            for i, leaf in enumerate(thetas):
                leaf = leaf.detach().requires_grad_()
                here = {name: parts[i] for name, parts in contexts.items()}
                with held(self.estimator, None if together else batch.state_of(i)), self._keyed(batch, i):
                    value = loss(leaf, *(each[i] for each in given), **here)
                gradients += torch.autograd.grad(value.sum(), leaf)
                values.append(value.detach())
            arrays = np.dtype(dtype)
            return batch.join(values, (), arrays), batch.join(gradients, self.adapter.instance_shape, arrays)

    def close(self) -> None:
        """See `SolverLayer.close`."""
        self.layer.close()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        with self._turn, one_thread():
            yield

    @contextlib.contextmanager
    def _keyed(self, batch: _Batch, i: int) -> Iterator[None]:
        """Within, the layer's noise is that of the pass."""
        self.layer.generator = batch.generator_of(i)
        try:
            yield
        finally:
            self.layer.generator = None

    def _fix_scale(self, theta: Tensor, draws: Draws) -> None:
        """As the forward pass of a layer does where theta asks for a gradient."""
        if isinstance(self.estimator, PerturbAndMAP) and self.estimator.noise is not None and draws.perturb:
            self.estimator.fix_first_scale(theta)

    def _sampling(self, draws: Draws) -> Sampling:
        return self.layer.sampling(draws.num_samples or 1, draws.group, perturb=draws.perturb)

    def _only(self, solve: PassSolve, batch: int, draws: Draws) -> Solved:
        """What the one solve of a forward pass gave."""
        shape = (batch, self.num_draws(draws), *self.adapter.solution_shape)
        if len(solve.asked) != 1 or solve.asked[0].values.shape != shape:
            raise TypeError(
                f"{type(self.estimator).__name__}: expected an estimator that solves all draws of a forward pass in "
                f"one call, which are {shape[1]} an instance here; this front end can use no other"
            )
        return solve.asked[0]

    def _drawn(self, batch: _Batch, results: list[tuple[Tensor, Solved]], solver: BatchSolver, draws: Draws) -> Drawn:
        own = self.adapter.solution_shape
        num_draws = self.num_draws(draws)
        marks = np.full((batch.passes, batch.size, num_draws), _OK, np.uint8)
        for i, (_, solved) in enumerate(results):
            if solved.ok is not None:
                marks[i] = solved.ok.numpy()
            if solver.unproven is not None and solver.unproven[i * batch.size : (i + 1) * batch.size].any():
                marks[i] |= _UNPROVEN
        samples = [each for each, _ in results]
        if draws.num_samples is None:
            samples = [each.squeeze(1) for each in samples]
        axes = () if draws.num_samples is None else (draws.num_samples,)
        return Drawn(
            batch.join(samples, (*axes, *own), batch.dtype),
            batch.join(
                [solved.values for _, solved in results], (num_draws, *own), np.dtype(computed_in(batch.dtype.name))
            ),
            marks.reshape(*batch.lead, batch.size, num_draws),
        )


class _Batch:
    """The arguments of a call, flattened: passes after each other, of `size` instances each."""

    def __init__(
        self, adapter: SolverAdapter, theta: Array, words: Array | None, context: Contexts, state: State | None
    ) -> None:
        axes = theta.ndim - 1 - len(adapter.instance_shape)
        self.lead = theta.shape[:axes]
        self.size = theta.shape[axes]
        self.passes = math.prod(self.lead)
        self.rows = self.passes * self.size
        self.dtype = theta.dtype
        self.theta = _rows(theta, self.lead)
        self.context: dict[str, Tensor] = {}
        for name, array in context.items():
            own = array.shape[axes:]
            if own == adapter.context[name]:  # for all instances of a pass
                array = np.broadcast_to(np.expand_dims(array, axes), (*self.lead, self.size, *own))
            self.context[name] = _rows(array, self.lead)
        self._words = None if words is None else words.reshape(self.passes, words.shape[-1])
        self._state = (
            None
            if state is None
            else {name: each.reshape((self.passes, *each.shape[axes:])) for name, each in state.items()}
        )

    def generator_of(self, i: int) -> torch.Generator | None:
        """Where the noise of a pass comes from."""
        return None if self._words is None else generator_of(self._words[i])

    def state_of(self, i: int) -> State | None:
        """The state that a pass came with."""
        return None if self._state is None else {name: each[i] for name, each in self._state.items()}

    def split(self, rows: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """(rows, ...) -> those of each pass."""
        return [rows[i * self.size : (i + 1) * self.size].to(dtype or rows.dtype) for i in range(self.passes)]

    def whole(self, rows: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """(rows, ...) as those of one pass."""
        return [rows.to(dtype or rows.dtype)]

    def join(self, parts: list[Tensor], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """What each pass gave -> (*lead, B, *shape)."""
        full = (*self.lead, self.size, *shape)
        if not parts:
            return np.zeros(full, dtype)
        return to_array(parts[0] if len(parts) == 1 else torch.cat(parts), dtype).reshape(full)


def _rows(array: Array, lead: tuple[int, ...]) -> Tensor:
    """(*lead, B, ...) -> (rows, ...)."""
    own = array.shape[len(lead) + 1 :]
    return to_tensor(array.reshape((math.prod(array.shape[: len(lead) + 1]), *own)))


def _context_dtype(name: str, dtype: str) -> torch.dtype:
    try:
        known: torch.dtype = getattr(torch, dtype)
    except AttributeError:
        raise TypeError(f"context {name!r}: expected an array of numbers, got one of {dtype}") from None
    return known


def _stacked(after: dict[int, dict[str, Array]], state: State | None, lead: tuple[int, ...]) -> dict[str, Array]:
    """The state of each pass -> name -> (*lead, ...)."""
    if state is None:
        return {}
    if not after:
        return {name: np.asarray(each, np.float64) for name, each in state.items()}
    return {
        name: np.stack([after[i][name] for i in sorted(after)]).reshape((*lead, *first.shape))
        for name, first in after[0].items()
    }
