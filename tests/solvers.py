"""Small solvers that tests send to workers, so they live in a module that workers can import."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from typing import Any

import numpy as np

from imle_solvers.adapter import Parallelism, Solutions, SolverAdapter
from imle_solvers.function_adapter import FunctionAdapter
from imle_solvers.gaps import gaps_of
from imle_solvers.status import Status


class EnumeratedAdapter(SolverAdapter):
    """Solves by looking at every solution of a list, first best wins."""

    def __init__(self, solutions, sense="max", parallelism=Parallelism.PROCESSES):
        self.solutions = np.asarray(solutions, dtype=float)
        self.sense = sense
        self.parallelism = parallelism
        self.instance_shape = self.solutions.shape[1:]

    def is_binary(self, context):
        return bool(np.isin(self.solutions, [0, 1]).all())

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


def nan_on_negative(theta):
    if theta[1] == 5:
        raise ZeroDivisionError
    return theta if theta[0] >= 0 else theta * np.nan


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


def slow(theta):
    time.sleep(float(theta[0]))
    return theta


class Broken(SolverAdapter):
    """Breaks a promise of adapters; "not" keeps them all."""

    sense = "max"
    instance_shape = (3,)

    def __init__(self, how):
        self.how = how

    def build(self):
        return {"seen": 0}

    def solve(self, state, theta):
        state["seen"] += 1
        z = np.zeros(3)
        z[theta.argmin() if self.how == "worse" else theta.argmax()] = 1
        if self.how == "history" and state["seen"] > 4:
            z = np.roll(z, 1)
        if self.how == "random":
            z = np.roll(z, np.random.default_rng().integers(3))
        return z


class Returns(SolverAdapter):
    """Returns these solutions and statuses, whatever they are."""

    sense, instance_shape = "max", (2,)

    def __init__(self, values, statuses):
        self.values, self.statuses = values, statuses

    def solve_batch(self, state, thetas, context):
        return Solutions(self.values, self.statuses)


class GapAdapter(SolverAdapter):
    """Theta is the status and the gap of an instance: none below 0, infinity from 9 on. By the batch if told so."""

    sense, instance_shape = "max", (2,)

    def __init__(self, batched=False):
        self.batched = batched

    def solve(self, state, theta):
        status, gap = Status(int(theta[0])), float(theta[1])
        return (theta, status) if gap < 0 else (theta, status, np.inf if gap >= 9 else gap)

    def solve_batch(self, state, thetas, context):
        if not self.batched:
            return super().solve_batch(state, thetas, context)
        statuses, gaps = thetas[:, 0].astype(np.uint8), np.where(thetas[:, 1] >= 9, np.inf, thetas[:, 1])
        told = None if (gaps < 0).all() else np.where(gaps < 0, gaps_of(statuses), gaps)
        return Solutions(thetas.copy(), statuses, fresh=True, gaps=told)


class Reuses(SolverAdapter):
    """Returns the same memory each time."""

    sense, instance_shape = "max", (2,)

    def build(self):
        return Solutions(np.empty((1, 2)), np.empty(1, dtype=np.uint8))

    def solve_batch(self, state, thetas, context):
        state.values[:], state.statuses[:] = thetas, int(thetas[0, 0])
        return Solutions(state.values, state.statuses)
