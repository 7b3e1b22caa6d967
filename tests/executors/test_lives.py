"""The life of an executor: copies, the end, and that nothing is left behind."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from imle_solvers import AutoExecutor, ClosedError, ProcessExecutor, SolverLayer, ThreadExecutor
from tests.programs import pids
from tests.solvers import function_adapter, identity, top_k


def test_use_after_close(fresh):
    fresh.solve(function_adapter(identity), np.ones((2, 2)))
    fresh.close()
    fresh.close()
    assert fresh.closed
    with pytest.raises(ClosedError, match="make a new one"):
        fresh.solve(function_adapter(identity), np.ones((2, 2)))
    with pytest.raises(ClosedError):
        SolverLayer(top_k(3, 1), executor=fresh)


def test_close_while_another_thread_is_in_a_batch_that_fails():
    executor, begun = ProcessExecutor(1), threading.Event()

    def stop(solved, rows):
        begun.set()
        while not executor.closed:
            time.sleep(0.01)
        time.sleep(0.2)  # in which close() comes to wait for the batch
        raise RuntimeError("enough")

    def use():
        with pytest.raises(RuntimeError, match="enough"):
            executor.solve(function_adapter(identity), np.ones((4, 2)), on_progress=stop)

    thread = threading.Thread(target=use)
    thread.start()
    begun.wait()
    executor.close()
    thread.join()
    assert executor._pool is None


def test_close_in_a_callback_is_for_after_the_batch(fresh):
    if isinstance(fresh, AutoExecutor):
        pytest.skip("is several executors, of which some come to their part of the batch after the close")
    solved = fresh.solve(function_adapter(identity), np.ones((20, 2)), on_progress=lambda solved, rows: fresh.close())
    assert solved.values.sum() == 40
    assert fresh.closed and getattr(fresh, "_pool", None) is None and getattr(fresh, "_actors", None) is None


def test_a_callback_cannot_solve_with_the_workers_that_are_at_it(workers):
    def again(solved, rows):
        workers.solve(function_adapter(identity), np.ones((4, 2)))

    with pytest.raises(RuntimeError, match="in the middle of a batch in this thread"):
        workers.solve(function_adapter(identity), np.ones((4, 2)), on_progress=again)


def test_a_batch_that_waited_for_its_turn_starts_no_workers_after_close():
    executor = ProcessExecutor(1)
    with ThreadPoolExecutor(2) as threads:
        with executor._lock:
            batch = threads.submit(executor.solve, function_adapter(identity), np.ones((4, 2)))
            time.sleep(0.1)
            closing = threads.submit(executor.close)
            while not executor.closed:
                time.sleep(0.01)
        closing.result()
        with pytest.raises(ClosedError):
            batch.result()
    assert executor._pool is None


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_a_new_executor_of_the_same_settings(fresh, clone):
    with clone(fresh) as twin:
        fresh.close()
        assert repr(twin) == repr(fresh)
        assert twin.solve(function_adapter(identity), np.ones((2, 2))).values.sum() == 4


def running(pids):
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts processes and files in /proc")
@pytest.mark.parametrize("end", ["close", "collect"])
def test_nothing_is_left_behind(end):
    def use():
        layer = SolverLayer(top_k(3, 1), executor="processes", num_workers=2)
        layer(torch.zeros(4, 3))
        workers = pids(layer._executor)
        assert len(running(workers)) == 2
        if end == "close":
            layer.close()
        return workers

    use()
    gc.collect()
    before = open_files()
    for _ in range(3):
        workers = use()
        gc.collect()
        assert running(workers) == []
    assert open_files() == before


def test_threads_end_with_their_executor():
    before = threading.active_count()
    ThreadExecutor(2).solve(function_adapter(identity), np.ones((8, 2)))
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before  # the watch over long solves may have ended, too
