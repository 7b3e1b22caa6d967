"""Losses that know the solver, for JAX: those of `imle_solvers.losses`; what solves runs on the host."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from imle_solvers import losses as on_host
from imle_solvers.arguments import explain_arguments
from imle_solvers.host.arrays import stand_in
from imle_solvers.jax.arguments import Array, array_of, batched, context_of, theta_of, words_of
from imle_solvers.jax.callbacks import losses
from imle_solvers.jax.front_end import Solver
from imle_solvers.jax.state import State, checked
from imle_solvers.losses.common import Reduction, check_target, checked_reduction, paired


@explain_arguments()
class FenchelYoungLoss:
    """The Fenchel-Young loss of the perturbed maximum, see `imle_solvers.FenchelYoungLoss`.

    Args:
        solve: made by `imle_solvers.jax.solver`, with an estimator that perturbs theta.
        num_samples: draws for each instance.
        reduction: "mean" over the batch, "sum", or "none" for (B,).

    Raises:
        TypeError: no solver, or an estimator that has no noise to draw.
        ValueError: `num_samples` below one, an unknown reduction, solutions of another shape, noise at temperature 0.
    """

    def __init__(self, solve: Solver, num_samples: int = 10, reduction: Reduction = "mean") -> None:
        _check_solver("FenchelYoungLoss", solve)
        self.solve = solve
        self.num_samples = num_samples
        self.reduction = checked_reduction(reduction)
        self._loss = on_host.FenchelYoungLoss(solve.plan.layer, num_samples, "none")

    def __call__(self, theta: Any, target: Any, key: Any, /, *, state: State | None = None, **context: Any) -> Array:
        """The loss.

        Args:
            theta: (B, *instance_shape), or one (*instance_shape).
            target: the solutions to learn, of theta's shape.
            key: one of `jax.random`.
            state: see `Solver.init`.
            **context: per-instance arrays for the adapter.

        Returns:
            A scalar, or (B,).

        Raises:
            TypeError, ValueError: theta, target, key or state is none, or of the wrong shape.
            ClosedError: see `Solver.__call__`.
        """
        theta, target = theta_of(theta), theta_of(target, "target")
        check_target(stand_in(theta.shape), stand_in(target.shape))
        return _reduced(self, self._loss, theta, (target,), words_of(key), context, state)


@explain_arguments()
class SPOPlusLoss:
    """The SPO+ loss, see `imle_solvers.SPOPlusLoss`, whose errors and warnings about solutions it has, too.

    Args:
        solve: made by `imle_solvers.jax.solver`.
        reduction: "mean" over the batch, "sum", or "none" for (B,).

    Raises:
        TypeError: no solver.
        ValueError: an unknown reduction, solutions of another shape.
    """

    def __init__(self, solve: Solver, reduction: Reduction = "mean") -> None:
        _check_solver("SPOPlusLoss", solve)
        self.solve = solve
        self.reduction = checked_reduction(reduction)
        self._loss = on_host.SPOPlusLoss(solve.plan.layer, "none")

    def __call__(self, theta: Any, truth: Any, solution: Any = None, **context: Any) -> Array:
        """The loss.

        Args:
            theta: (B, *instance_shape), or one (*instance_shape), predicted costs or scores.
            truth: the true ones, of theta's shape.
            solution: their optimum, of that shape; None: it is solved for.
            **context: per-instance arrays for the adapter.

        Returns:
            A scalar, or (B,).

        Raises:
            TypeError, ValueError: theta, truth or solution is none, or of the wrong shape.
            ClosedError: see `Solver.__call__`.
        """
        theta = theta_of(theta)
        given = {"truth": truth} if solution is None else {"truth": truth, "solution": solution}
        others = {name: theta_of(each, name) for name, each in given.items()}
        for name, other in others.items():
            check_target(stand_in(theta.shape), stand_in(other.shape), name)
        return _reduced(self, self._loss, theta, tuple(others.values()), None, context, None)


@explain_arguments()
class HammingLoss:
    """How many entries of a solution of zeros and ones are wrong, see `imle_solvers.HammingLoss`.

    Its gradient is that of PyTorch's, 0 where an entry is right, while the derivative of JAX's `abs` at 0 is 1. Nothing
    is solved, and nothing runs on the host.

    Args:
        solve: made by `imle_solvers.jax.solver`, of which the solutions are.
        reduction: "mean" over instances and samples, "sum", or "none" for one loss a solution.

    Raises:
        TypeError: no solver.
        ValueError: an unknown reduction.
    """

    def __init__(self, solve: Solver, reduction: Reduction = "mean") -> None:
        _check_solver("HammingLoss", solve)
        self.solve = solve
        self.reduction = checked_reduction(reduction)

    def __call__(self, solutions: Any, target: Any) -> Array:
        """The loss.

        Args:
            solutions: (B, *solution_shape), (B, S, *solution_shape), or without B, as the solver gives them.
            target: the true ones, of that shape, or without the axis of samples; where one is not finite, nor is the
                loss.

        Returns:
            A scalar, or (B,) or (B, S), of the solutions' dtype.

        Raises:
            TypeError: solutions that have no floating dtype, or a target that is no array.
            ValueError: other shapes.
        """
        solutions, target = theta_of(solutions, "solutions"), array_of(target, "target")
        plan = self.solve.plan
        paired("HammingLoss", plan.layer, stand_in(solutions.shape), stand_in(target.shape), "target")
        entries = len(plan.adapter.solution_shape)
        if target.ndim < solutions.ndim:
            target = jnp.expand_dims(target, -1 - entries)
        apart = solutions - target.astype(solutions.dtype)
        distances = apart * jax.lax.stop_gradient(jnp.sign(apart))
        return _reduce(distances.sum(tuple(range(-entries, 0))), self.reduction)


def _check_solver(loss: str, solve: Any) -> None:
    if not isinstance(solve, Solver):
        raise TypeError(f"{loss}: expected a solver, got {solve!r}; make one by imle_solvers.jax.solver(adapter)")


def _reduced(
    loss: FenchelYoungLoss | SPOPlusLoss,
    on_layer: on_host.FenchelYoungLoss | on_host.SPOPlusLoss,
    theta: Array,
    others: tuple[Array, ...],
    words: Array | None,
    context: dict[str, Any],
    state: State | None,
) -> Array:
    plan = loss.solve.plan
    plan.layer.check_open()
    batch, given, single = batched(plan, theta, context_of(context))
    if single:
        others = tuple(other[None] for other in others)
    adapted = None if state is None else checked(state, plan.estimator)
    values = losses(plan, on_layer, batch, others, words, given, adapted)
    return _reduce(values[0] if single else values, loss.reduction).astype(theta.dtype)


def _reduce(values: Array, reduction: Reduction) -> Array:
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()
