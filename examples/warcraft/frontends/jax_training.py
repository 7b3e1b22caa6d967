"""Training on Warcraft maps in JAX: a step is compiled whole, with the solver's callbacks in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from tqdm import tqdm

import imle_solvers.jax
from examples.warcraft.frontends.jax_network import CostNetwork, costs
from examples.warcraft.learning import EVALUATION_BATCH, SCHEDULES, Budget, Learning, show
from examples.warcraft.maps import Array, Maps
from examples.warcraft.methods import differences, estimator
from imle_adapters import ShortestPathAdapter
from imle_solvers import Stats


class JaxTraining(Learning):
    """A network of Equinox, Adam of Optax and a solver of JAX.

    Args:
        size, method, samples, beta, temperature, workers: see `examples.warcraft.model.SolverModel`.
        lr, schedule, batch_size: see `examples.warcraft.training.Training`.
        seed: of weights and noise, and of the order of the maps, which is that of the PyTorch run.
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
        self.solve = imle_solvers.jax.solver(
            ShortestPathAdapter.grid(size, size),
            estimator=estimator(method, beta=beta, temperature=temperature),
            num_workers=workers,
        )
        weights, self.key = jax.random.split(jax.random.key(seed))
        self.network, self.running = eqx.nn.make_with_state(CostNetwork)(weights, size)
        self.adapted = self.solve.init()  # what the estimator adapts; AIMLE's step
        self.optimizer = optax.scale_by_adam()  # the learning rate is each step's
        self.moments = self.optimizer.init(eqx.filter(self.network, eqx.is_array))
        self.step = step_of(self.solve, self.optimizer, differences(method), samples)
        self.lr, self.schedule, self.batch_size = lr, SCHEDULES[schedule], batch_size
        self.order = torch.Generator().manual_seed(seed)
        self.history = []

    def _epoch(self, train: Maps, budget: Budget, bar: tqdm[Any]) -> tuple[float, float]:
        last, start = self.history[-1], time.perf_counter()
        epochs, seconds, seen = last.epochs, last.seconds, 0
        for rows in torch.randperm(len(train), generator=self.order).split(self.batch_size):
            images, paths = train.images[rows.numpy()], train.paths[rows.numpy()]
            rate = jnp.asarray(self.lr * self.schedule(budget.share(epochs, seconds)))  # floats would be compiled in
            self.key, key = jax.random.split(self.key)
            *states, loss = self.step(*self._states(), images, paths, key, rate)
            self.network, self.running, self.moments, self.adapted = states
            seen += len(rows)
            epochs = last.epochs + seen / len(train)
            text = f"loss {float(loss):.1f}, cost-optimal {last.optimal:.1%}"  # waits for the step
            seconds = last.seconds + time.perf_counter() - start
            show(bar, budget, epochs, seconds, text)
        return epochs, seconds

    def _states(self) -> tuple[Any, ...]:
        return self.network, self.running, self.moments, self.adapted

    def predict(self, maps: Maps) -> Array:
        return np.asarray(self.solve.map(self.predict_costs(maps)), np.uint8)

    def predict_costs(self, maps: Maps) -> Array:
        network = eqx.nn.inference_mode(self.network)
        batches = range(0, len(maps), EVALUATION_BATCH)
        predicted = [_evaluate(network, self.running, maps.images[at : at + EVALUATION_BATCH])[0] for at in batches]
        return np.concatenate(predicted)

    def stats(self) -> Stats:
        return self.solve.stats()

    def close(self) -> None:
        self.solve.close()


_evaluate = eqx.filter_jit(costs)


def step_of(
    solve: imle_solvers.jax.Solver, optimizer: Any, apart: Callable[[Any, Any], Any], samples: int
) -> Callable[..., Any]:
    """A step of training, compiled: states, images, paths, key and learning rate to states and loss."""

    def loss_of(learned: tuple[Any, Any], running: Any, images: Any, paths: Any, key: Any) -> tuple[Any, Any]:
        network, adapted = learned
        theta, running = costs(network, running, images)
        found = solve.marginals(theta, key, samples, state=adapted)
        return apart(found, paths.astype(found.dtype)).sum((1, 2)).mean(), running

    def step(
        network: Any, running: Any, moments: Any, adapted: Any, images: Any, paths: Any, key: Any, rate: Any
    ) -> Any:
        of_loss = eqx.filter_value_and_grad(loss_of, has_aux=True)
        (loss, running), (gradient, moved) = of_loss((network, adapted), running, images, paths, key)
        updates, moments = optimizer.update(gradient, moments)
        network = eqx.apply_updates(network, jax.tree.map(lambda update: -rate * update, updates))
        return network, running, moments, solve.advance(adapted, moved), loss

    return eqx.filter_jit(step)  # type: ignore[no-any-return]
