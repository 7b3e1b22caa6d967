"""Adapters that do harm to their worker, what to tell them, and what must come of it; workers can import it."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from imle_solvers.adapter import SolverAdapter
from imle_solvers.status import Status

SOUND, KILLS, KILLS_ONCE, HANGS, EXITS = range(5)


def batch(*faults, rows=20):
    """Rows that are told apart by their second entry, with these faults at these rows."""
    thetas = np.zeros((rows, 2))
    thetas[:, 1] = np.arange(rows)
    for row, fault in faults:
        thetas[row, 0] = fault
    return thetas


def check(solved, thetas, **failed):
    """Every row is right, but those that failed as told."""
    statuses = np.zeros(len(thetas), dtype=np.uint8)
    for name, rows in failed.items():
        statuses[rows] = Status[name]
    np.testing.assert_array_equal(solved.statuses, statuses)
    np.testing.assert_array_equal(solved.values, np.where(statuses[:, None] == 0, thetas * 2, 0))


class FaultyAdapter(SolverAdapter):
    """Does to its worker what theta[0] says: kills it, or the first time only, hangs, or leaves by os._exit.

    What happened the first time is remembered in a folder.
    """

    sense = "max"
    instance_shape = (2,)

    def __init__(self, folder):
        self.folder = str(folder)

    def solve(self, state, theta):
        fault = int(theta[0])
        if fault == KILLS or (fault == KILLS_ONCE and self._first_time(theta[1])):
            theta[:] = -1  # what a solver has done to its input does not reach the second try
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == HANGS:
            time.sleep(3600)
        if fault == EXITS:
            os._exit(3)
        return theta * 2

    def _first_time(self, name):
        try:
            os.close(os.open(os.path.join(self.folder, str(name)), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


class SlowToBuild(FaultyAdapter):
    """Builds its state for longer than an instance may take."""

    def build(self):
        time.sleep(1.5)


class KillsWhenBuilt(FaultyAdapter):
    """Kills its worker each time that its state is built but for the first."""

    def build(self):
        if not self._first_time("built"):
            os.kill(os.getpid(), signal.SIGKILL)
