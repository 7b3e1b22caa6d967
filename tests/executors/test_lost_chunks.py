"""Rows that were given to a worker which died are solved by another, whenever it died."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np

from imle_solvers import ProcessExecutor, SolverAdapter


class DiesSoon(SolverAdapter):
    """Solves by doubling; a worker that has solved a negative theta dies a moment later, once, with nothing to do."""

    sense, instance_shape = "max", (1,)

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def solve(self, state, theta):
        if theta[0] < 0 and not os.path.exists(self.mark):
            with open(self.mark, "w"):
                threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return 2 * theta


def test_a_worker_that_dies_between_chunks_takes_none_with_it(tmp_path):
    """It is found dead when it is to get its next chunk, and must not get another one ahead as well."""
    theta = np.arange(1.0, 401.0)[:, None]
    theta[0] = -1
    slept = []

    def on_progress(solved, rows):
        if not slept:
            slept.append(solved)
            time.sleep(0.3)  # until it has died

    with ProcessExecutor(1) as executor:
        executor.solve(DiesSoon(str(tmp_path / "other")), np.full((3, 1), 7.5))  # what lies in memory then
        solved = executor.solve(DiesSoon(str(tmp_path / "mark")), theta.copy(), on_progress=on_progress)
    assert (tmp_path / "mark").exists()
    assert not solved.statuses.any()
    assert solved.values.tolist() == (2 * theta).tolist()
