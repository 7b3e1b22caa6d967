"""Executors: the same result everywhere, errors that arrive, nothing left behind."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter, ShortestPathAdapter
from imle_solvers import (
    AdapterError,
    AutoExecutor,
    ClosedError,
    ProcessExecutor,
    SerialExecutor,
    Solutions,
    SolverAdapter,
    SolverLayer,
    Status,
    ThreadExecutor,
)
from imle_solvers.executors.base import chunk_bounds
from imle_solvers.executors.by_name import make_executor
from tests.solvers import (
    CountingAdapter,
    UnbuildableAdapter,
    fail_on_negative,
    fail_unpicklably,
    function_adapter,
    identity,
    loaded_modules,
    nan_on_negative,
    top_k,
)

KINDS = {
    "serial": SerialExecutor,
    "one thread": lambda: ThreadExecutor(1),
    "two threads": lambda: ThreadExecutor(2),
    "one process": lambda: ProcessExecutor(1),
    "two processes": lambda: ProcessExecutor(2),
    "auto": lambda: AutoExecutor(2),
}


@pytest.fixture(params=KINDS)
def executor(request):
    with KINDS[request.param]() as executor:
        yield executor


@pytest.fixture(scope="module")
def processes():
    with ProcessExecutor(2) as executor:
        yield executor


ADAPTERS = {
    "enumeration": lambda: top_k(6, 2),
    "shortest path": lambda: ShortestPathAdapter.grid(4, 5),
    "assignment": lambda: AssignmentAdapter(3, 4),
    "a closure": lambda: function_adapter(lambda theta: np.sort(theta), n=4),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_executor_gives_the_same_samples_and_gradients(executor, name):
    adapter = ADAPTERS[name]()
    results = []
    for place in (SerialExecutor(), executor):
        layer = SolverLayer(adapter, num_samples=3, executor=place, generator=torch.Generator().manual_seed(0))
        theta = torch.rand(7, *adapter.instance_shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        z = layer(theta)
        (z * torch.linspace(-1, 1, z.numel()).view_as(z)).sum().backward()
        results.append((z.detach(), theta.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_order_is_kept_for_any_batch_size(executor, rows):
    thetas = np.arange(rows * 2.0).reshape(rows, 2)
    solved = executor.solve(function_adapter(identity), thetas)
    np.testing.assert_array_equal(solved.values, thetas)
    np.testing.assert_array_equal(solved.statuses, np.zeros(rows))


def test_an_empty_batch_starts_no_work(executor):
    solved = executor.solve(UnbuildableAdapter(), np.zeros((0, 2)))
    assert solved.values.shape == (0, 2)


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
@pytest.mark.parametrize("chunks", [1, 2, 64])
def test_chunks_cover_the_batch_once(rows, chunks):
    bounds = chunk_bounds(rows, chunks)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(rows))
    assert all(start < stop for start, stop in bounds)


def test_state_is_built_once_in_each_worker(processes):
    adapter = CountingAdapter()
    solves, pids = np.concatenate([processes.solve(adapter, np.zeros((20, 2))).values for _ in range(5)]).T
    assert os.getpid() not in pids
    assert len(set(pids)) <= 2
    for pid in set(pids):  # a state built again would count from one again
        assert sorted(solves[pids == pid]) == list(range(1, (pids == pid).sum() + 1))


def test_workers_import_neither_torch_nor_the_main_script(processes):
    values = processes.solve(function_adapter(loaded_modules), np.zeros((4, 2))).values
    np.testing.assert_array_equal(values, np.zeros((4, 2)))


def test_many_adapters_share_the_workers(processes):
    adapters = [function_adapter(identity, n=n) for n in range(1, 6)]
    for _ in range(2):
        for n, adapter in enumerate(adapters, start=1):
            assert processes.solve(adapter, np.ones((3, n))).values.sum() == 3 * n


def test_workers_forget_adapters_that_are_gone(processes):
    for n in range(1, 30):
        adapter = function_adapter(identity, n=n)
        processes.solve(adapter, np.ones((2, n)))
        del adapter
    gc.collect()
    processes.solve(function_adapter(identity), np.ones((2, 2)))
    assert len(processes._adapters._known) <= 2
    assert all(len(worker.known) <= 2 for worker in processes._pool._workers)


def test_a_solver_that_raises(executor):
    thetas = np.ones((20, 2))
    thetas[[13, 17], 0] = -1
    with pytest.raises(
        AdapterError, match="row 13 of the batch.*fail_on_negative.*ZeroDivisionError: negative theta"
    ) as info:
        executor.solve(function_adapter(fail_on_negative), thetas)
    assert info.value.row == 13
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    if isinstance(executor, ProcessExecutor):
        assert any("in fail_on_negative" in note for note in info.value.__notes__)
    assert executor.solve(function_adapter(fail_on_negative), np.ones((20, 2))).values.sum() == 40


def test_the_layer_names_instance_and_sample(executor):
    layer = SolverLayer(function_adapter(fail_on_negative), num_samples=4, executor=executor)
    theta = torch.ones(5, 2) * 1e9
    theta[3, 0] = -1e9
    with pytest.raises(AdapterError, match="instance 3, sample 0"):
        layer(theta)


def test_an_exception_that_does_not_pickle_still_arrives(executor):
    with pytest.raises(AdapterError, match="UnpicklableError: a"):
        executor.solve(function_adapter(fail_unpicklably), np.ones((2, 2)))


def test_an_exception_of_a_module_that_only_the_worker_finds_still_arrives(processes, tmp_path):
    (tmp_path / "of_the_worker.py").write_text("class Strange(Exception):\n    pass\n")

    def fail(theta):
        sys.path.append(str(tmp_path))
        import of_the_worker

        raise of_the_worker.Strange("a")

    with pytest.raises(AdapterError, match="row 0 .*Strange: a") as info:
        processes.solve(function_adapter(fail), np.ones((2, 2)))
    assert info.value.__cause__ is None
    assert any("of_the_worker.Strange" in note for note in info.value.__notes__)


def test_a_state_that_cannot_be_built(executor):
    with pytest.raises(AdapterError, match="could not build its state: OSError: no licence"):
        executor.solve(UnbuildableAdapter(), np.ones((2, 2)))


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((2, 2)), 1.0, None, "text"], ids=str)
def test_a_solution_of_the_wrong_shape(executor, wrong):
    with pytest.raises(AdapterError, match=r"row 0 .*(expected a solution|could not convert)"):
        executor.solve(function_adapter(lambda theta: wrong), np.ones((2, 2)))


class Returns(SolverAdapter):
    """Returns these solutions and statuses, whatever they are."""

    sense, instance_shape = "max", (2,)

    def __init__(self, values, statuses):
        self.values, self.statuses = values, statuses

    def solve_batch(self, state, thetas, context):
        return Solutions(self.values, self.statuses)


def test_a_batch_of_nonsense(executor):
    for values, statuses, message in (
        ([[0.0, 1.0]], np.zeros(1), "expected solutions in an array, got list"),
        (np.ones((1, 2)), [0], "expected statuses in an array, got list"),
        (np.ones((1, 2)), np.array([None]), "expected statuses of real numbers, got object"),
        (np.ones((1, 2)), np.array([6]), "codes of Status, got 6"),
        (np.ones((1, 2)), np.array([-1]), "codes of Status, got -1"),
        (np.ones((1, 2)), np.array([1.5]), "row 0 of the batch: .*codes of Status, got 1.5"),
        (np.ones((1, 2)), np.array([False]), "row 0 of the batch: .*codes of Status, got False"),
        (np.array([[0.0, np.nan]]), np.zeros(1), r"row 0 of the batch: .*expected finite.* OPTIMAL, got nan at \(1,\)"),
        (np.array([[np.inf, 1]]), np.ones(1), r"row 0 of the batch: .*expected finite.* FEASIBLE, got inf at \(0,\)"),
    ):
        with pytest.raises(AdapterError, match=message):
            executor.solve(Returns(values, statuses), np.ones((1, 2)))
    solved = executor.solve(Returns(np.ones((1, 2)), np.array([2.0])), np.ones((1, 2)))
    assert solved.statuses.dtype == np.uint8 and solved.statuses.tolist() == [Status.INFEASIBLE]
    executor.solve(Returns(np.full((1, 2), np.nan), np.array([2])), np.ones((1, 2)))  # nobody looks at it
    with pytest.raises(AdapterError, match="got inf"):  # which it is in theta's dtype
        executor.solve(Returns(np.full((1, 2), 1e300), np.zeros(1)), np.ones((1, 2), np.float32))


def test_of_all_rows_at_fault_the_first_is_named(executor):
    """Whether it raises or returns nonsense, and wherever chunks begin."""
    thetas = np.ones((8, 2))
    thetas[3, 0], thetas[5, 1] = -1, 5
    with pytest.raises(AdapterError, match="row 3 of the batch: .*expected finite"):
        executor.solve(function_adapter(nan_on_negative), thetas.copy())
    thetas[2, 1] = 5
    with pytest.raises(AdapterError, match="row 2 of the batch: .*ZeroDivisionError"):
        executor.solve(function_adapter(nan_on_negative), thetas.copy())


class Reuses(SolverAdapter):
    """Returns the same memory each time."""

    sense, instance_shape = "max", (2,)

    def build(self):
        return Solutions(np.empty((1, 2)), np.empty(1, dtype=np.uint8))

    def solve_batch(self, state, thetas, context):
        state.values[:], state.statuses[:] = thetas, int(thetas[0, 0])
        return Solutions(state.values, state.statuses)


def test_solutions_do_not_change_with_the_next_batch(executor):
    adapter = Reuses()
    first, second = (executor.solve(adapter, np.full((1, 2), status)) for status in (1.0, 2.0))
    assert (first.values == 1).all() and (first.statuses == 1).all()
    assert (second.values == 2).all() and (second.statuses == 2).all()


def test_use_after_close(executor):
    executor.solve(function_adapter(identity), np.ones((2, 2)))
    executor.close()
    executor.close()
    assert executor.closed
    with pytest.raises(ClosedError, match="make a new one"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))
    with pytest.raises(ClosedError):
        SolverLayer(top_k(3, 1), executor=executor)


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


def test_close_in_a_callback_is_for_after_the_batch(executor):
    if isinstance(executor, AutoExecutor):
        pytest.skip("is several executors, of which some come to their part of the batch after the close")
    solved = executor.solve(
        function_adapter(identity), np.ones((20, 2)), on_progress=lambda solved, rows: executor.close()
    )
    assert solved.values.sum() == 40
    assert executor.closed and getattr(executor, "_pool", None) is None


def test_a_callback_cannot_solve_with_the_workers_that_are_at_it(processes):
    def again(solved, rows):
        processes.solve(function_adapter(identity), np.ones((4, 2)))

    with pytest.raises(RuntimeError, match="in the middle of a batch in this thread"):
        processes.solve(function_adapter(identity), np.ones((4, 2)), on_progress=again)


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
def test_a_copy_is_a_new_executor_of_the_same_settings(executor, clone):
    with clone(executor) as twin:
        executor.close()
        assert repr(twin) == repr(executor)
        assert twin.solve(function_adapter(identity), np.ones((2, 2))).values.sum() == 4


def running(pids):
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def worker_pids(executor):
    return [process.pid for process in executor._pool.processes]


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts processes and files in /proc")
@pytest.mark.parametrize("end", ["close", "collect"])
def test_nothing_is_left_behind(end):
    def use():
        layer = SolverLayer(top_k(3, 1), executor="processes", num_workers=2)
        layer(torch.zeros(4, 3))
        pids = worker_pids(layer._executor)
        assert len(running(pids)) == 2
        if end == "close":
            layer.close()
        return pids

    use()
    gc.collect()
    before = open_files()
    for _ in range(3):
        pids = use()
        gc.collect()
        assert running(pids) == []
    assert open_files() == before


def test_threads_end_with_their_executor():
    before = threading.active_count()
    ThreadExecutor(2).solve(function_adapter(identity), np.ones((8, 2)))
    gc.collect()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before  # the watch over long solves may have ended, too


def test_one_executor_used_from_several_threads(executor):
    adapter, errors = function_adapter(identity), []

    def use(value):
        for _ in range(10):
            thetas = np.full((9, 2), value)
            if not np.array_equal(executor.solve(adapter, thetas).values, thetas):
                errors.append(value)

    threads = [threading.Thread(target=use, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def run_script(folder, text, interactive=False):
    """Runs a program from a file, or fed to the interpreter, where there is no file just as in a notebook."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    with path.open() as file:
        return subprocess.run(
            [sys.executable, "-" if interactive else str(path)],
            stdin=file,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.mark.parametrize("interactive", [False, True], ids=["script", "notebook"])
def test_a_script_needs_no_main_guard(tmp_path, interactive):
    """Functions and classes of the script travel to workers; the script runs once; the exit is silent."""
    run = run_script(
        tmp_path,
        """
        import numpy as np, torch
        from imle_solvers import FunctionAdapter, SolverAdapter, SolverLayer

        print("script runs")

        def largest(theta):
            return (theta == theta.max()).astype(float)

        class Smallest(SolverAdapter):
            sense, instance_shape = "min", (4,)
            def solve(self, state, theta):
                return (theta == theta.min()).astype(float)

        for adapter in (FunctionAdapter(largest, sense="max", instance_shape=(4,)), Smallest()):
            layer = SolverLayer(adapter, executor="processes", num_workers=2)
            print(int(layer(torch.randn(6, 4)).sum()))
        """,
        interactive,
    )
    assert (run.returncode, run.stdout.split("\n"), run.stderr) == (0, ["script runs", "6", "6", ""], "")


@pytest.mark.parametrize("interactive", [False, True], ids=["script", "notebook"])
def test_a_module_next_to_the_script_is_found_by_workers(tmp_path, interactive):
    (tmp_path / "my_solver.py").write_text("def solve(theta):\n    return theta * 2\n")
    run = run_script(
        tmp_path,
        """
        import numpy as np
        from my_solver import solve
        from imle_solvers import FunctionAdapter, ProcessExecutor

        with ProcessExecutor(1) as executor:
            adapter = FunctionAdapter(solve, sense="max", instance_shape=(2,))
            print(executor.solve(adapter, np.ones((2, 2))).values.sum())
        """,
        interactive,
    )
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "8.0", "")


