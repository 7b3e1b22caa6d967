"""Losses that know the solver, for `model.compile(loss=...)`: those of `imle_solvers.losses`."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from imle_solvers import losses as on_layer
from imle_solvers.arguments import check_count
from imle_solvers.host.arrays import stand_in
from imle_solvers.host.state import write_state
from imle_solvers.keras.backends import Tensor, backend
from imle_solvers.keras.layer import Solver
from imle_solvers.keras.shapes import filled
from imle_solvers.losses.common import paired

OnLayer = on_layer.FenchelYoungLoss | on_layer.SPOPlusLoss


class Words:
    """The words of one draw after another, counted on the host: a loss has no variables that Keras would keep.

    Args:
        seed: the first word.
        drawn: how often there were words before.
    """

    def __init__(self, seed: int, drawn: int = 0) -> None:
        self.seed = seed
        self.drawn: int = drawn
        self._turn = threading.Lock()

    def __call__(self) -> NDArray[np.uint32]:
        """The next ones, (2,)."""
        with self._turn:
            words = np.array([self.seed, self.drawn], np.uint32)
            self.drawn += 1
        return words


@dataclass(frozen=True, eq=False)
class _Held:
    """Of a loss, where Keras does not look: it would save a solver's state once, and not both here and in the model."""

    solver: Solver


