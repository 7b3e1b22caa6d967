"""Training on Warcraft maps in Keras, by `model.fit`."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from examples.warcraft.frontends.keras_network import PathModel, cost_network
from examples.warcraft.learning import EVALUATION_BATCH, SCHEDULES, Budget, Learning, show
from examples.warcraft.maps import Array, Maps
from examples.warcraft.methods import differences, estimator
from imle_adapters import ShortestPathAdapter
from imle_solvers import Stats
from imle_solvers.keras import Solver


class KerasTraining(Learning):
    """A model of Keras with a solver as its last layer.

    Args:
        size, method, samples, beta, temperature, workers: see `examples.warcraft.model.SolverModel`.
        lr, schedule, batch_size: see `examples.warcraft.training.Training`.
        seed: of all randomness.
    """

    def __init__(
        self,
        size: int,
        *,
        method: str,
        samples: int,
        beta: float,
        temperature: float,
        workers: int | None,
        lr: float,
        schedule: str,
        batch_size: int,
        seed: int,
    ) -> None:
        keras.utils.set_random_seed(seed)
        solver = Solver(
            ShortestPathAdapter.grid(size, size),
            estimator=estimator(method, beta=beta, temperature=temperature),
            num_workers=workers,
            seed=seed,
        )
        self.model = PathModel(cost_network(size), solver, samples)
        self.apart = differences(method)
        self.lr, self.schedule, self.batch_size = lr, SCHEDULES[schedule], batch_size
        self.history = []

    def _epoch(self, train: Maps, budget: Budget, bar: tqdm[Any]) -> tuple[float, float]:
        if not self.model.compiled:
            self._compile(len(train), budget)
        last, start = self.history[-1], time.perf_counter()

        def say(batch: int, logs: dict[str, Any]) -> None:
            epochs = last.epochs + min(1.0, (batch + 1) * self.batch_size / len(train))
            text = f"loss {float(logs['loss']):.1f}, cost-optimal {last.optimal:.1%}"
            show(bar, budget, epochs, last.seconds + time.perf_counter() - start, text)

        self.model.fit(
            train.images,
            train.paths,
            batch_size=self.batch_size,
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=say)],
        )
        return last.epochs + 1, last.seconds + time.perf_counter() - start

    def _compile(self, maps: int, budget: Budget) -> None:
        """With the learning rate of each step, as the PyTorch training has it."""
        starts = range(0, maps, self.batch_size)
        shares = [budget.share(epoch + start / maps, 0.0) for epoch in range(budget.epochs) for start in starts]
        rate = RateOfStep([self.lr * self.schedule(share) for share in shares])

        def loss(paths: Any, found: Any) -> Any:
            return ops.sum(self.apart(found, paths), axis=(1, 2))

        self.model.compile(keras.optimizers.Adam(rate, epsilon=1e-8), loss)

    def predict(self, maps: Maps) -> Array:
        return np.asarray(self.model.predict(maps.images, batch_size=EVALUATION_BATCH, verbose=0), np.uint8)

    def predict_costs(self, maps: Maps) -> Array:
        return np.asarray(self.model.network.predict(maps.images, batch_size=EVALUATION_BATCH, verbose=0))

    def stats(self) -> Stats:
        return self.model.solver.stats()

    def close(self) -> None:
        self.model.solver.close()


class RateOfStep(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rate of each step, from a list."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        return ops.take(ops.convert_to_tensor(self.rates, "float32"), ops.cast(step, "int32"))
