"""Solving on a real Ray cluster: two nodes on this machine, one of which is lost in the middle of a batch."""

from __future__ import annotations

import copy
import gc
import importlib
import logging
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter, ShortestPathAdapter
from imle_solvers import (
    AdapterError,
    ClosedError,
    RayExecutor,
    SerialExecutor,
    SolverLayer,
    WorkerDiedError,
)
from imle_solvers.executors.backlog import RESTARTS
from tests.conftest import ROOT
from tests.executors.test_faults import EXITS, KILLS, KILLS_ONCE, batch, check, gone, kill
from tests.solvers import (
    CountingAdapter,
    FaultyAdapter,
    UnbuildableAdapter,
    fail_on_negative,
    fail_unpicklably,
    function_adapter,
    identity,
    loaded_modules,
    slow,
    top_k,
)

ray = pytest.importorskip("ray", reason="needs Ray, the extra imle-solvers[ray]")
from imle_solvers.executors.cluster import actors, connection  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    # Of Ray's own processes and log files, which it leaves to be collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def shared(cluster):
    with RayExecutor(cluster.address, 2) as executor:
        executor.solve(function_adapter(slow), np.full((8, 2), 0.05))
        wait_until(lambda: len(pids(executor)) == 2, executor)
        yield executor


@pytest.fixture
def free(shared):
    """The cluster's room: for a test that needs it for actors of its own."""
    if shared._actors is not None:
        shared._actors.close()
        shared._actors = None


def pids(executor):
    return executor._actors.process_ids if executor._actors else []