class _SolverLoss(keras.losses.Loss):  # type: ignore[misc]
    """What losses share."""

    def __init__(self, solver: Solver, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(solver, Solver):
            raise TypeError(
                f"{type(self).__name__}: expected a Solver, got {solver!r}; make one by "
                "imle_solvers.keras.Solver(adapter)"
            )
        self._held = _Held(solver)

    def get_config(self) -> dict[str, Any]:
        """See `Solver.get_config`; with what the estimator has adapted."""
        solver = self._held.solver
        return {
            **super().get_config(),
            "solver": keras.saving.serialize_keras_object(solver),
            "state": {name: value.tolist() for name, value in solver.plan.read_state().items()},
        }

    def _solve(
        self, loss: OnLayer, y_pred: Tensor, others: dict[str, Tensor], words: Words | None, context: dict[str, Any]
    ) -> Tensor:
        """Losses of each instance, (B,), of theta and of what has its shape; raises as `call` says."""
        plan = self._held.solver.plan
        instance = plan.adapter.instance_shape
        tensors = {
            name: ops.convert_to_tensor(each, dtype=self.dtype) for name, each in {"y_pred": y_pred, **others}.items()
        }
        shapes = filled(*((tuple(tensor.shape), instance) for tensor in tensors.values()))
        for (name, tensor), shape in zip(tensors.items(), shapes, strict=True):
            if len(shape) != 1 + len(instance) or shape != (shapes[0][0], *instance):
                expected = f"(B, {', '.join(map(str, instance))})" if instance else "(B,)"
                raise ValueError(f"{name}: expected theta's shape {expected}, got {tuple(tensor.shape)}")
        plan.layer.check_open()
        return backend().losses(plan, loss, tensors.pop("y_pred"), tuple(tensors.values()), words, context)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The loss that is described so, on a solver of its own."""
        solver = keras.saving.deserialize_keras_object(config["solver"])
        write_state(solver.estimator, {name: np.asarray(value) for name, value in config["state"].items()})
        return cls(**{name: value for name, value in config.items() if name != "state"} | {"solver": solver})


@keras.saving.register_keras_serializable(package="imle_solvers")
class FenchelYoungLoss(_SolverLoss):
    """The Fenchel-Young loss of the perturbed maximum, see `imle_solvers.FenchelYoungLoss`.

    `loss(y_true, y_pred)`: the solutions to learn, and theta, both (B, *instance_shape). Where there is context,
    `loss.call(y_true, y_pred, **context)` gives (B,) losses.

    Args:
        solver: a `Solver` whose estimator perturbs theta; it need not be part of the model.
        num_samples: draws for each instance.
        seed: of the noise, which is another one each time that the loss is computed; None: any.
        reduction, name, dtype: see `keras.losses.Loss`.

    Raises:
        TypeError: no Solver, or an estimator that has no noise to draw.
        ValueError: a number out of range, solutions of another shape, noise at temperature 0.
    """

    def __init__(
        self,
        solver: Solver,
        num_samples: int = 10,
        seed: int | None = None,
        *,
        drawn: int = 0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "fenchel_young_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(solver, name=name, reduction=reduction, dtype=dtype)
        if seed is not None:
            check_count("FenchelYoungLoss: ", "seed", seed, 0)
        self.num_samples = num_samples
        self._loss = on_layer.FenchelYoungLoss(solver.plan.layer, num_samples, "none")
        self._words = Words(random.randrange(2**31) if seed is None else seed % 2**32, drawn)

    def call(self, y_true: Tensor, y_pred: Tensor, **context: Any) -> Tensor:
        """Losses of each instance, (B,).

        Raises:
            TypeError, ValueError: y_true or y_pred is of the wrong shape, or context is not what the adapter takes.
            SolveError, AdapterError, ClosedError: see `Solver.call`.
        """
        return self._solve(self._loss, y_pred, {"y_true": y_true}, self._words, context)

    def get_config(self) -> dict[str, Any]:
        """See `Solver.get_config`; with how often noise was drawn, so that a loaded loss goes on with other noise."""
        return {
            **super().get_config(),
            "num_samples": self.num_samples,
            "seed": self._words.seed,
            "drawn": self._words.drawn,
        }


@keras.saving.register_keras_serializable(package="imle_solvers")
class SPOPlusLoss(_SolverLoss):
    """The SPO+ loss, see `imle_solvers.SPOPlusLoss`, whose errors and warnings about solutions it has, too.

    `loss(y_true, y_pred)`: the true costs or scores, and those that are predicted, both (B, *instance_shape). Where
    there is context, or the optimum is known, `loss.call(y_true, y_pred, solution, **context)` gives (B,) losses.

    Args:
        solver: a `Solver`; it need not be part of the model.
        reduction, name, dtype: see `keras.losses.Loss`.

    Raises:
        TypeError: no Solver.
        ValueError: solutions of another shape.
    """

    def __init__(
        self,
        solver: Solver,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "spo_plus_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(solver, name=name, reduction=reduction, dtype=dtype)
        self._loss = on_layer.SPOPlusLoss(solver.plan.layer, "none")

    def call(self, y_true: Tensor, y_pred: Tensor, solution: Tensor | None = None, **context: Any) -> Tensor:
        """Losses of each instance, (B,); without `solution`, the optimum for y_true, that is solved for.

        Raises:
            TypeError, ValueError: y_true, y_pred or solution is of the wrong shape, or context is not what the adapter
                takes.
            SolveError, AdapterError, ClosedError: see `Solver.call`.
        """
        given = {"y_true": y_true} if solution is None else {"y_true": y_true, "solution": solution}
        return self._solve(self._loss, y_pred, given, None, context)


@keras.saving.register_keras_serializable(package="imle_solvers")
class HammingLoss(_SolverLoss):
    """How many entries of a solution of zeros and ones are wrong, see `imle_solvers.HammingLoss`.

    `loss(y_true, y_pred)`: the true solutions, and those of the layer, both (B, *solution_shape), or with an axis of
    samples, (B, S, *solution_shape), which the true ones may lack. Its gradient is 0 where an entry is right, on every
    backend, while that of "mae" is not on JAX. Nothing is solved, and nothing runs on the host.

    Args:
        solver: a `Solver`, of which the solutions are.
        reduction, name, dtype: see `keras.losses.Loss`; the mean is over instances and samples.

    Raises:
        TypeError: no Solver.
    """

    def __init__(
        self,
        solver: Solver,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "hamming_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(solver, name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Losses of each solution, (B,) or (B, S); not finite where y_true is not.

        Raises:
            ValueError: y_true or y_pred is of the wrong shape.
        """
        y_pred, y_true = (ops.convert_to_tensor(each, dtype=self.dtype) for each in (y_pred, y_true))
        shape = self._held.solver.adapter.solution_shape
        given, true = map(stand_in, filled((tuple(y_pred.shape), shape), (tuple(y_true.shape), shape)))
        paired("HammingLoss", self._held.solver.plan.layer, given, true, "y_true")
        entries = len(shape)
        if len(y_true.shape) < len(y_pred.shape):
            y_true = ops.expand_dims(y_true, -1 - entries)
        apart = y_pred - y_true
        distances = apart * ops.stop_gradient(ops.sign(apart))
        return ops.sum(distances, tuple(range(-entries, 0))) if entries else distances
