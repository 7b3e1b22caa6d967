"""The parts of `ILPAdapter` against its backends, and against PyEPO where that is installed.

The first table has forward and backward of I-MLE with 5 samples, by a layer with two workers and by PyEPO's own
OR-Tools model with one process and with two. Slow contenders get fewer instances, and figures are microseconds for
each solve. The second table has single solves of other kinds of programs, by the compiled search and by the backend.
The third has programs with totally unimodular rows, by GLOP and by the backend for all other programs of their kind,
both without the search, and with it. In every round each contender has a turn, so that a busy machine slows all of
them; figures are medians. With `--families` there are programs of a hundred variables and more instead, by
`backend="auto"`, its trial included, and by every backend, with a time limit an instance. The run fails if optimal
values differ.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse
import torch
from ilp_families import families
from numpy.typing import NDArray
from torch import Tensor

from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends
from imle_adapters.ilp.engines.fit import unfit
from imle_adapters.ilp.engines.wrapped import ScipEngine
from imle_adapters.ilp.program import Program
from imle_solvers import IMLE, SolverLayer, SumOfGamma, Target
from imle_solvers.deferred import wait_for_kernels

SAMPLES, KAPPA, STEP = 5, 5.0, 10.0
Step = Callable[[Tensor], Any]  # forward and backward of a batch (B, n)


def main() -> None:
    """Runs the comparisons, prints them, and writes them where `--json` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which medians are taken (default: 3)")
    parser.add_argument("--batch", type=int, default=32, help="instances in a batch (default: 32)")
    parser.add_argument("--slow-batch", type=int, default=4, help="for contenders without the search (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to FILE")
    parser.add_argument("--families", action="store_true", help="larger programs, by every backend")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds an instance, for families (default: 10)")
    parser.add_argument("--instances", type=int, default=5, help="of each family (default: 5)")
    parser.add_argument("--data", type=Path, help="folder with miplib3, orlib and energy_knapsack, for families")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.families:
        compare_backends(arguments.instances, arguments.limit, arguments.data)
        return
    rows = []
    for items, limits in ((32, 2), (50, 5)):
        rows += train(items, limits, arguments.batch, arguments.slow_batch, arguments.rounds)
    for name, spec in programs().items():
        contenders = {"search": ILPAdapter(spec), "backend": ILPAdapter(spec, compiled=False)}
        sizes = {"search": arguments.batch, "backend": arguments.slow_batch}
        rows += solve(name, contenders, sizes, arguments.rounds)
    for name, spec in unimodular_programs().items():
        other = "cp_sat" if spec.ub.max() == 1 else "scip"
        contenders = {kind: ILPAdapter(spec, kind, compiled=False) for kind in ("glop", other)}
        if ILPAdapter(spec).build().search is not None:
            contenders["search"] = ILPAdapter(spec)
        rows += solve(name, contenders, dict.fromkeys(contenders, arguments.slow_batch), arguments.rounds)
    print(f"{'problem':34}{'contender':26}{'us/solve':>10}{'x first':>10}")
    for row in rows:
        print(f"{row['problem']:34}{row['contender']:26}{row['microseconds']:10.1f}{row['times_first']:10.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def knapsack(items: int, limits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Weights (limits, items) and capacities of half their sums."""
    weights = np.random.default_rng(0).integers(5, 60, (limits, items))
    return weights, weights.sum(axis=1) // 2


PLAIN = "scip as it comes"  # with restarts, which our settings do without
WITHOUT = (PLAIN, "cbc", "highs")
DECIDED_OVER = 200  # instances, over which the trial of auto is spread


def compare_backends(instances: int, limit: float, data: Path | None) -> None:
    """Prints milliseconds of CPU an instance of each family by auto and by each backend alone, and ratios.

    The trial of auto is spread over 200 instances. First ratio: to the best of SCIP as it comes, CBC and HiGHS; second:
    to the best of all backends.
    """
    backends = ["auto", *(name for name in available_backends() if name != "glop"), PLAIN]
    print(f"{'family':34}{'auto':>9}{'trial':>9}" + "".join(f"{name:>17}" for name in backends[1:]), "  ratios")
    ratios = []
    for name, make in families(instances, data).items():
        spec, thetas = make()
        means, objectives, trial = {}, {}, 0.0
        unfit_ones = [name for name in available_backends() if unfit(name, Program.of(spec)) is not None]
        for backend in backends:
            if backend in unfit_ones:
                continue
            seconds, values = timed(spec, backend, thetas, limit)
            if backend == "auto":
                trial = seconds.pop(0)
            means[backend] = sum(seconds) / len(seconds)
            if values is not None:
                objectives[backend] = values
        for backend, values in objectives.items():
            if not np.allclose(values, next(iter(objectives.values())), rtol=1e-9, atol=0):
                raise SystemExit(f"{name}: {backend} found other optimal values")
        auto = means.pop("auto") + trial / DECIDED_OVER
        known = {backend: mean for backend, mean in means.items() if backend in objectives}
        pair = [auto / min((known[b] for b in among if b in known), default=np.nan) for among in (WITHOUT, known)]
        ratios.append(pair)
        cells = [
            "-" if b not in means else f"{'' if b in objectives else '>'}{means[b] * 1e3:.1f}" for b in backends[1:]
        ]
        print(f"{name:34}{auto * 1e3:9.1f}{trial * 1e3:9.0f}" + "".join(f"{each:>17}" for each in cells), end="  ")
        print(f"{pair[0]:6.2f}{pair[1]:6.2f}", flush=True)
    means_, worst = np.exp(np.nanmean(np.log(ratios), axis=0)), np.nanmax(ratios, axis=0)
    print(f"geometric means {means_[0]:.2f} {means_[1]:.2f}, worst {worst[0]:.2f} {worst[1]:.2f}")


def cell(seconds: float | None, solved: bool) -> str:
    return "-" if seconds is None else f"{'' if solved else '>'}{seconds * 1e3:.1f}"


def timed(spec: ILPSpec, backend: str, thetas: Any, limit: float) -> tuple[list[float], Any]:
    """Seconds of CPU for the trial of auto, if it is that, and each instance up to one that ends at the limit.

    Returns:
        The seconds, and the objectives, None where the limit was reached.
    """
    auto = backend == "auto"  # which has the compiled search, too
    adapter = ILPAdapter(spec, "scip" if backend == PLAIN else backend, time_limit=limit, compiled=auto)
    seconds = []
    adapter.build()
    wait_for_kernels()
    if auto:
        begin = time.process_time()
        adapter.check(thetas, {})
        seconds.append(time.process_time() - begin)
    state = adapter.build()
    if backend == PLAIN:
        state.engine = ScipEngine(state.program, settings="presolving/maxrestarts = -1\n")
    objectives = []
    for theta in thetas:
        begin = time.process_time()
        solved = adapter.solve_batch(state, theta[None].copy(), {})
        seconds.append(time.process_time() - begin)
        if solved.statuses[0]:
            return seconds, None
        objectives.append((solved.values[0] * theta).sum())
    return seconds, np.array(objectives)


def train(items: int, limits: int, batch: int, slow_batch: int, rounds: int) -> list[dict[str, Any]]:
    """Microseconds for each of the 2 * B * 5 solves of a step, by everyone who can take one."""
    weights, capacities = knapsack(items, limits)
    spec = ILPSpec(sense="max", shape=items, A_ub=weights, b_ub=capacities, ub=1, integrality=True)
    generator = torch.Generator().manual_seed(0)
    thetas = 3.0 + torch.randn(batch, items, generator=generator) + torch.from_numpy(weights.mean(axis=0) / 30).float()
    with ExitStack() as stack:
        contenders: dict[str, tuple[Step, int]] = {}
        for name, compiled, size in (("search", True, batch), ("backend", False, slow_batch)):
            layer = SolverLayer(
                ILPAdapter(spec, compiled=compiled),
                estimator=IMLE(SumOfGamma(k=KAPPA, terms=10), Target(beta=STEP), input_noise_temperature=1.0),
                num_samples=SAMPLES,
                num_workers=2,
                generator=torch.Generator().manual_seed(0),
            )
            contenders[name] = (stack.enter_context(layer), size)
        contenders |= {name: (step, slow_batch) for name, step in pyepo_steps(weights, capacities).items()}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for step, _ in contenders.values():
            forward_and_backward(step, thetas[:1])  # compiles, loads, starts workers
            wait_for_kernels()
        for _ in range(rounds):
            for name, (step, size) in contenders.items():
                start = time.perf_counter()
                forward_and_backward(step, thetas[:size])
                seconds[name].append((time.perf_counter() - start) / (2 * SAMPLES * size))
    return table(f"knapsack {items} x {limits}, training", seconds)


def pyepo_steps(weights: NDArray[Any], capacities: NDArray[Any]) -> dict[str, Step]:
    """PyEPO's I-MLE on its OR-Tools knapsack; empty where it is not installed."""
    try:
        from pyepo.func import implicitMLE
        from pyepo.model.ort import knapsackModel
    except ImportError:
        return {}
    return {
        f"PyEPO, {processes} process{'es' * (processes > 1)}": implicitMLE(
            knapsackModel(weights, capacities), n_samples=SAMPLES, lambd=STEP, processes=processes
        )
        for processes in (1, 2)
    }


def forward_and_backward(step: Step, thetas: Tensor) -> None:
    theta = thetas.clone().requires_grad_()
    z = step(theta)
    (z * torch.linspace(-1, 1, z.shape[-1])).sum().backward()


def programs() -> dict[str, ILPSpec]:
    """Small programs of other kinds."""
    rng = np.random.default_rng(0)
    members = (rng.random((30, 60)) < 0.12).astype(float)
    members[np.arange(30), rng.integers(0, 60, 30)] = 1
    n = 8
    assignment = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    tails, heads = np.triu_indices(12, 1)
    degrees = np.zeros((12, tails.size))
    degrees[tails, np.arange(tails.size)] = degrees[heads, np.arange(tails.size)] = 1
    whole: dict[str, Any] = {"ub": 1, "integrality": True}
    real, mixed = rng.random((3, 30)), rng.integers(-5, 9, (4, 15))
    return {
        "set cover, 60 sets, 30 elements": ILPSpec(sense="min", A_ub=-members, b_ub=-np.ones(30), **whole),
        "assignment of 8 with a limit": ILPSpec(
            sense="min", A_eq=assignment, b_eq=np.ones(2 * n), A_ub=rng.integers(1, 20, (1, n * n)), b_ub=[72], **whole
        ),
        "2-matching of 12 nodes": ILPSpec(sense="min", A_eq=degrees, b_eq=np.full(12, 2), **whole),
        "real knapsack 30 x 3": ILPSpec(sense="max", A_ub=real, b_ub=real.sum(axis=1) / 2, **whole),
        "integers 0..6, 15 x 4": ILPSpec(sense="max", A_ub=mixed, b_ub=2 * mixed.sum(axis=1), ub=6, integrality=True),
    }


def unimodular_programs() -> dict[str, ILPSpec]:
    """Paths, flows, bipartite graphs and intervals."""
    rng = np.random.default_rng(0)
    whole: dict[str, Any] = {"ub": 1, "integrality": True}
    nodes = 200
    arcs = np.array([(i, j) for i in range(nodes) for j in rng.choice(nodes, 6, replace=False) if i != j])
    shipped, network = rng.integers(0, 5, len(arcs)), incidence(nodes, arcs)
    capacities = shipped + rng.integers(1, 5, len(arcs))
    supplies, demands = np.split(bipartite(20, 30), [20])
    starts = rng.integers(0, 140, 400)
    running = (starts <= np.arange(150)[:, None]) & (np.arange(150)[:, None] < starts + rng.integers(2, 30, 400))
    return {
        "path on a 12 x 12 grid": grid_path(12),
        "path on a 30 x 30 grid": grid_path(30),
        "assignment of 10": ILPSpec(sense="min", A_eq=bipartite(10, 10), b_eq=np.ones(20), **whole),
        "assignment of 30": ILPSpec(sense="min", A_eq=bipartite(30, 30), b_eq=np.ones(60), **whole),
        "b-matching of 30": ILPSpec(sense="max", A_ub=bipartite(30, 30), b_ub=rng.integers(1, 4, 60), **whole),
        "flow, 200 nodes": ILPSpec(sense="min", A_eq=network, b_eq=network @ shipped, ub=capacities, integrality=True),
        "transport from 20 to 30": ILPSpec(
            sense="min",
            A_ub=supplies,
            b_ub=np.full(20, 10),
            A_eq=demands,
            b_eq=rng.integers(1, 7, 30),
            ub=6,
            integrality=True,
        ),
        "400 intervals on 4 machines": ILPSpec(sense="max", A_ub=running, b_ub=np.full(150, 4), **whole),
    }


def incidence(nodes: int, arcs: NDArray[np.int64]) -> Any:
    """Nodes times arcs (m, 2): -1 where an arc leaves, 1 where it enters."""
    ends = np.repeat([-1.0, 1.0], len(arcs)), (arcs.T.ravel(), np.tile(np.arange(len(arcs)), 2))
    return scipy.sparse.csr_matrix(ends, shape=(nodes, len(arcs)))


def bipartite(rows: int, columns: int) -> NDArray[np.float64]:
    """Both sides' nodes times their pairs."""
    return np.vstack([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))])


