"""Everything at once for a while: what workers do under random faults, against the result in process.

For IMLE_SOAK_SECONDS, 6 without it. Two minutes, and what happened in them:

    IMLE_SOAK_SECONDS=120 python -m pytest tests/test_soak.py -s
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from imle_solvers import (
    AdapterError,
    ProcessExecutor,
    SerialExecutor,
    SolverAdapter,
    SolverLayer,
    Status,
    WorkerDiedError,
)
from imle_solvers.executors.backlog import RESTARTS

SECONDS = float(os.environ.get("IMLE_SOAK_SECONDS", "6"))
TIMEOUT = 3.0
"""Long beside a sound solve on a busy machine, short beside the test."""

WORKERS, THREADS = 3, 3
SOUND, SLOW, KILLS, EXITS, RAISES, HANGS = range(6)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def make_adapter(n):
    """Of a class that only exists here, so that it travels by value and workers need not import this module."""

    class Sorted(SolverAdapter):
        sense, instance_shape = "max", (n,)
        context = {"fault": (), "shift": (n,)}

        def build(self):
            return np.arange(n)

        def solve(self, state, theta, fault=SOUND, shift=0):
            if fault == SLOW:
                time.sleep(0.01)
            if fault == KILLS:
                theta[:] = -1
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == EXITS:
                os._exit(3)
            if fault == RAISES:
                raise ValueError("as told")
            if fault == HANGS:
                time.sleep(3600)
            return np.sort(theta) * 3 + shift + state

    return Sorted()


class User:
    """One of several that share executors, each with layers of its own."""

    def __init__(self, executors, seed):
        self.executors = executors
        self.rng = np.random.default_rng(seed)
        self.counts = Counter()
        self.layers = {}
        self.error = None

    def run(self, deadline):
        try:
            while time.monotonic() < deadline:
                self.solve_one_batch()
        except BaseException as error:
            self.error = error
        self.layers.clear()

    def solve_one_batch(self):
        n, hangs = int(self.rng.integers(1, 40)), bool(self.rng.integers(2))
        if (n, hangs) in self.layers and self.rng.random() < 0.3:
            del self.layers[n, hangs]
        if (n, hangs) not in self.layers:
            self.layers[n, hangs] = SolverLayer(
                make_adapter(n), executor=self.executors[hangs], on_failure="zero_grad"
            ).eval()
        layer = self.layers[n, hangs]
        faults, context, theta = self.draw(n, hangs)
        before = Counter(layer.stats().statuses)
        try:
            solved = layer.map(theta, fault=faults, **context)
        except AdapterError:
            if RAISES not in faults:
                raise
            self.counts["raised"] += 1
            return
        except WorkerDiedError:  # three were killed from outside before they had solved anything
            self.counts["refused"] += 1
            return
        ended = Counter(layer.stats().statuses) - before
        self.counts.update(batches=1, instances=len(theta))
        self.counts.update({status.name: count for status, count in ended.items()})
        with SolverLayer(layer.adapter, executor=SerialExecutor()) as reference:
            sound = torch.from_numpy(faults <= SLOW)
            expected = reference.map(theta[sound], **{name: array[sound.numpy()] for name, array in context.items()})
        assert solved.dtype == theta.dtype and not solved[~sound].any()
        right = (solved[sound] == expected).all(1)
        # A worker that is killed from outside twice with the same row is taken for a victim of the row.
        lost = int((~right).sum())
        assert not solved[sound][~right].any()
        self.counts["lost"] += lost + int((faults == RAISES).sum())
        # What hangs and is killed from outside twice is CRASHED, too.
        assert ended[Status.OPTIMAL] == len(right) - lost
        assert ended[Status.TIMEOUT] <= (faults == HANGS).sum()
        assert ended[Status.TIMEOUT] + ended[Status.CRASHED] == (~sound).sum() + lost

    def draw(self, n, hangs):
        """Faults, context and theta of a batch."""
        rows = int(self.rng.integers(1, 60))
        faults = self.rng.choice([SOUND, SLOW], size=rows, p=[0.8, 0.2])
        if self.rng.random() < 0.2:
            kinds = [KILLS, EXITS, RAISES] + [HANGS] * hangs
            faults[self.rng.integers(0, rows, self.rng.integers(1, 3))] = self.rng.choice(kinds)
        # Never zero, so that a row of zeros is one that failed.
        theta = torch.from_numpy(self.rng.uniform(1, 2, (rows, n))).to(DTYPES[self.rng.integers(len(DTYPES))])
        context = {"shift": self.rng.integers(0, 9, (rows, n))} if self.rng.random() < 0.5 else {}
        return faults, context, theta


def kill_now_and_then(executors, deadline, rng, counts):
    """As the out-of-memory killer would."""
    while time.monotonic() < deadline:
        time.sleep(rng.uniform(0.2, 1.5))
        pool = executors[rng.integers(len(executors))]._pool
        for process in rng.permutation(pool.processes)[: rng.integers(1, WORKERS + 1)] if pool else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
                counts["killed"] += 1


def children():
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


def private_memory():
    """In MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().split("\n")
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="looks at processes in /proc")
def test_random_faults_for_a_while():
    gc.collect()
    processes, files = children(), len(os.listdir("/proc/self/fd"))
    executors, counts = [ProcessExecutor(WORKERS), ProcessExecutor(WORKERS, timeout=TIMEOUT)], Counter()
    deadline = time.monotonic() + SECONDS
    users = [User(executors, seed) for seed in range(THREADS)]
    threads = [threading.Thread(target=user.run, args=(deadline,), daemon=True) for user in users]
    arguments = executors, deadline, np.random.default_rng(THREADS), counts
    threads.append(threading.Thread(target=kill_now_and_then, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 2)
    memory = private_memory()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) + 60)
        assert not thread.is_alive(), "hangs"
    for user in users:
        if user.error is not None:
            raise user.error
        counts.update(user.counts)
    for executor in executors:
        executor.solve(make_adapter(3), np.ones((20, 3)))  # replaces those that were killed last
        solved = executor.solve(make_adapter(3), np.ones((20, 3)))
        assert not solved.statuses.any() and RESTARTS not in solved.counters
        executor.close()
    gc.collect()
    print(dict(counts), f"{memory:.0f} MB, {private_memory():.0f} MB")
    assert counts["lost"] + 3 * counts["refused"] <= counts["killed"]
    assert counts["batches"] and counts["killed"]
    assert children() == processes
    assert len(os.listdir("/proc/self/fd")) == files
    assert private_memory() < memory + 30
