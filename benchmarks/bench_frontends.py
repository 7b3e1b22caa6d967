"""A step of other front ends, forward and backward, beside that of the PyTorch layer.

70 grids of 12 x 12, the Warcraft example's, on one thread, with default estimators; steps take turns. The first column
is the least of all rounds, which other programs of the machine disturb least; the ratio is of these.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

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


def empty_callbacks(theta: np.ndarray, weights: np.ndarray, num_samples: int) -> Step:
    """What JAX takes for two callbacks that copy theta: the least that a front end could."""
    import jax

    kind = jax.ShapeDtypeStruct(theta.shape, theta.dtype)

    def copied(array: object) -> object:
        return jax.pure_callback(np.asarray, kind, array)

    step = jax.jit(lambda array: copied(copied(array)))
    array = jax.numpy.asarray(theta)
    return lambda: jax.block_until_ready(step(array))


def adapter() -> ShortestPathAdapter:
    """The solver of all."""
    return ShortestPathAdapter.grid(*SHAPE, neighbourhood=8, costs="vertex")


CONTENDERS = {"PyTorch": of_layer, "JAX": of_jax, "JAX, two empty callbacks": empty_callbacks}


def measure(batch: int, num_samples: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round."""
    rng = np.random.default_rng(0)
    theta = (rng.random((batch, *SHAPE)) + 0.1).astype(np.float32)
    weights = (rng.random((batch, num_samples, *SHAPE)) - 0.3).astype(np.float32)
    steps = {name: make(theta, weights, num_samples) for name, make in CONTENDERS.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 3):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if turn >= 3:  # compiled, and settled
                times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def main() -> None:
    """Measures, prints, and writes what `--json` asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=70, help="instances; default 70")
    parser.add_argument("--rounds", type=int, default=300, help="steps of each; default 300")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args()
    if importlib.util.find_spec("jax") is None:
        print('bench_frontends: needs JAX: pip install "imle-solvers[jax]"')
        return
    torch.set_num_threads(1)
    table = []
    for num_samples in (1, 10):
        times = measure(options.batch, num_samples, options.rounds)
        print(f"S = {num_samples:<22}{'ms least':>10}{'median':>10}{'to PyTorch':>12}")
        for name, values in times.items():
            row = {"samples": num_samples, "name": name, "least": min(values), "median": median(values)}
            row["ratio"] = min(values) / min(times["PyTorch"])
            table.append(row)
            print(f"{name:26}{row['least']:10.2f}{row['median']:10.2f}{row['ratio']:12.2f}")
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
