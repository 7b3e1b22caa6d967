"""Small solvers that tests send to workers, so they live in a module that workers can import."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

import numpy as np

from imle_solvers.adapter import Parallelism, SolverAdapter
from imle_solvers.function_adapter import FunctionAdapter
from imle_solvers.status import Status


class EnumeratedAdapter(SolverAdapter):
    """Solves by looking at every solution of a list, first best wins."""

    def __init__(self, solutions, sense="max", parallelism=Parallelism.PROCESSES):
        self.solutions = np.asarray(solutions, dtype=float)
        self.sense = sense
        self.parallelism = parallelism
        self.instance_shape = self.solutions.shape[1:]

    def solve(self, state, theta):
        values = np.tensordot(self.solutions, theta.astype(float), axes=theta.ndim)
        return self.solutions[int(values.argmax() if self.sense == "max" else values.argmin())]


def subsets(n, k):
    """All 0/1 vectors of n entries with k ones, (C(n, k), n)."""
    rows = [[float(i in chosen) for i in range(n)] for chosen in itertools.combinations(range(n), k)]
    return np.array(rows)


def top_k(n, k, sense="max", **kwargs):
    return EnumeratedAdapter(subsets(n, k), sense, **kwargs)


class StatusAdapter(SolverAdapter):
    """Ends as the context says; the solution is theta itself."""

    sense = "max"
    instance_shape = (3,)
    context = {"status": ()}

    def solve(self, state, theta, status=Status.OPTIMAL):
        status = Status(int(status))
        return (theta if status <= Status.FEASIBLE else None), status


class CountingAdapter(SolverAdapter):
    """The solution says how many solves this state has seen, and in which process."""

    sense = "max"
    instance_shape = (2,)

    def build(self):
        return {"solves": 0}

    def solve(self, state, theta):
        state["solves"] += 1
        return [state["solves"], os.getpid()]


class UnbuildableAdapter(SolverAdapter):
    sense = "max"
    instance_shape = (2,)

    def build(self):
        raise OSError("no licence")


def identity(theta):
    return theta


def fail_on_negative(theta):
    if theta[0] < 0:
        raise ZeroDivisionError("negative theta")
    return theta


def kill_on_negative(theta):
    if theta[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return theta


def loaded_modules(theta):
    """Ones where torch, or the main script of the test run, was imported."""
    return np.array([float(name in sys.modules) for name in ("torch", "pytest")])


class UnpicklableError(Exception):
    def __init__(self, first, second):
        super().__init__(first)


def fail_unpicklably(theta):
    raise UnpicklableError("a", "b")


def function_adapter(fn, n=2, **kwargs: Any):
    return FunctionAdapter(fn, **{"sense": "max", "instance_shape": (n,), **kwargs})
