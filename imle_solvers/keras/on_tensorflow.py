"""Keras on TensorFlow: operations that call back to the host plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from imle_solvers.host.arrays import DTYPES, computed_in
from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.keras.shapes import check
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss

Tensor = Any

_XLA = (
    "imle_solvers: XLA refuses calls to the host, where instances are solved: give jit_compile=False to model.compile, "
    "or to tf.function"
)
_TWICE = (
    "Solver: cannot be differentiated twice, as its gradient is an estimate, made of solutions, without a derivative; "
    "wrap the gradient in tf.stop_gradient"
)


def solve(
    plan: HostPlan,
    draws: Draws,
    theta: Tensor,
    words: Callable[[], Tensor],
    context: dict[str, Any],
    *,
    trains: bool,
) -> Tensor:
    """See `Backend.solve`."""
    theta, given, single = _batched(plan, theta, _context_of(context))
    z = _solve(plan, draws, theta, _of_replica(words()) if draws.perturb else None, given)
    return tf.squeeze(z, 0) if single else z


def _of_replica(words: Tensor) -> Tensor:
    """Words for the noise of this replica of a `tf.distribute.Strategy`; of the first one, those of no strategy."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return words
    # Where seeds are mixed, a word of zero at the end is none.
    return tf.concat([words, tf.cast(tf.reshape(replica.replica_id_in_sync_group, (1,)), words.dtype)], 0)


def _solve(plan: HostPlan, draws: Draws, theta: Tensor, key: Tensor | None, context: dict[str, Tensor]) -> Tensor:
    dtype = theta.dtype
    solution = plan.adapter.solution_shape
    samples = () if draws.num_samples is None else (draws.num_samples,)
    num_draws = plan.num_draws(draws)
    keeps = plan.keeps_draws(draws, dtype.name)
    # Whether a gradient will be asked for is not known here, and the first batch that is differentiated fixes the scale
    # of relative temperatures: it is that of the first that is drawn.
    learning = draws.perturb and _differentiable(plan)
    names = list(context)

    def draw(theta: Any, key: Any, *values: Any) -> Any:
        drawn = plan.draw(theta, key, dict(zip(names, values, strict=True)), draws, learning=learning)
        return (drawn.samples, drawn.marks, drawn.draws) if keeps else (drawn.samples, drawn.marks)

    def pull(theta: Any, key: Any, values: Any, marks: Any, dz: Any, *others: Any) -> Any:
        values = values.reshape(*marks.shape, *solution)
        return plan.pull(theta, key, values, marks, dz, dict(zip(names, others, strict=True)), draws)[0]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(theta: Tensor) -> Any:
        types = [dtype, tf.uint8, tf.as_dtype(computed_in(dtype.name))][: 3 if keeps else 2]
        z, marks, *more = _call(draw, types, theta, key, *context.values())
        z.set_shape((theta.shape[0], *samples, *solution))
        marks.set_shape((theta.shape[0], num_draws))

        def gradient(dz: Tensor) -> Tensor:
            plan.check_differentiable()

            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def pulled(dz: Tensor) -> Any:
                (result,) = _call(pull, [dtype], theta, key, more[0] if keeps else z, marks, dz, *context.values())
                result.set_shape(theta.shape)
                return result, _refuse

            return pulled(dz)

        return z, gradient

    return run(theta)


def losses(
    plan: HostPlan,
    loss: FenchelYoungLoss | SPOPlusLoss,
    theta: Tensor,
    others: tuple[Tensor, ...],
    words: Callable[[], Any] | None,
    context: dict[str, Any],
) -> Tensor:
    """See `Backend.losses`."""
    theta, given, _ = _batched(plan, theta, _context_of(context))
    names = list(given)
    computed = tf.as_dtype(computed_in(theta.dtype.name))

    def compute(theta: Any, *arrays: Any) -> Any:
        key = None if words is None else np.asarray(words(), np.uint32)
        values = dict(zip(names, arrays[len(others) :], strict=True))
        return plan.losses(loss, theta, arrays[: len(others)], key, values)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(theta: Tensor) -> Any:
        values, dtheta = _call(compute, [computed, computed], theta, *others, *given.values())
        values.set_shape(theta.shape[:1])
        dtheta.set_shape(theta.shape)

        def gradient(dl: Tensor) -> Tensor:
            rows = tf.reshape(dl, tf.concat([tf.shape(dl), tf.ones(len(theta.shape) - 1, tf.int32)], 0))
            return tf.cast(rows * dtheta, theta.dtype)

        return values, gradient

    return run(theta)


def _call(function: Callable[..., Any], types: list[Any], *arguments: Tensor | None) -> list[Tensor]:
    """Has the host compute, from arrays; what is None is not asked of TensorFlow.

    Raises:
        ValueError: this is part of a program for XLA.
    """
    if _for_xla():
        raise ValueError(_XLA)
    there = [argument is not None for argument in arguments]

    def called(*arrays: NDArray[Any]) -> Any:
        given = iter([_frozen(array) for array in arrays])
        return function(*(next(given) if each else None for each in there))

    return list(_as_list(tf.numpy_function(called, [each for each in arguments if each is not None], types)))


def _for_xla() -> bool:
    """Whether what is traced will be compiled by XLA, where this TensorFlow says so."""
    try:
        from tensorflow.python.ops import control_flow_util
    except ImportError:
        return False
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


def _frozen(array: Any) -> NDArray[Any]:
    """TensorFlow's memory is not to be written to; the plan copies what it would overwrite."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _refuse(*_: Any) -> Any:
    raise TypeError(_TWICE)


def _differentiable(plan: HostPlan) -> bool:
    try:
        plan.check_differentiable()
    except ValueError:  # is raised again where a gradient is asked for
        return False
    return True


def _context_of(context: dict[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, values in context.items():
        try:
            tensors[name] = tf.convert_to_tensor(values)
        except (TypeError, ValueError):
            advice = "; leave it out where there is none" if values is None else ""
            raise TypeError(
                f"context {name!r}: expected a tensor or lists of numbers, got {values!r}{advice}"
            ) from None
    return tensors


def _batched(plan: HostPlan, theta: Tensor, context: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor], bool]:
    """Checks shapes as far as they are known, and gives a single theta an axis of one."""
    if theta.dtype.name not in DTYPES:
        raise TypeError(f"theta: expected a floating dtype of at least 16 bits, got {theta.dtype.name}")
    shapes = {name: (tuple(each.shape), each.dtype.name) for name, each in context.items()}
    if not check(plan, tuple(theta.shape), shapes):
        return theta, context, False
    shared = plan.adapter.context
    own = {name: each if tuple(each.shape) == shared[name] else each[None] for name, each in context.items()}
    return theta[None], own, True