def wait_until(condition, executor, seconds=20.0):
    """Solves small batches, which is when an executor learns of its actors, until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        executor.solve(function_adapter(slow), np.full((2, 2), 0.05))


# --- The same results as in this process ---


ADAPTERS = {
    "enumeration": lambda: top_k(6, 2),
    "shortest path": lambda: ShortestPathAdapter.grid(4, 5),
    "assignment": lambda: AssignmentAdapter(3, 4),
    "a closure": lambda: function_adapter(lambda theta: np.sort(theta), n=4),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_samples_and_gradients_are_those_of_the_executor_in_process(shared, name):
    adapter, results = ADAPTERS[name](), []
    for place in (SerialExecutor(), shared):
        layer = SolverLayer(adapter, num_samples=3, executor=place, generator=torch.Generator().manual_seed(0))
        theta = torch.rand(7, *adapter.instance_shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        z = layer(theta)
        (z * torch.linspace(-1, 1, z.numel()).view_as(z)).sum().backward()
        results.append((z.detach(), theta.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("n", [2, 40_000], ids=["with the call", "by the object store"])
@pytest.mark.parametrize("rows", [1, 2, 50])
def test_order_is_kept(shared, rows, n):
    thetas = np.arange(float(rows * n)).reshape(rows, n)
    solved = shared.solve(function_adapter(identity, n=n), thetas)
    np.testing.assert_array_equal(solved.values, thetas)
    np.testing.assert_array_equal(solved.statuses, np.zeros(rows))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_context_and_dtypes_arrive_and_solvers_may_overwrite_them(shared, dtype):
    def overwrite(theta, mask):  # here, so that it travels by value: this module imports torch
        theta *= mask
        mask[:] = False
        return theta

    rng = np.random.default_rng(0)
    thetas, mask = rng.normal(size=(9, 3)).astype(dtype), rng.random((9, 3)) < 0.5
    before = thetas.copy(), mask.copy()
    adapter = function_adapter(overwrite, n=3, context=["mask"])
    solved = shared.solve(adapter, thetas, {"mask": mask})
    assert solved.values.dtype == dtype
    np.testing.assert_array_equal(solved.values, before[0] * before[1])
    np.testing.assert_array_equal(thetas, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_actors_import_neither_torch_nor_the_main_script_and_keep_to_one_thread(shared):
    def threads(theta):
        return np.array([float(os.environ[name]) for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")])

    values = shared.solve(function_adapter(loaded_modules), np.zeros((8, 2))).values
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(shared.solve(function_adapter(threads), np.zeros((8, 2))).values, 1)


def test_state_is_built_once_in_each_actor_and_both_nodes_work(shared):
    class Slow(CountingAdapter):
        def solve(self, state, theta):
            time.sleep(0.02)
            return super().solve(state, theta)

    adapter = Slow()
    solves, processes = np.concatenate([shared.solve(adapter, np.zeros((20, 2))).values for _ in range(3)]).T
    assert set(processes) == set(pids(shared))
    for pid in set(processes):
        assert sorted(solves[processes == pid]) == list(range(1, (processes == pid).sum() + 1))


def test_actors_forget_adapters_that_are_gone(shared, tmp_path):
    class State:
        def __init__(self, folder):
            self.folder = folder

        def __del__(self):
            os.close(os.open(os.path.join(self.folder, str(os.getpid())), os.O_CREAT))

    class Told(FaultyAdapter):
        """Leaves a file where its state was dropped."""

        def build(self):
            return State(self.folder)

    known = function_adapter(identity)
    shared.solve(known, np.ones((8, 2)))
    adapter = Told(tmp_path)
    shared.solve(adapter, batch(rows=8))
    assert list(tmp_path.iterdir()) == []
    del adapter
    gc.collect()
    wait_until(lambda: list(tmp_path.iterdir()), shared)
    assert {int(file.name) for file in tmp_path.iterdir()} <= set(pids(shared))


def test_many_adapters_leave_nothing_behind(shared):
    for n in range(1, 20):
        adapter = function_adapter(identity, n=n)
        shared.solve(adapter, np.ones((4, n)))
        del adapter
    gc.collect()
    shared.solve(function_adapter(identity), np.ones((4, 2)))
    assert len(shared._actors._adapters) <= 2
    assert all(len(worker.known) <= 2 for worker in shared._actors._workers)


def test_one_executor_used_from_several_threads(shared):
    adapter, errors = function_adapter(identity), []

    def use(value):
        for _ in range(5):
            thetas = np.full((9, 2), value)
            if not np.array_equal(shared.solve(adapter, thetas).values, thetas):
                errors.append(value)

    threads = [threading.Thread(target=use, args=(float(value),)) for value in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# --- Errors of adapters ---


def test_a_solver_that_raises_is_named_with_its_traceback_and_leaves_the_actors_sound(shared):
    thetas = np.ones((20, 2))
    thetas[[13, 17], 0] = -1
    with pytest.raises(AdapterError, match="row 13 of the batch.*ZeroDivisionError: negative theta") as info:
        shared.solve(function_adapter(fail_on_negative), thetas)
    assert info.value.row == 13
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    assert any("in fail_on_negative" in note for note in info.value.__notes__)
    before = pids(shared)
    assert shared.solve(function_adapter(fail_on_negative), np.ones((20, 2))).values.sum() == 40
    assert pids(shared) == before


def test_other_failures_of_adapters_arrive(shared):
    with pytest.raises(AdapterError, match="UnpicklableError: a"):
        shared.solve(function_adapter(fail_unpicklably), np.ones((2, 2)))
    with pytest.raises(AdapterError, match="could not build its state: OSError: no licence"):
        shared.solve(UnbuildableAdapter(), np.ones((2, 2)))
    lock = threading.Lock()
    with pytest.raises(AdapterError, match="cannot be sent to worker processes.*Make it picklable"):
        shared.solve(function_adapter(lambda theta: lock), np.ones((2, 2)))
    assert shared.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


# --- Clusters that will not do ---


def test_no_room_at_all_is_an_error_that_says_what_there_is(cluster, shared):
    with RayExecutor(cluster.address, 2, {"licence": 1}, start_timeout=1) as executor:
        begin = time.monotonic()
        with pytest.raises(WorkerDiedError, match=r"within 1 s: each takes \{'licence': 1\}, .*\[\{'licence': 0\}, "):
            executor.solve(function_adapter(identity), np.ones((4, 2)))
        assert time.monotonic() - begin < 10


def test_a_process_has_one_cluster(cluster, shared):
    with RayExecutor("10.1.2.3:6379", 1) as executor, pytest.raises(RuntimeError, match="is connected to .* already"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))
    with RayExecutor("local", 1) as executor, pytest.raises(RuntimeError, match="expected to connect to 'local'"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))


# --- Loss of actors and nodes ---


def test_actors_that_are_killed_in_mid_batch_are_replaced_and_nothing_is_lost(shared, tmp_path):
    thetas = batch((5, KILLS_ONCE))
    solved = shared.solve(FaultyAdapter(tmp_path), thetas)
    check(solved, thetas)
    assert solved.counters[RESTARTS] == 1


@pytest.mark.parametrize("fault", [KILLS, EXITS])
def test_an_instance_on_which_an_actor_dies_twice_is_crashed_alone(shared, tmp_path, fault):
    thetas = batch((11, fault))
    solved = shared.solve(FaultyAdapter(tmp_path), thetas)
    check(solved, thetas, CRASHED=[11])
    assert solved.counters[RESTARTS] == 2
    check(shared.solve(FaultyAdapter(tmp_path), thetas[:5]), thetas[:5])


def test_actors_that_are_killed_between_batches(shared):
    thetas = np.arange(24.0).reshape(12, 2)
    shared.solve(function_adapter(identity), thetas)
    victims = pids(shared)
    kill(*victims)
    np.testing.assert_array_equal(shared.solve(function_adapter(identity), thetas).values, thetas)
    assert not set(victims) & set(pids(shared))


INTERRUPTED = """
    import sys
    from imle_solvers import RayExecutor

    executor = RayExecutor(sys.argv[1], 1)
    say(solve(executor))
    try:
        threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
        solve(executor, 600.0)
    except KeyboardInterrupt:
        say("interrupted")
    say(solve(executor, rows=20))
    executor.close()
