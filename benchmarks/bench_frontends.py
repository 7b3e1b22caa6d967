"""A step of other front ends, forward and backward, beside that of the PyTorch layer.

70 grids of 12 x 12, the Warcraft example's, on one thread, with default estimators; steps take turns. The first column
is the least of all rounds, which other programs of the machine disturb least; the ratio is of these. Keras is
measured in a process for each of its backends that is installed, each beside the PyTorch layer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer

SHAPE = (12, 12)
Step = Callable[[], object]


def of_layer(theta: np.ndarray, weights: np.ndarray, num_samples: int) -> Step:
    """A step of the PyTorch layer."""
    layer = SolverLayer(adapter(), num_samples=num_samples, num_workers=0)
    leaf, factors = torch.from_numpy(theta).requires_grad_(), torch.from_numpy(weights)

    def step() -> None:
        leaf.grad = None
        (layer(leaf) * factors).sum().backward()

    return step


def of_jax(theta: np.ndarray, weights: np.ndarray, num_samples: int) -> Step:
    """A compiled step of the JAX front end."""
    import jax

    import imle_solvers.jax

    solve = imle_solvers.jax.solver(adapter(), num_samples=num_samples, num_workers=0)
    step = jax.jit(jax.grad(lambda theta, key: (solve(theta, key) * weights).sum()))
    array, key = jax.numpy.asarray(theta), jax.random.key(0)
    return lambda: jax.block_until_ready(step(array, key))


def of_keras(theta: np.ndarray, weights: np.ndarray, num_samples: int) -> Step:
    """A step of the Keras layer, compiled as in `fit`, on the backend of this process."""
    import keras
    from keras import ops

    from imle_solvers.keras import Solver

    layer = Solver(adapter(), num_samples=num_samples, num_workers=0, seed=0)
    given, factors = ops.convert_to_tensor(theta), ops.convert_to_tensor(weights)

    def loss(theta: Any) -> Any:
        return ops.sum(layer(theta, training=True) * factors)

    name = keras.backend.backend()
    if name == "torch":
        leaf = given.requires_grad_()

        def step() -> None:
            leaf.grad = None
            loss(leaf).backward()

        return step
    if name == "jax":
        import jax

        def stateless(theta: Any) -> Any:
            with keras.StatelessScope():
                return loss(theta)

        compiled = jax.jit(jax.grad(stateless))
        return lambda: jax.block_until_ready(compiled(given))
    import tensorflow as tf

    @tf.function  # type: ignore[untyped-decorator]
    def graph(theta: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = loss(theta)
        return tape.gradient(value, theta)

    return lambda: graph(given).numpy()


def adapter() -> ShortestPathAdapter:
    """The solver of all."""
    return ShortestPathAdapter.grid(*SHAPE, neighbourhood=8, costs="vertex")


Make = Callable[[np.ndarray, np.ndarray, int], Step]

BACKENDS = ("torch", "jax", "tensorflow")


def measure(contenders: dict[str, Make], batch: int, num_samples: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round."""
    rng = np.random.default_rng(0)
    theta = (rng.random((batch, *SHAPE)) + 0.1).astype(np.float32)
    weights = (rng.random((batch, num_samples, *SHAPE)) - 0.3).astype(np.float32)
    steps = {name: make(theta, weights, num_samples) for name, make in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if turn >= 3:  # compiled, and settled
                times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def compare(contenders: dict[str, Make], batch: int, rounds: int) -> list[dict[str, Any]]:
    """Measures them beside the PyTorch layer, and prints a table."""
    table = []
    for num_samples in (1, 10):
        times = measure({"PyTorch": of_layer, **contenders}, batch, num_samples, rounds)
        print(f"S = {num_samples:<22}{'ms least':>10}{'median':>10}{'to PyTorch':>12}")
        for name, values in times.items():
            row = {"samples": num_samples, "name": name, "least": min(values), "median": median(values)}
            row["ratio"] = min(values) / min(times["PyTorch"])
            table.append(row)
            print(f"{name:26}{row['least']:10.2f}{row['median']:10.2f}{row['ratio']:12.2f}", flush=True)
    return table


def in_process(backend: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What this program measures of Keras on this backend, in another process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        sizes = ["--batch", str(options.batch), "--rounds", str(options.rounds), "--json", str(file)]
        subprocess.run(
            [sys.executable, __file__, "--keras", *sizes],
            env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            check=True,
        )
        table: list[dict[str, Any]] = json.loads(file.read_text())
    return table


def main() -> None:
    """Measures, prints, and writes what `--json` asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=70, help="instances; default 70")
    parser.add_argument("--rounds", type=int, default=300, help="steps of each; default 300")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--keras", action="store_true", help="Keras alone, on the backend that KERAS_BACKEND names")
    options = parser.parse_args()
    torch.set_num_threads(1)
    there = {name for name in ("keras", *BACKENDS) if importlib.util.find_spec(name) is not None}
    if options.keras:
        table = compare({f"Keras on {os.environ['KERAS_BACKEND']}": of_keras}, options.batch, options.rounds)
    elif not there & {"jax", "keras"}:
        print('bench_frontends: needs JAX or Keras: pip install "imle-solvers[jax,keras]"')
        return
    else:
        table = compare({"JAX": of_jax}, options.batch, options.rounds) if "jax" in there else []
        for backend in BACKENDS if "keras" in there else ():
            table += in_process(backend, options) if backend in there else []
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
