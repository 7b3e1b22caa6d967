"""Ctrl-C belongs to the user: no solver takes it, and it ends every solve."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest
import torch

from imle_adapters import TopKAdapter
from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_adapters.ilp.engines.backends import available_backends
from imle_solvers import (
    AutoExecutor,
    FunctionAdapter,
    ProcessExecutor,
    SerialExecutor,
    SolverLayer,
    Status,
    ThreadExecutor,
    compilation,
    waiting,
)
from imle_solvers.executors import base
from tests.cases import CASES
from tests.programs import Program

pytestmark = pytest.mark.usefixtures("compiled_search")

SOLVERS = [*available_backends()]


def handlers():
    """What the system calls for each signal, below what Python knows of."""
    libc, found = ctypes.CDLL(None), {}
    for number in signal.valid_signals():
        action = (ctypes.c_byte * 256)()
        if libc.sigaction(int(number), None, ctypes.byref(action)) == 0:
            found[number] = bytes(action)[:8]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux")
@pytest.mark.parametrize("name", CASES)
def test_no_adapter_touches_a_signal_handler(name):
    before = handlers()
    adapter = CASES[name].make()
    layer = SolverLayer(adapter, num_workers=0)
    theta = CASES[name].theta(adapter).requires_grad_()
    layer(theta, **CASES[name].context(len(theta))).sum().backward()
    assert handlers() == before


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux")
@pytest.mark.parametrize("backend", SOLVERS)
def test_no_backend_touches_a_signal_handler(backend):
    before = handlers()
    integrality = backend != "glop"
    spec = ILPSpec(shape=(6,), A_ub=[[2.0, 3, 1, 4, 2, 5]], b_ub=[7.0], integrality=integrality, ub=1, sense="max")
    adapter = ILPAdapter(spec, backend, compiled=False)
    SerialExecutor().solve(adapter, np.random.default_rng(0).random((4, 6)))
    assert handlers() == before


HARD = """
    from imle_adapters.ilp import ILPAdapter, ILPSpec
    from imle_solvers import AutoExecutor, SerialExecutor

    def hard(backend):
        random = np.random.default_rng(0)
        if backend == "glop":
            rows = random.random((1500, 1500))
            return ILPAdapter(ILPSpec(sense="max", A_ub=rows, b_ub=np.ones(1500)), backend), random.random((4, 1500))
        rows = random.integers(1, 1000, (10, 150)).astype(float)  # a knapsack, of values near the weights
        spec = ILPSpec(sense="max", A_ub=rows, b_ub=rows.sum(1) // 2, integrality=True, ub=1)
        return ILPAdapter(spec, backend), rows.mean(0) * (1 + 0.2 * random.random((4, 150)))

    def unknown(backend):  # market split (Cornuejols and Dawande, 1998): any feasible point is hard to find
        rows = np.random.default_rng(1).integers(0, 100, (5, 40)).astype(float)
        return ILPAdapter(ILPSpec(sense="max", A_eq=rows, b_eq=rows.sum(1) // 2, integrality=True, ub=1), backend)

    def easy():
        return ILPAdapter(ILPSpec(sense="max", shape=3, A_ub=np.ones((1, 3)), b_ub=[1.0], integrality=True, ub=1))

    def interrupted(work):
        timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            work()
        except KeyboardInterrupt:
            say("interrupted")
        timer.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", SOLVERS)
def test_an_interrupt_ends_a_long_solve_of_a_program(tmp_path, backend):
    program = Program(
        tmp_path,
        HARD
        + """
    backend = sys.argv[1]
    adapter, thetas = hard(backend)
    for executor in (SerialExecutor(), ThreadExecutor(2), ProcessExecutor(2), AutoExecutor(2)):
        interrupted(lambda: executor.solve(adapter, thetas.copy()))
        say(executor.solve(easy(), np.array([[1.0, 3.0, 2.0]])).values.tolist())
        if backend in ("highs", "cbc"):  # which go on in this process until they are done
            os._exit(0)
        executor.close()
    """,
        backend,
    )
    code, output, _ = program.end()
    executors = 1 if backend in ("highs", "cbc") else 4
    assert (code, output) == (0, "interrupted\n[[0.0, 1.0, 0.0]]\n" * executors)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [name for name in SOLVERS if name != "glop"])
def test_an_interrupt_ends_the_making_of_an_adapter(tmp_path, backend):
    program = Program(
        tmp_path,
        HARD
        + """
    easy()
    interrupted(lambda: unknown(sys.argv[1]))
    say(SerialExecutor().solve(easy(), np.array([[1.0, 3.0, 2.0]])).values.tolist())
    os._exit(0)
    """,
        backend,
    )
    assert program.end()[:2] == (0, "interrupted\n[[0.0, 1.0, 0.0]]\n")


@pytest.mark.slow
def test_an_interrupt_ends_the_choice_of_a_solver(tmp_path):
    program = Program(
        tmp_path,
        HARD
        + """
    from imle_solvers.deferred import wait_for_kernels

    adapter, thetas = hard("auto")
    adapter.build()
    wait_for_kernels()
    for _ in range(2):
        interrupted(lambda: adapter.check(thetas, {}))
        say(adapter.choice)
    say(SerialExecutor().solve(easy(), np.array([[1.0, 3.0, 2.0]])).values.tolist())
    """,
    )
    assert program.end()[:2] == (0, "interrupted\nNone\n" * 2 + "[[0.0, 1.0, 0.0]]\n")


@pytest.mark.slow
def test_an_interrupt_ends_the_training_of_every_adapter(tmp_path):
    program = Program(
        tmp_path,
        """
    from imle_solvers import SolverLayer
    from tests.cases import CASES

    def main():
        for name, case in CASES.items():
            adapter = case.make()
            theta = case.theta(adapter).requires_grad_()
            context = case.context(len(theta))
            with SolverLayer(adapter) as layer:
                layer(theta, **context).sum().backward()
                timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
                timer.start()
                try:
                    while True:
                        layer(theta, **context).sum().backward()
                except KeyboardInterrupt:
                    layer(theta, **context).sum().backward()
                    say(name)
                timer.join()

    main()
    """,
    )
    code, output, errors = program.end()
    assert (code, output.splitlines()) == (0, list(CASES)), errors


@pytest.mark.slow
@pytest.mark.parametrize("make", [SerialExecutor, lambda: ThreadExecutor(2)])
def test_long_solves_are_logged_once_with_what_to_do(monkeypatch, caplog, make):
    monkeypatch.setattr(waiting, "_LONG", 0.05)
    monkeypatch.setattr(waiting, "_PERIOD", 0.02)
    time.sleep(1.1)  # for a watch with the old period to end
    adapter = FunctionAdapter(lambda theta: time.sleep(0.3) or theta, sense="max", instance_shape=(1,))
    caplog.set_level(logging.WARNING, "imle_solvers")
    with make() as executor:
        executor.solve(adapter, np.zeros((2, 1)))
        executor.solve(adapter, np.zeros((1, 1)))
    (record,) = [record for record in caplog.records if record.name == "imle_solvers.waiting"]
    message = record.getMessage()
    assert message.startswith("since ")
    assert "FunctionAdapter(<lambda>" in message
    assert "ProcessExecutor(timeout=seconds)" in message
    assert base._MENTIONED.get(adapter)


def test_the_advice_for_programs_names_their_own_limit():
    adapter = ILPAdapter(ILPSpec(sense="max", shape=3, ub=1, integrality=True))
    assert "time_limit=seconds" in adapter.limit_advice


def test_the_watch_ends_when_nobody_waits(monkeypatch):
    monkeypatch.setattr(waiting, "_PERIOD", 0.01)
    SerialExecutor().solve(FunctionAdapter(np.copy, sense="max", instance_shape=(1,)), np.zeros((2, 1)))
    until = time.monotonic() + 60
    while any(thread.name == "imle-watch" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_progress_moves_by_instance_where_solves_take_long(workers):
    seen = []
    adapter = FunctionAdapter(lambda theta: time.sleep(0.06) or theta, sense="max", instance_shape=(1,))
    executor = SerialExecutor() if workers == 0 else ThreadExecutor(workers)
    executor.solve(adapter, np.zeros((4, 1)))  # measures
    executor.solve(adapter, np.zeros((12, 1)), on_progress=lambda solved, rows: seen.append(solved))
    assert seen[-1] == 12
    assert len(seen) >= 10


def test_warnings_are_seen_where_logging_is_not_configured():
    program = "import logging, imle_solvers; logging.getLogger('imle_solvers').warning('slow'); " + (
        "logging.getLogger('imle_solvers').info('news')"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    ran = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("", "slow\n")


def test_compiling_is_no_long_solve_and_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(waiting, "_LONG", 0.05)
    monkeypatch.setattr(compilation, "_LONG", 0.0)
    caplog.set_level(logging.INFO, "imle_solvers")

    @numba.njit
    def kernel(x):
        return x + 1

    with waiting.Waiting(lambda: "never said") as wait:
        compilation._compiling.on_start(None)
        time.sleep(0.1)
        wait.look()
        kernel(1)
        wait.look()
        compilation._compiling.on_end(None)
    assert [record.getMessage().split(" took")[0] for record in caplog.records] == ["compiling kernels"]
    assert kernel(2) == 3
    assert not compilation._compiling


@pytest.mark.slow
def test_what_a_signal_handler_raises_arrives_as_it_is_and_the_layer_works_again(tmp_path):
    program = Program(
        tmp_path,
        HARD
        + """
    def ring(*_):
        raise TimeoutError("time is up")

    signal.signal(signal.SIGALRM, ring)
    adapter, thetas = hard("scip")
    with SerialExecutor() as executor:
        executor.solve(adapter, np.zeros((1, 150)))  # builds the state
        signal.setitimer(signal.ITIMER_REAL, 0.7)
        try:
            executor.solve(adapter, thetas.copy())
        except TimeoutError as error:
            say(error)
        say(executor.solve(easy(), np.array([[1.0, 3.0, 2.0]])).statuses.tolist())
        say(executor.solve(adapter, np.zeros((1, 150))).statuses.tolist())
    """,
    )
    assert program.end()[:2] == (0, "time is up\n[0]\n[0]\n")


def test_solvers_that_cannot_be_stopped_are_not_called_in_process_unless_asked():
    spec = ILPSpec(sense="max", shape=3, A_ub=np.ones((1, 3)), b_ub=[1.0], integrality=True, ub=1)
    for backend, where in (("cbc", {"processes"}), ("highs", {"processes"}), ("scip", {"serial"})):
        with SolverLayer(ILPAdapter(spec, backend, compiled=False), executor=AutoExecutor(2)) as layer:
            layer.map(torch.rand(1, 3))
            assert set(layer.stats().executors) == where


@pytest.mark.slow
def test_the_log_says_how_a_solver_left_its_worker(caplog):
    adapter = FunctionAdapter(lambda theta: sys.exit(3), sense="max", instance_shape=2)
    with ProcessExecutor(1) as executor:
        assert executor.solve(adapter, np.zeros((1, 2))).statuses.tolist() == [Status.CRASHED]
    assert "replaced: 2 with exit code 3;" in caplog.text
    assert "SIGKILL" not in caplog.text


def test_progress_of_solvers_on_tensors():
    layer, seen = SolverLayer(TopKAdapter(4, 2)), []
    layer.on_progress = lambda solved, rows: seen.append((solved, rows))
    layer.map(torch.rand(5, 4))
    assert seen == [(5, 5)]