"""


def test_an_interrupt_gives_back_control_and_the_next_call_works(cluster, free, start):
    program = start(INTERRUPTED, cluster.address)
    code, out, err = program.end()
    assert (code, out) == (0, "True\ninterrupted\nTrue\n"), err


def test_a_state_that_kills_its_actor_is_an_error_not_a_long_wait(cluster, free, tmp_path):
    class KillsWhenBuilt(FaultyAdapter):
        def build(self):
            os._exit(1)

    with RayExecutor(cluster.address, 1) as executor:
        with pytest.raises(WorkerDiedError, match="3 Ray actors in a row ended while loading the adapter"):
            executor.solve(KillsWhenBuilt(tmp_path), batch(rows=4))
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


def test_by_default_there_are_as_many_actors_as_the_nodes_have_room_for(cluster, free):
    with RayExecutor(cluster.address, resources={"CPU": 0.5}) as executor:
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8
        assert executor.num_workers == 4


def test_a_node_that_is_lost_in_mid_batch_leaves_its_work_to_the_others(cluster, free, monkeypatch, caplog):
    monkeypatch.setattr(actors, "_LATE_SECONDS", 0.0)
    caplog.set_level(logging.WARNING, "imle_solvers")
    adapter, thetas = function_adapter(slow), np.full((60, 2), 0.05)
    thetas[:, 1] = np.arange(60)
    with RayExecutor(cluster.address, 2) as executor:
        wait_until(lambda: len(pids(executor)) == 2, executor)
        caplog.clear()
        executor._actors._warned = False
        (node,) = cluster.worker_nodes
        timer = threading.Timer(0.5, cluster.remove_node, [node, False])  # at once, without saying goodbye
        timer.start()
        solved = executor.solve(adapter, thetas)
        timer.join()
        np.testing.assert_array_equal(solved.values, thetas)
        np.testing.assert_array_equal(solved.statuses, 0)
        assert solved.counters[RESTARTS] >= 1
        np.testing.assert_array_equal(executor.solve(adapter, thetas[:4]).values, thetas[:4])
        assert len(pids(executor)) == 1
        assert "1 of 2 Ray actors found room in the cluster" in caplog.text
        cluster.add_node(**NODE)
        wait_until(lambda: len(pids(executor)) == 2, executor)


def test_those_that_find_room_do_the_work(cluster, free, monkeypatch, caplog):
    monkeypatch.setattr(actors, "_LATE_SECONDS", 0.0)
    thetas = np.arange(40.0).reshape(20, 2)
    with RayExecutor(cluster.address, 3, start_timeout=30) as executor:
        wait_until(lambda: len(pids(executor)) == 2, executor)
        np.testing.assert_array_equal(executor.solve(function_adapter(identity), thetas).values, thetas)
        assert len(pids(executor)) == 2
    assert "of 3 Ray actors found room in the cluster" in caplog.text


# --- The life of an executor ---


def test_actors_end_with_their_executor(cluster, free):
    def use():
        executor = RayExecutor(cluster.address, 1)
        executor.solve(function_adapter(identity), np.ones((2, 2)))
        return pids(executor)

    processes = use()
    gc.collect()
    assert gone(processes)
    assert ray.is_initialized()  # another executor uses the connection


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_a_new_executor_of_the_same_settings(clone):
    executor = RayExecutor("10.1.2.3:6379", 3, {"CPU": 2, "licence": 1}, start_timeout=7)
    twin = clone(executor)
    executor.close()
    executor.close()
    assert executor.closed
    assert not twin.closed
    assert repr(twin) == repr(executor)
    assert twin.start_timeout == 7
    with pytest.raises(ClosedError, match="make a new one"):
        executor.solve(function_adapter(identity), np.ones((2, 2)))


def test_a_cluster_that_does_not_answer_is_an_error_at_once(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"no Ray cluster answers at {address}"):
            connection._find(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        for other in ("auto", None):
            with pytest.raises(ConnectionError, match=f"no Ray cluster answers at {address}"):
                connection._find(other)
        monkeypatch.delenv("RAY_ADDRESS")
        for started in (None, address):  # none was started here, or one that has ended
            monkeypatch.setattr(connection, "_started_here", lambda started=started: started)
            assert connection._find(None) == "local"
            with pytest.raises(ConnectionError, match="found no Ray cluster; start one with `ray start --head`"):
                connection._find("auto")


def test_settings_that_cannot_work():
    with pytest.raises(ValueError, match="at least 1"):
        RayExecutor(num_workers=0)
    with pytest.raises(TypeError, match="address must be"):
        RayExecutor(6379)
    with pytest.raises(ValueError, match="amounts of at least 0 by name"):
        RayExecutor(resources={"CPU": -1})
    with pytest.raises(ValueError, match="num_workers: expected a number"):
        RayExecutor(resources={"CPU": 0})
    with pytest.raises(ValueError, match="start_timeout must be a positive number"):
        RayExecutor(start_timeout=0)


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "imle-solvers\[ray\]"'):
        RayExecutor()


# --- Whole programs ---


def run(folder, text, *arguments):
    (folder / "script.py").write_text(textwrap.dedent(text))
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", str(folder / "script.py"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


LOCAL = """
    import gc, os, sys
    import numpy as np
    from imle_solvers import FunctionAdapter, ProcessExecutor, RayExecutor, SerialExecutor
    assert "ray" not in sys.modules

    def largest(theta):
        return (theta == theta.max()).astype(float)

    adapter = FunctionAdapter(largest, sense="max", instance_shape=(4,))
    thetas = np.random.default_rng(0).normal(size=(6, 4))
    first, second = RayExecutor("local", 1), RayExecutor(num_workers=1)
    same = [np.array_equal(it.solve(adapter, thetas).values, SerialExecutor().solve(adapter, thetas).values)
            for it in (first, second)]
    import ray
    first.close()
    print(*same, ray.is_initialized())
    del second
    gc.collect()
    print(ray.is_initialized())
