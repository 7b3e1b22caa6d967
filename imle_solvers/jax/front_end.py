"""A combinatorial solver as a function of JAX."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Generator

from imle_solvers.adapter import SolverAdapter
from imle_solvers.arguments import check_count
from imle_solvers.estimators import Estimator
from imle_solvers.executors.base import Executor
from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.host.seeds import generator_of
from imle_solvers.jax.arguments import Array, batched, context_of, theta_of, values_of, words_of
from imle_solvers.jax.callbacks import Call, solve
from imle_solvers.jax.state import State, advanced, checked, for_jax
from imle_solvers.solving.batch_solver import OnFailure
from imle_solvers.solving.stats import Stats


def solver(
    adapter: SolverAdapter,
    *,
    estimator: Estimator | None = None,
    num_samples: int | None = None,
    executor: str | Executor | None = None,
    num_workers: int | None = None,
    on_failure: OnFailure = "raise",
) -> Solver:
    """Makes a solver a differentiable function: `z = solve(theta, key)`.

    Args:
        adapter: the solver.
        estimator: how gradients are estimated; None: `IMLE()`, whose noise suits the adapter.
        num_samples: S, samples for each theta. None: one, and solutions are (B, *solution_shape). An int:
            (B, S, *solution_shape), also for 1.
        executor, num_workers, on_failure: see `SolverLayer`.

    Raises:
        TypeError, ValueError, AdapterError: see `SolverLayer`.
    """
    return Solver(
        HostPlan(adapter, estimator=estimator, executor=executor, num_workers=num_workers, on_failure=on_failure),
        num_samples,
    )


class Solver:
    """What `solver` makes; see docs/jax.md. Works under `jit`, `grad`, `vmap`, `scan`, `checkpoint` and `shard_map`.

    Theta is (B, *instance_shape), or one (*instance_shape), of any floating dtype of at least 16 bits; solutions have
    its dtype. Half precision is computed in float32. Solutions and gradients are, bit for bit, those of `SolverLayer`
    with the generator that `generator` gives for the key.

    Errors of values, such as `SolveError`, arrive in a `jax.errors.JaxRuntimeError`, with their message in it; those of
    arguments and shapes are raised as they are, when a call is traced.

    Attributes:
        num_samples: S, or None.

    Raises:
        ValueError: `num_samples` below one, or an adapter with context called "state".
    """

    def __init__(self, plan: HostPlan, num_samples: int | None = None) -> None:
        if num_samples is not None:
            check_count("", "num_samples", num_samples)
        if "state" in plan.adapter.context:
            raise ValueError(f"{plan.adapter!r}: expected context by another name than state, which is the estimator's")
        self._plan = plan
        self.num_samples = num_samples

    @property
    def plan(self) -> HostPlan:
        """What losses run on."""
        return self._plan

    @property
    def adapter(self) -> SolverAdapter:
        """The solver."""
        return self._plan.adapter

    @property
    def estimator(self) -> Estimator:
        """The estimator; what is set on it counts from the next step on, but numbers of samples, which are traced."""
        return self._plan.estimator

    @property
    def on_progress(self) -> Callable[[int, int], None] | None:
        """See `SolverLayer`."""
        return self._plan.layer.on_progress

    @on_progress.setter
    def on_progress(self, function: Callable[[int, int], None] | None) -> None:
        self._plan.layer.on_progress = function

    def __call__(self, theta: Any, key: Any, *, state: State | None = None, **context: Any) -> Array:
        """Samples.

        Args:
            theta: (B, *instance_shape) or (*instance_shape), finite, in natural units (costs or scores).
            key: one of `jax.random`: the same key, the same noise.
            state: what the estimator adapts, see `init`.
            **context: per-instance arrays, which have no gradient.

        Returns:
            (B, *solution_shape), or (B, S, *solution_shape) with `num_samples=S`; without B for a single theta.

        Raises:
            TypeError, ValueError: arguments that cannot work, or shapes that the adapter does not take.
            ClosedError: after `close()`; of what is compiled already, it arrives as errors of values do.
            JaxRuntimeError: with the message of what `SolverLayer.forward` raises for values.
        """
        return self._draw(theta, key, Draws(self.num_samples), state, context)

    def map(self, theta: Any, *, state: State | None = None, **context: Any) -> Array:
        """MAP states, without noise: (B, *solution_shape). Differentiable, by the estimator without noise."""
        return self._draw(theta, None, Draws(perturb=False), state, context)

    def sample(self, theta: Any, key: Any, num_samples: int, *, state: State | None = None, **context: Any) -> Array:
        """Differentiable samples, (B, num_samples, *solution_shape)."""
        _check_num_samples("sample", key, num_samples)
        return self._draw(theta, key, Draws(num_samples), state, context)

    def marginals(self, theta: Any, key: Any, num_samples: int, *, state: State | None = None, **context: Any) -> Array:
        """The mean of samples, (B, *solution_shape), each of which gets the downstream gradient unscaled."""
        _check_num_samples("marginals", key, num_samples)
        return self._draw(theta, key, Draws(group=num_samples), state, context)

    def init(self, theta: Any = None) -> State:
        """The state that an estimator starts from, to be passed as `state`, and moved on by `advance`.

        Estimators without state need none. AIMLE, whose backward pass moves it, does not go without. `IMLE` and its kin
        have the scale that relative temperatures go by, which the first differentiated batch fixes, on the host, where
        no state is passed.

        Args:
            theta: (B, *instance_shape), a batch whose scale that is; None: that on the host, or, where there is none,
                that of the first backward pass.

        Returns:
            Name -> array (2, ...), whose sum along the first axis is the value; and a count.

        Raises:
            TypeError, ValueError: see `fix_scale`.
        """
        return for_jax(self._plan.read_state(None if theta is None else values_of(theta)))

    def advance(self, state: State, gradient: State) -> State:
        """The state after a step, from the gradient of the loss in the state, which is the state to take next.

        The mean of all backward passes, where there were several, of a map or of devices; the same where there was
        none. No optimiser is to touch that gradient.

        Raises:
            TypeError, ValueError: one of them is not what `init` gives for this estimator, or has other shapes; or they
                are the same. A copy of a state is not told from a gradient without a backward pass.
        """
        if gradient is state:
            raise ValueError("gradient: expected the gradient of the loss in the state, got the state itself")
        return advanced(checked(state, self.estimator), checked(gradient, self.estimator, "gradient"))

    def fix_scale(self, theta: Any) -> None:
        """Has relative temperatures go by the scale of this theta, (B, *instance_shape), from now on.

        Without this, by that of the first batch that is differentiated.

        Raises:
            TypeError: theta has no values, as within `jit`, or no floating dtype.
            ValueError: theta has another shape, is empty or not finite.
        """
        self._plan.fix_scale(values_of(theta))

    @staticmethod
    def generator(key: Any) -> Generator:
        """The generator with which a `SolverLayer` draws the noise of this key."""
        return generator_of(np.asarray(words_of(key)))

    def stats(self) -> Stats:
        """What has been done: counts of batches, instances and statuses, where they were solved, and times."""
        return self._plan.layer.stats()

    def diagnostics(self, *, reset: bool = False) -> dict[str, float]:
        """How it has learned of late, see `SolverLayer.diagnostics`; of calls that are not mapped over, as by `vmap`.

        `skipped_solves` is that of backward passes, and identical instances of forward passes are not counted in it.
        """
        return self._plan.layer.diagnostics(reset=reset)

    def close(self) -> None:
        """Ends the workers, unless it was given its executor. May be called again."""
        self._plan.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        layer = self._plan.layer
        return (
            f"solver({layer.adapter!r}, estimator={layer.estimator!r}, num_samples={self.num_samples}, "
            f"on_failure={layer.on_failure!r})"
        )

    def _draw(self, theta: Any, key: Any, draws: Draws, state: State | None, context: dict[str, Any]) -> Array:
        self._plan.layer.check_open()
        theta, given, single = batched(self._plan, theta_of(theta), context_of(context))
        words = words_of(key) if draws.perturb else None
        adapted = None if state is None else checked(state, self.estimator)
        z = solve(Call(self._plan, draws), theta, words, given, adapted)
        return z[0] if single else z


def _check_num_samples(method: str, key: Any, num_samples: Any) -> None:
    if isinstance(key, int) and not isinstance(num_samples, int):
        raise TypeError(
            f"{method}: expected theta, key and num_samples, got the key last: solve.{method}(theta, key, {key})"
        )
    check_count("", "num_samples", num_samples)
