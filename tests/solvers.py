"""Small solvers that tests send to workers, so they live in a module that workers can import."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
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


class FaultyAdapter(SolverAdapter):
    """Does to its worker what theta[0] says: 1 kills it, 2 kills it the first time only, 3 hangs, 4 leaves by os._exit.

    What happened the first time is remembered in a folder.
    """

    sense = "max"
    instance_shape = (2,)

    def __init__(self, folder):
        self.folder = str(folder)

    def solve(self, state, theta):
        what = int(theta[0])
        if what == 1 or (what == 2 and self._first_time(theta[1])):
            theta[:] = -1  # what a solver has done to its input does not reach the second try
            os.kill(os.getpid(), signal.SIGKILL)
        if what == 3:
            time.sleep(3600)
        if what == 4:
            os._exit(3)
        return theta * 2

    def _first_time(self, name):
        try:
            os.close(os.open(os.path.join(self.folder, str(name)), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


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


class SlowToBuild(FaultyAdapter):
    """Builds its state for longer than an instance may take."""

    def build(self):
        time.sleep(1.5)


class KillsWhenBuilt(FaultyAdapter):
    """Kills its worker each time that its state is built but for the first."""

    def build(self):
        if not self._first_time("built"):
            os.kill(os.getpid(), signal.SIGKILL)