def test_a_fork_gets_workers_of_its_own(processes):
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    adapter = function_adapter(identity)
    processes.solve(adapter, np.ones((4, 2)))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = int(processes.solve(adapter, np.ones((4, 2))).values.sum() != 8)
            processes.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert processes.solve(adapter, np.ones((4, 2))).values.sum() == 8


@pytest.mark.parametrize(
    ("name", "num_workers", "message"),
    [
        ("fast", None, "unknown executor 'fast'; expected one of auto, serial, threads, processes"),
        (None, -1, "0 .in-process. or more, got -1"),
        ("serial", 2, "no workers, got num_workers=2"),
        ("threads", 0, "at least 1, got 0"),
    ],
)
def test_bad_settings(name, num_workers, message):
    with pytest.raises(ValueError, match=message):
        make_executor(name, num_workers)


@pytest.mark.parametrize("kind", [ThreadExecutor, ProcessExecutor])
def test_bad_numbers_of_workers(kind):
    with pytest.raises(ValueError, match="at least 1"):
        kind(0)
    with pytest.raises(TypeError, match="int or None"):
        kind(1.5)


def test_a_given_executor_has_its_own_number_of_workers():
    with pytest.raises(ValueError, match="leave it out"):
        SolverLayer(top_k(3, 1), executor=SerialExecutor(), num_workers=2)
