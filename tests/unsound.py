"""Adapters that break one promise each, in a module that workers can import."""

from __future__ import annotations

import os
import threading
import time

import numpy as np

from imle_solvers.adapter import Solutions, SolverAdapter
from imle_solvers.errors import InputError
from imle_solvers.status import Status

N = 5


class Sound(SolverAdapter):
    """The largest entry, the first of several."""

    sense, instance_shape, is_binary, num_ones = "max", (N,), True, 1

    def build(self):
        return {}

    def solve(self, state, theta):
        return np.eye(N)[theta.argmax()]


class Turned(Sound):
    sense = "min"


class Counts(Sound):
    """The first solves are as they should be."""

    def build(self):
        return {"seen": 0}

    def solve(self, state, theta):
        state["seen"] += 1
        return np.roll(super().solve(state, theta), state["seen"] > 60)


class Unsettled(Sound):
    """Changes its mind about how to solve at each batch."""

    def check(self, thetas, context):
        self.revision += 1


class Ends(Sound):
    """Ends the process, as a fault of native code does."""

    def solve(self, state, theta):
        os._exit(3)


class EndsAtOnce(Sound):
    def build(self):
        os._exit(3)


class Remembers(Sound):
    """Keeps the last solution as long as it is as good as any."""

    def solve(self, state, theta):
        last = state.get("last")
        if last is None or theta[last] < theta.max():
            state["last"] = last = int(theta.argmax())
        return np.eye(N)[last]


class Rows(Sound):
    """The last row of a batch is solved for the first."""

    def solve_batch(self, state, thetas, context):
        values = np.eye(N)[thetas.argmax(1)]
        if len(thetas) > 1:
            values[-1] = values[0]
        return Solutions(values, np.zeros(len(thetas), np.uint8))


class Shares(Sound):
    """One buffer for all threads, each of which waits for the other between writing and reading."""

    def __init__(self):
        self.buffer = np.zeros(N)

    def solve(self, state, theta):
        self.buffer[:] = theta
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.002)
        return np.eye(N)[self.buffer.argmax()]


class Fresh(Sound):
    """Returns the same memory each time, and says that it does not."""

    def build(self):
        return {}

    def solve_batch(self, state, thetas, context):
        values = state.setdefault(len(thetas), np.zeros(thetas.shape))
        values[:] = np.eye(N)[thetas.argmax(1)]
        return Solutions(values, np.zeros(len(thetas), np.uint8), fresh=True)


class Clamps(Sound):
    sense = "min"

    def solve_batch(self, state, thetas, context):
        counters = {"clamped costs": int((thetas < 0).sum())}
        values = np.eye(N)[np.maximum(thetas, 0).argmin(1)]
        return Solutions(values, np.zeros(len(thetas), np.uint8), counters)


class Refuses(Clamps):
    def check(self, thetas, context):
        wrong = (thetas < 0).any(1)
        if wrong.any():
            raise InputError("below zero", int(wrong.argmax()))


class GivesUp(Sound):
    def solve(self, state, theta):
        return (None, Status.INFEASIBLE) if (theta < 0).any() else super().solve(state, theta)


class Raises(Sound):
    def solve(self, state, theta):
        if (theta < 0).any():
            raise ArithmeticError("contradictory paths found")
        return super().solve(state, theta)


class NotFinite(Sound):
    def solve(self, state, theta):
        return np.log(super().solve(state, theta)) if (theta < 0).any() else super().solve(state, theta)


class RarelyHalf(Sound):
    """Halves, where two entries are large: for none of the given, and few of the others."""

    def solve(self, state, theta):
        z = super().solve(state, theta)
        return z / 2 if np.sort(theta)[-2] > 8 else z


class Halves(Sound):
    def solve(self, state, theta):
        return super().solve(state, theta) / 2


class Deaf(Sound):
    context = {"mask": (N,), "k": ()}

    def solve(self, state, theta, mask, k):
        return np.eye(N)[np.where(mask, theta, -np.inf).argmax()]


class Locked(Sound):
    def __init__(self):
        self.tools = {"lock": threading.Lock()}


class HashOrder(Sound):
    """Ties are decided by the order of a set of names, which is another one in each process."""

    def solve(self, state, theta):
        best = {f"entry {index}" for index in np.flatnonzero(theta == theta.max())}
        return np.eye(N)[int(next(iter(best)).split()[1])]
