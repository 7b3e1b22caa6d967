"""A combinatorial solver as a layer of Keras."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import keras
import numpy as np
from keras import ops
from torch import Generator

from imle_solvers.adapter import SolverAdapter
from imle_solvers.arguments import check_count
from imle_solvers.errors import ImleSolversError
from imle_solvers.estimators import Estimator
from imle_solvers.executors.base import Executor
from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.host.seeds import generator_of
from imle_solvers.host.state import read_state, write_state
from imle_solvers.keras.backends import Tensor, backend
from imle_solvers.keras.config import (
    Description,
    adapter_of,
    describe_estimator,
    description_of,
    estimator_of,
    of_json,
    to_json,
)
from imle_solvers.keras.held import Held
from imle_solvers.keras.shapes import check
from imle_solvers.solving.batch_solver import OnFailure
from imle_solvers.solving.stats import Stats

_SEEDS = 2**31
_RESERVED = ("theta", "training", "num_samples", "self")


@keras.saving.register_keras_serializable(package="imle_solvers")
class Solver(keras.layers.Layer):  # type: ignore[misc]
    """Solves one problem for each theta of a batch, and differentiates the solutions; see docs/keras.md.

    In training theta is perturbed and solutions are samples; else solutions are the MAP states, of the same shape.
    Theta is (B, *instance_shape), or one (*instance_shape), and is cast to the layer's compute dtype, which solutions
    have, too; half precision is computed in float32. Solutions and gradients are, bit for bit, those of `SolverLayer`
    with the generator that `generator` gives, on every backend of Keras.

    Context, as keyword arguments, goes to the adapter with each instance: tensors with a leading axis of B (without it
    for a single theta), under the names that the adapter declares. It keeps its dtype. Where the adapter declares
    their shape, too, they hold for all instances if that axis is left out.

    Args:
        adapter: the solver; or `{"name": ..., "kwargs": {...}}`, from which `imle_solvers.make_adapter` makes it, and
            which is what is saved.
        estimator: how gradients are estimated; None: `IMLE()`, whose noise suits the adapter.
        num_samples: S, samples for each theta. None: one, and solutions are (B, *solution_shape). An int:
            (B, S, *solution_shape), also for 1.
        seed: of the noise, from 0 to 2**31 - 1; None: another one each time that a layer is made. With each call in
            training the noise is another one, from the start again where the layer is made anew, and from where it
            was where it is loaded.
        executor, num_workers, on_failure: see `SolverLayer`. An Executor itself is not saved with the layer.
        **options: those of all layers of Keras: name, dtype, trainable.

    Raises:
        TypeError, ValueError, AdapterError: see `SolverLayer`; or an adapter with context of a name that calls have for
            something else.
    """

    def __init__(
        self,
        adapter: SolverAdapter | Mapping[str, Any],
        *,
        estimator: Estimator | None = None,
        num_samples: int | None = None,
        seed: int | None = None,
        executor: str | Executor | None = None,
        num_workers: int | None = None,
        on_failure: OnFailure = "raise",
        **options: Any,
    ) -> None:
        if num_samples is not None:
            check_count("Solver: ", "num_samples", num_samples)
        if seed is not None:
            check_count("Solver: ", "seed", seed, 0)
            if seed >= _SEEDS:
                raise ValueError(f"Solver: seed must be below 2**31, got {seed}")
        super().__init__(autocast=False, **options)
        if not keras.backend.is_float_dtype(self.compute_dtype):
            raise TypeError(f"Solver: expected dtype to be a floating one, got {self.compute_dtype}")
        description: Description | None = None
        if isinstance(adapter, Mapping):
            description = dict(adapter)
            adapter = adapter_of(description)
        plan = HostPlan(adapter, estimator=estimator, executor=executor, num_workers=num_workers, on_failure=on_failure)
        for name in _RESERVED:
            if name in plan.adapter.context:
                raise ValueError(f"{plan.adapter!r}: expected context by another name than {name}, which calls have")
        # Held by what Keras does not look into: it would wrap dicts and lists, and take PyTorch's modules for layers.
        self._held = Held(plan, description, executor if isinstance(executor, str) else None, num_workers, backend())
        self.num_samples = num_samples
        self.seed_generator: Any = keras.random.SeedGenerator(seed)
        self.supports_jit = keras.backend.backend() != "tensorflow"  # whose XLA refuses calls to the host
        self.supports_masking = True  # masks of sequences end here, without a warning

    @property
    def plan(self) -> HostPlan:
        """What losses run on."""
        return self._held.plan

    @property
    def adapter(self) -> SolverAdapter:
        """The solver."""
        return self.plan.adapter

    @property
    def estimator(self) -> Estimator:
        """The estimator; what is set on it counts from the next step on, but numbers of samples, which are traced."""
        return self.plan.estimator

    @property
    def on_progress(self) -> Callable[[int, int], None] | None:
        """See `SolverLayer`."""
        return self.plan.layer.on_progress

    @on_progress.setter
    def on_progress(self, function: Callable[[int, int], None] | None) -> None:
        self.plan.layer.on_progress = function

    def __call__(self, *arguments: Any, **given: Any) -> Any:
        """See `call`; tensors and numbers may stand side by side as context, which Keras takes one or the other of."""
        context = {name: value for name, value in given.items() if name in self.adapter.context}
        for name, value in context.items():
            if value is None:
                raise TypeError(
                    f"context {name!r}: expected a tensor, or an array or lists of numbers, got None; leave it out "
                    "where there is none"
                )
        if any(hasattr(value, "shape") for value in context.values()):
            context = {name: value if hasattr(value, "shape") else np.asarray(value) for name, value in context.items()}
        return super().__call__(*arguments, **{**given, **context})

    def call(self, theta: Tensor, *positional: Any, training: bool | None = False, **context: Any) -> Tensor:
        """Samples in training, MAP states else.

        Args:
            theta: (B, *instance_shape) or (*instance_shape), finite, in natural units (costs or scores).
            *positional: nothing; context goes by its names.
            training: whether to draw; in `model.fit` Keras says so.
            **context: per-instance arrays, which have no gradient.

        Returns:
            (B, *solution_shape), or (B, S, *solution_shape) with `num_samples=S`; without B for a single theta.

        Raises:
            TypeError, ValueError: arguments that cannot work, or shapes that the adapter does not take.
            SolveError, AdapterError, ClosedError: see `SolverLayer.forward`; where the call is part of a compiled
                program, an error of the backend's own, with that message.
        """
        self._check_named(positional)
        if _trains(training):
            return self._draw(theta, Draws(self.num_samples), context, trains=True)
        z = self.map(theta, **context)
        if self.num_samples is None:
            return z
        axis = len(z.shape) - len(self.adapter.solution_shape)
        return ops.repeat(ops.expand_dims(z, axis), self.num_samples, axis)

    def map(self, theta: Tensor, **context: Any) -> Tensor:
        """MAP states, without noise: (B, *solution_shape). Differentiable, by the estimator without noise."""
        return self._draw(theta, Draws(perturb=False), context)

    def sample(self, theta: Tensor, num_samples: int, **context: Any) -> Tensor:
        """Differentiable samples, (B, num_samples, *solution_shape), whether training or not."""
        check_count("", "num_samples", num_samples)
        return self._draw(theta, Draws(num_samples), context)

    def marginals(self, theta: Tensor, num_samples: int, **context: Any) -> Tensor:
        """The mean of samples, (B, *solution_shape), each of which gets the downstream gradient unscaled."""
        check_count("", "num_samples", num_samples)
        return self._draw(theta, Draws(group=num_samples), context)

    def generator(self) -> Generator:
        """The generator with which a `SolverLayer` draws the noise of this layer's next draw."""
        return generator_of(self._words())

    def stats(self) -> Stats:
        """What has been done: counts of batches, instances and statuses, where they were solved, and times."""
        return self.plan.layer.stats()

    def diagnostics(self, *, reset: bool = False) -> dict[str, float]:
        """How the layer has learned of late, see `SolverLayer.diagnostics`."""
        return self.plan.layer.diagnostics(reset=reset)

    def close(self) -> None:
        """Ends the workers, unless it was given its executor. May be called again."""
        self.plan.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def build(self, theta_shape: Any) -> None:
        """There are no weights."""

    def compute_output_shape(self, theta_shape: Any) -> tuple[int | None, ...]:
        """The shape of solutions for that of theta, whose B may be None.

        Raises:
            ValueError: the adapter does not take theta of this shape.
        """
        instance = self.adapter.instance_shape
        batch = tuple(theta_shape[: len(theta_shape) - len(instance)])
        check(self.plan, tuple(theta_shape), {})
        samples = () if self.num_samples is None else (self.num_samples,)
        return (*batch, *samples, *self.adapter.solution_shape)

    def compute_output_spec(self, theta: Any, *positional: Any, training: bool | None = False, **context: Any) -> Any:
        """Solutions as Keras has them where there are no values yet."""
        self._check_named(positional)
        _check_floating(theta.dtype)
        unknown = dict.fromkeys(context.keys() - self.adapter.context.keys(), ((), "float32"))
        inputs = {
            name: (tuple(each.shape), each.dtype)
            for name, each in context.items()
            if isinstance(each, keras.KerasTensor)
        }
        check(self.plan, tuple(theta.shape), {**inputs, **unknown})
        return keras.KerasTensor(self.compute_output_shape(theta.shape), dtype=self.compute_dtype)

    def __repr__(self) -> str:
        return (
            f"<Solver name={self.name}, adapter={self.adapter!r}, estimator={self.estimator!r}, "
            f"num_samples={self.num_samples}>"
        )

    def compute_mask(self, *_: Any, **__: Any) -> None:
        """Solutions have none."""

    def get_config(self) -> dict[str, Any]:
        """A description in JSON.

        Raises:
            ValueError: the adapter, or a part of the estimator, cannot be described; the message says what to do.
        """
        held = self._held
        return {
            **super().get_config(),
            "adapter": to_json(held.description or description_of(self.adapter), "adapter"),
            "estimator": describe_estimator(self.estimator),
            "num_samples": self.num_samples,
            "seed": self.seed_generator.get_config()["seed"],
            "executor": held.executor,
            "num_workers": held.num_workers,
            "on_failure": self.plan.layer.on_failure,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Solver:
        """A layer that is described so.

        Raises:
            TypeError, ValueError, AdapterError: a description that fits no adapter or estimator that is there.
        """
        made = {"adapter": of_json(config["adapter"]), "estimator": estimator_of(config["estimator"])}
        return cls(**{**config, **made})

    def save_own_variables(self, store: Any) -> None:
        """Saves what the estimator has adapted, and where the noise has got to."""
        for name, value in read_state(self.estimator).items():
            store[f"estimator.{name}"] = value
        store["seed"] = self._words()

    def load_own_variables(self, store: Any) -> None:
        """See `save_own_variables`.

        Raises:
            ValueError: they are those of another estimator.
        """
        there = {name.removeprefix("estimator.") for name in store.keys() if name != "seed"}  # noqa: SIM118 - HDF5
        own = set(read_state(self.estimator))
        if there != own:
            raise ValueError(
                f"{self.name}: expected the state of {type(self.estimator).__name__}, {sorted(own) or 'none'}, got "
                f"{sorted(there) or 'none'}, which is another estimator's; make the layer with that one"
            )
        write_state(self.estimator, {name: store[f"estimator.{name}"][()] for name in own})
        self.seed_generator.state.assign(store["seed"][()].astype(self.seed_generator.state.dtype))

    def _words(self) -> Any:
        value = self.seed_generator.state.value
        return (value.cpu().numpy() if hasattr(value, "cpu") else np.asarray(value)).astype(np.uint32)

    def _check_named(self, positional: tuple[Any, ...]) -> None:
        if positional:
            takes = ", ".join(self.adapter.context) or "none"
            raise TypeError(
                f"{self.name}: expected theta, and all else by keyword, got {1 + len(positional)} arguments; context "
                f"of {self.adapter!r} is {takes}"
            )

    def _draw(self, theta: Tensor, draws: Draws, context: dict[str, Any], *, trains: bool = False) -> Tensor:
        try:
            theta = ops.convert_to_tensor(theta)
        except (TypeError, ValueError):
            raise TypeError(f"theta: expected a tensor, or an array of numbers, got {reprlib.repr(theta)}") from None
        _check_floating(theta.dtype)
        theta = ops.cast(theta, self.compute_dtype)
        try:
            self.plan.layer.check_open()
            return self._held.backend.solve(
                self.plan, draws, theta, lambda: self.seed_generator.next(), context, trains=trains
            )
        except ImleSolversError as error:
            error._keras_call_info_injected = True  # type: ignore[attr-defined] # Keras would make another one of it
            raise


def _check_floating(dtype: Any) -> None:
    """Raises `TypeError` for theta of a dtype that has no gradient."""
    name = keras.backend.standardize_dtype(dtype)
    if not keras.backend.is_float_dtype(name):
        raise TypeError(
            f"theta: expected a floating dtype of at least 16 bits, got {name}; convert it with "
            'keras.ops.cast(theta, "float32")'
        )


def _trains(training: Any) -> bool:
    try:
        return bool(training)
    except TypeError:  # what traces a value is none
        raise TypeError(
            f"training: expected True, False or None, got {training!r}, whose value is not known yet; trace the call "
            "with True, and once more with False"
        ) from None
