"""The path of an instance depends on nothing but the instance."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest

from imle_adapters.graphs.shortest_path import ShortestPathAdapter
from imle_solvers.compilation import compiled

ADAPTERS = {
    "cells": ShortestPathAdapter.grid(7, 9),
    "edges of a grid": ShortestPathAdapter.grid(7, 9, 4, "edge"),
    "acyclic": ShortestPathAdapter(nx.DiGraph((i, j) for i in range(9) for j in range(i + 1, 9)), 0, 8),
    "cyclic": ShortestPathAdapter(nx.gnp_random_graph(20, 0.3, seed=0, directed=True), 0, 19),
}


@pytest.fixture(params=ADAPTERS)
def adapter(request):
    return ADAPTERS[request.param]


@pytest.fixture
def thetas(adapter):
    """Few values, so that almost every instance has several cheapest paths."""
    return np.random.default_rng(0).integers(0, 3, (40, *adapter.instance_shape)).astype(np.float32)


def solve(adapter, thetas):
    return adapter.solve_batch(adapter.build(), thetas, {}).values


def test_whatever_else_is_in_the_batch(adapter, thetas):
    together = solve(adapter, thetas)
    np.testing.assert_array_equal(together[::-1], solve(adapter, np.ascontiguousarray(thetas[::-1])))
    np.testing.assert_array_equal(together, np.concatenate([solve(adapter, theta[None]) for theta in thetas]))


def test_whichever_thread_solves_it(adapter, thetas):
    together = solve(adapter, thetas)
    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(lambda _: solve(adapter, thetas), range(8)):
            np.testing.assert_array_equal(values, together)


def test_after_pickling(adapter, thetas):
    copy = pickle.loads(pickle.dumps(adapter))
    assert (copy.nodes, copy.edges, repr(copy)) == (adapter.nodes, adapter.edges, repr(adapter))
    np.testing.assert_array_equal(solve(copy, thetas), solve(adapter, thetas))


def test_in_either_precision_and_in_memory_that_cannot_be_written(adapter, thetas):
    together = solve(adapter, thetas)
    assert together.dtype == np.float32
    double = solve(adapter, thetas.astype(np.float64))
    assert double.dtype == np.float64
    np.testing.assert_array_equal(double, together)
    before = thetas.copy()
    thetas.flags.writeable = False
    np.testing.assert_array_equal(solve(adapter, thetas), together)
    np.testing.assert_array_equal(thetas, before)


def test_no_graph_travels_with_the_adapter():
    graph = nx.path_graph(3)
    graph.graph["unpicklable"] = lambda: None
    assert b"networkx" not in pickle.dumps(ShortestPathAdapter(graph, 0, 2))


PROGRAM = """
import sys
import numpy as np
from imle_solvers.compilation import compiled
from imle_adapters.graphs.shortest_path import ShortestPathAdapter
adapter = ShortestPathAdapter.grid(3, 3)
solutions = adapter.solve_batch(adapter.build(), np.ones((1, 3, 3)), {})
print(int(solutions.values.sum()), [name for name in ("torch", "networkx") if name in sys.modules])
"""


@pytest.mark.slow
def test_a_worker_loads_neither_torch_nor_networkx():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout == "3 []\n", run.stderr


def test_a_kernel_without_a_place_for_its_machine_code_is_compiled_all_the_same():
    namespace = {}
    exec("def double(x):\n    return 2 * x", namespace)  # no file, so no cache
    assert compiled(namespace["double"])(21) == 42
