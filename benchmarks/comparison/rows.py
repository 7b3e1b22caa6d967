"""The rows of the table, and their targets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from comparison import loops
from comparison.loops import Array, Solver, each
from comparison.problem import OURS, Contender, Problem, Row
from comparison.published import gamma_loop, imle
from comparison.pyepo_models import grid_arcs, pyepo
from imle_adapters import AssignmentAdapter, ILPAdapter, ILPSpec, MaxSpanningTreeAdapter, ShortestPathAdapter
from imle_solvers import IMLE, FunctionAdapter, SolverAdapter, SolverLayer, SumOfGamma, Target

CORES = 2
WARCRAFT_COSTS, WARCRAFT_SHARES = (0.8, 1.2, 5.3, 7.7, 9.2), (0.36, 0.42, 0.05, 0.11, 0.06)

Makers = Mapping[str, Callable[[], Contender]]


def ours(
    adapter: SolverAdapter, noise: SumOfGamma, samples: int, *, mean: bool = False, executor: str | None = None
) -> Contender:
    """A layer with two workers. `mean` returns the mean of the samples, as PyEPO does."""
    generator = torch.Generator().manual_seed(0)
    layer = SolverLayer(
        adapter,
        estimator=IMLE(noise, Target(beta=1.0), input_noise_temperature=1.0),
        num_samples=samples,
        executor=executor,
        num_workers=CORES,
        generator=generator,
    )

    def solve(thetas: Array) -> Array:
        solutions: Array = layer.map(torch.from_numpy(thetas)).numpy()
        return solutions

    forward = functools.partial(layer.marginals, num_samples=samples) if mean else layer
    return Contender(forward, solve, layer, generator)


def loop(solve: Solver, noise: SumOfGamma, samples: int, *, maximise: bool) -> Contender:
    """A loop over a solver, with noise as fast as ours, so that only solving is compared."""
    generator = torch.Generator().manual_seed(0)
    draw = functools.partial(noise.sample, generator=generator)
    return Contender(imle(solve, draw, samples, maximise=maximise), solve, generator=generator)


def warcraft_costs(batch: int, side: int) -> Tensor:
    """(B, side, side), costs of terrain as a network would predict them."""
    rng = np.random.default_rng(0)
    costs = rng.choice(WARCRAFT_COSTS, p=WARCRAFT_SHARES, size=(batch, side, side))
    return torch.from_numpy((costs + rng.gumbel(scale=0.1, size=costs.shape)).clip(min=0.01).astype(np.float32))


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _warcraft(batch: int, side: int, samples: int, k: float, terms: int) -> Problem:
    noise = SumOfGamma(k, terms)

    def published(solve: Solver) -> Contender:
        return Contender(imle(solve, gamma_loop(k, terms), samples, maximise=False), solve)

    makers: Makers = {
        OURS: lambda: ours(ShortestPathAdapter.grid(side, side), noise, samples),
        "published algorithm": lambda: published(each(loops.heap_path)),
        "the same on lists": lambda: published(each(functools.partial(loops.heap_path, lists=True))),
        "SciPy loop": lambda: loop(loops.scipy_paths(side), noise, samples, maximise=False),
        "NetworkX loop": lambda: loop(loops.networkx_paths(side), noise, samples, maximise=False),
    }
    return Problem(warcraft_costs(batch, side), makers)


def _noise(batch: int) -> Problem:
    samples, k, terms = 10, 39.0, 100
    noise, slow = SumOfGamma(k, terms), gamma_loop(k, terms)
    makers: Makers = {
        OURS: lambda: Contender(lambda theta: noise.sample((len(theta), samples, *theta.shape[1:]))),
        "loop of Gamma draws": lambda: Contender(lambda theta: slow((len(theta), samples, *theta.shape[1:]))),
    }
    return Problem(torch.zeros(batch, 30, 30), makers)


def _pyepo_path(batch: int) -> Problem:
    side, samples, kappa = 12, 5, 22.0  # edges of a path
    noise = SumOfGamma(kappa)

    def adapter() -> ShortestPathAdapter:
        return ShortestPathAdapter(nx.DiGraph(sorted(grid_arcs(side))), 0, side * side - 1)

    def theirs(processes: int) -> Contender:
        entry = {edge: index for index, edge in enumerate(adapter().edges)}
        order = [entry[arc] for arc in grid_arcs(side)]
        return pyepo(lambda ort: ort.shortestPathModel((side, side)), samples, processes, kappa, order)

    makers: Makers = {
        OURS: lambda: ours(adapter(), noise, samples, mean=True),
        "PyEPO, 1 process": lambda: theirs(1),
        "PyEPO, 2 processes": lambda: theirs(2),
    }
    costs = torch.rand(batch, 2 * side * (side - 1), generator=torch.Generator().manual_seed(0)) * 4 + 1
    return Problem(costs, makers)


def _knapsack(batch: int, items: int, limits: int) -> Problem:
    samples, kappa = 5, 5.0
    noise = SumOfGamma(kappa)
    weights, capacities = loops.knapsack(items, limits)
    solve = each(functools.partial(loops.ortools_knapsack, limits=limits))
    spec = ILPSpec(sense="max", shape=items, A_ub=weights, b_ub=capacities, ub=1, integrality=True)

    def theirs(processes: int) -> Contender:
        return pyepo(lambda ort: ort.knapsackModel(weights, capacities), samples, processes, kappa)

    makers: dict[str, Callable[[], Contender]] = {
        OURS: lambda: ours(ILPAdapter(spec), noise, samples, mean=True),
        "PyEPO, 1 process": lambda: theirs(1),
        "PyEPO, 2 processes": lambda: theirs(2),
    }
    if items <= 32:  # PyEPO's single process is such a loop, too, and a slow one where solves are slow
        makers["OR-Tools loop"] = lambda: loop(solve, noise, samples, maximise=True)
    values = 3 + 5 * torch.rand(batch, items, generator=torch.Generator().manual_seed(0))
    return Problem(values, makers)


def _tree(batch: int) -> Problem:
    nodes, samples = 30, 4
    noise = SumOfGamma(nodes - 1)
    makers: Makers = {
        OURS: lambda: ours(MaxSpanningTreeAdapter(nx.complete_graph(nodes)), noise, samples),
        "NetworkX loop": lambda: loop(loops.networkx_trees(nodes), noise, samples, maximise=True),
    }
    return Problem(_normal(batch, nodes * (nodes - 1) // 2), makers)


def _assignment(batch: int) -> Problem:
    n, samples = 50, 4
    noise = SumOfGamma(n)
    makers: Makers = {
        OURS: lambda: ours(AssignmentAdapter(n, n), noise, samples),
        "SciPy loop": lambda: loop(loops.scipy_assignments, noise, samples, maximise=False),
    }
    return Problem(_normal(batch, n, n), makers)


def _slow_solver(batch: int, entries: int, solve: Solver) -> Problem:
    samples = 4
    noise = SumOfGamma(5.0)

    def adapter() -> FunctionAdapter:
        return FunctionAdapter(solve, sense="max", instance_shape=(entries,))

    makers: Makers = {
        OURS: lambda: ours(adapter(), noise, samples, executor="processes"),
        "its loop": lambda: loop(each(solve), noise, samples, maximise=True),
    }
    return Problem(3 + 5 * torch.rand(batch, entries, generator=torch.Generator().manual_seed(0)), makers)


def _rows() -> list[Row]:
    best_of_pyepo = ("PyEPO, 1 process", "PyEPO, 2 processes")
    published = ("published algorithm",)
    partial = functools.partial
    return [
        Row("warcraft-12", "shortest path, Warcraft 12x12, B = 70, S = 1, SumOfGamma(15.6, 10)", 70,
            partial(_warcraft, side=12, samples=1, k=15.6, terms=10), 60, published),
        Row("warcraft-30", "shortest path, Warcraft 30x30, B = 70, S = 10, SumOfGamma(39, 100)", 70,
            partial(_warcraft, side=30, samples=10, k=39.0, terms=100), 300, published),
        Row("noise", "SumOfGamma(39, 100).sample((64, 10, 30, 30))", 64, _noise, 200, ("loop of Gamma draws",)),
        Row("pyepo-path", "shortest path, PyEPO's grid 12x12, B = 32, S = 5", 32, _pyepo_path, 100, best_of_pyepo),
        Row("knapsack-32", "knapsack, 32 items, 2 constraints, B = 32, S = 5", 32,
            partial(_knapsack, items=32, limits=2), 3, best_of_pyepo),
        Row("knapsack-50", "knapsack, 50 items, 5 constraints, B = 32, S = 5", 32,
            partial(_knapsack, items=50, limits=5), 5, best_of_pyepo),
        Row("tree", "spanning tree, complete graph of 30, B = 128, S = 4", 128, _tree, 150, ("NetworkX loop",)),
        Row("assignment", "assignment 50x50, B = 128, S = 4", 128, _assignment, 1.7, ("SciPy loop",)),
        Row("solver-1ms", "a solver of 1 ms by the clock, B = 64, S = 4", 64,
            partial(_slow_solver, entries=144, solve=partial(loops.busy, seconds=1e-3)), 1.1,
            ("its loop",), True),
        Row("solver-ortools", "OR-Tools as a function, 32 items, 2 constraints, B = 8, S = 4", 8,
            partial(_slow_solver, entries=32, solve=partial(loops.ortools_knapsack, limits=2)), 1.1,
            ("its loop",), True),
    ]  # fmt: skip


ROWS = {row.key: row for row in _rows()}