"""


def test_a_cluster_that_was_started_for_executors_ends_with_the_last_of_them(tmp_path):
    done = run(tmp_path, LOCAL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True True True\nFalse\n", "")


EXISTING = """
    import os, sys, warnings
    import numpy as np, ray
    from imle_solvers import FunctionAdapter, RayExecutor
    from my_solver import double

    def say(*words):  # not to the standard output, where Ray prints news such as that a node was lost
        print(*words, file=sys.stderr, flush=True)

    ray.init(sys.argv[1], log_to_driver=False, logging_level="error")
    adapter = FunctionAdapter(double, sense="max", instance_shape=(2,))
    with RayExecutor(num_workers=1) as executor:
        say(executor.solve(adapter, np.ones((2, 2))).values.sum())
    say(ray.is_initialized())
    executor = RayExecutor(num_workers=1)
    executor.solve(adapter, np.ones((2, 2)))
    warnings.filterwarnings("ignore", ".* is multi-threaded, use of fork", DeprecationWarning)
    child = os.fork()
    if child == 0:
        try:
            executor.solve(adapter, np.ones((2, 2)))
        except RuntimeError as error:
            say(str(error)[:31])
        os._exit(0)
    os.waitpid(child, 0)
    say(executor.solve(adapter, np.ones((2, 2))).values.sum())
"""  # and ends without close()


def test_a_connection_that_was_there_before_is_used_and_left(cluster, free, tmp_path):
    (tmp_path / "my_solver.py").write_text("def double(theta):\n    return theta * 2\n")
    done = run(tmp_path, EXISTING, cluster.address)
    assert (done.returncode, done.stderr) == (0, "8.0\nTrue\nRay does not work in a fork of \n8.0\n")


def test_the_example_learns_the_same_on_a_cluster(cluster, free, monkeypatch, capsys, tmp_path):
    few = ["--train-maps", "8", "--test-maps", "4", "--epochs", "1", "--no-baseline", "--out", str(tmp_path)]

    def train(*arguments):
        monkeypatch.setattr(sys, "argv", ["warcraft", *few, *arguments])
        importlib.import_module("examples.warcraft.main").main()
        return [line for line in capsys.readouterr().out.splitlines() if "training:" in line]

    here, there = train("--workers", "0"), train("--ray", cluster.address, "--workers", "2")
    assert len(here) == 2
    assert here == there


def test_the_example_says_what_is_wrong_with_its_cluster(monkeypatch, capsys, tmp_path):
    arguments = ["--quick", "--out", str(tmp_path), "--ray", "local", "--workers", "0"]
    monkeypatch.setattr(sys, "argv", ["warcraft", *arguments])
    with pytest.raises(SystemExit) as end:
        importlib.import_module("examples.warcraft.main").main()
    assert end.value.code == 2
    assert "num_workers must be at least 1" in capsys.readouterr().err