def grid_path(side: int) -> ILPSpec:
    """From one corner to the other, along arcs between neighbours."""
    cells = np.arange(side * side).reshape(side, side)
    pairs = [(cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:])]
    arcs = np.concatenate([np.stack([one.ravel(), other.ravel()], axis=1) for one, other in pairs])
    balance = np.zeros(side * side)
    balance[0], balance[-1] = -1, 1
    network = incidence(side * side, np.concatenate([arcs, arcs[:, ::-1]]))
    return ILPSpec(sense="min", A_eq=network, b_eq=balance, ub=1, integrality=True)


def solve(name: str, adapters: dict[str, ILPAdapter], sizes: dict[str, int], rounds: int) -> list[dict[str, Any]]:
    """Microseconds for a solve on one core, by each adapter of as many instances as it has the size for."""
    shape = next(iter(adapters.values())).instance_shape
    thetas = np.random.default_rng(1).random((max(sizes.values()), *shape)) + 0.1
    common = min(sizes.values())
    states = {contender: adapter.build() for contender, adapter in adapters.items()}
    wait_for_kernels()
    seconds: dict[str, list[float]] = {contender: [] for contender in adapters}
    values = {}
    for _ in range(rounds):
        for contender, adapter in adapters.items():
            rows = thetas[: sizes[contender]]
            start = time.perf_counter()
            solved = adapter.solve_batch(states[contender], rows, {})
            seconds[contender].append((time.perf_counter() - start) / len(rows))
            values[contender] = (solved.values[:common] * thetas[:common]).sum(axis=1)
    first, *others = values
    for other in others:
        if not np.allclose(values[first], values[other], rtol=1e-9):
            raise SystemExit(f"{name}: {first} and {other} disagree")
    return table(name, seconds)


def table(problem: str, seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """One row for each contender: its median, and how many times that of the first that is."""
    micros = {name: median(times) * 1e6 for name, times in seconds.items()}
    first = next(iter(micros.values()))
    return [
        {"problem": problem, "contender": name, "microseconds": each, "times_first": each / first}
        for name, each in micros.items()
    ]


if __name__ == "__main__":
    main()
