"""How programs, layers, and the programs that solvers run, end, and what they leave behind."""

from __future__ import annotations

import gc
import os
import signal
import time
import weakref

import numpy as np
import pytest
import torch

from imle_solvers import ProcessExecutor, SerialExecutor, SolutionCache, SolverLayer, Status, ThreadExecutor
from tests.programs import alive, needs_proc, pids
from tests.solvers import function_adapter, identity, top_k

pytestmark = needs_proc


# Ends.


@pytest.mark.slow
@pytest.mark.parametrize("end", ["sys.exit(3)", "raise SystemExit(3)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_the_program_ends_while_a_thread_solves(start, end):
    program = start(
        f"""
        executor = ProcessExecutor(2)
        solve(executor)
        threading.Thread(target=solve, args=(executor, 600.0), daemon=True).start()
        time.sleep(0.3)
        {end}
        """
    )
    assert program.end() == (-signal.SIGTERM if "kill" in end else 3, "", "")


def test_the_program_ends_in_the_middle_of_a_batch(start):
    program = start(
        """
        executor = ProcessExecutor(2)
        signal.signal(signal.SIGALRM, lambda *_: sys.exit(3))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        solve(executor, 600.0)
        """
    )
    assert program.end() == (3, "", "")


def test_a_layer_in_a_reference_cycle_takes_its_workers_with_it():
    layer = SolverLayer(top_k(3, 1), executor="processes", num_workers=2)
    layer(torch.zeros(4, 3))
    layer.itself, workers = [layer], pids(layer._executor)
    assert all(alive(pid) for pid in workers)
    del layer
    gc.collect()
    assert not any(alive(pid) for pid in workers)


@pytest.mark.parametrize(
    ("kind", "keeps"),
    [
        (lambda: ProcessExecutor(1), lambda executor: executor._adapters),
        (lambda: ThreadExecutor(1), lambda executor: executor._row_seconds),
        (lambda: SolutionCache(SerialExecutor()), lambda executor: executor._kept),
    ],
    ids=["processes", "threads", "cache"],
)
def test_what_an_executor_knows_of_an_adapter_goes_with_either(kind, keeps):
    adapter = top_k(3, 1)
    with kind() as executor:
        executor.solve(adapter, np.eye(3))
    kept = weakref.ref(keeps(executor))
    gc.disable()  # at once, and not when cycles are looked for
    try:
        del executor
        assert kept() is None
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "collect", "with"])
@pytest.mark.parametrize("kind", [ProcessExecutor, ThreadExecutor, SerialExecutor])
def test_a_layer_never_closes_an_executor_that_it_was_given(kind, end):
    with kind() if kind is SerialExecutor else kind(2) as executor:
        layer = SolverLayer(top_k(3, 1), executor=executor)
        layer(torch.zeros(4, 3))
        if end == "close":
            layer.close()
        if end == "with":
            with layer:
                pass
        del layer
        gc.collect()
        assert not executor.closed
        assert executor.solve(function_adapter(identity), np.ones((4, 2))).values.sum() == 8


# Programs that solvers run, and what they print.


def test_what_a_solver_prints_is_seen(start):
    program = start(
        """
        def prints(theta):
            print("to output")
            print("to errors", file=sys.stderr)
            return theta

        with ProcessExecutor(2) as executor:
            executor.solve(function_adapter(prints), np.ones((6, 2)))
        """
    )
    code, output, errors = program.end()
    # Two workers write at once, and Python may write the end of a line by itself.
    assert (code, output.replace("\n", ""), errors.replace("\n", "")) == (0, "to output" * 6, "to errors" * 6)
    assert output.count("\n") == errors.count("\n") == 6


def test_a_program_that_a_solver_left_running_does_not_hold_up_the_batch():
    def leave(theta):
        if theta[0]:
            os.system("sleep 15 &")
            os.kill(os.getpid(), signal.SIGKILL)
        return theta

    begin = time.monotonic()
    with ProcessExecutor(1) as executor:
        solved = executor.solve(function_adapter(leave), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert list(solved.statuses) == [Status.OPTIMAL, Status.CRASHED]
    assert time.monotonic() - begin < 14  # and not for as long as the program runs


@pytest.mark.slow
@pytest.mark.parametrize("end", ["executor.close()", "pass", "os.kill(pids(executor)[0], signal.SIGTERM)"])
def test_a_program_that_a_state_keeps_running_ends_with_its_worker(start, end):
    program = start(
        f"""
        from imle_solvers import SolverAdapter

        class Served(SolverAdapter):
            sense, instance_shape = "max", (2,)

            def build(self):
                return subprocess.Popen(["sleep", "600"])

            def solve(self, state, theta):
                return theta * (state.poll() is None)

        executor, adapter = ProcessExecutor(1), Served()
        say(executor.solve(adapter, np.ones((2, 2))).values.sum())
        {end}
        """
    )
    assert program.end() == (0, "4.0\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["timeout", "close", "kill"])
def test_a_program_that_a_solver_runs_ends_with_its_worker(start, end):
    program = start(
        """
        def run(theta):
            if theta[0]:
                subprocess.run(["sleep", "600"])
            return theta

        executor = ProcessExecutor(2, timeout=2 if sys.argv[1] == "timeout" else None)
        adapter = function_adapter(run)
        executor.solve(adapter, np.zeros((2, 2)))
        say("ready")
        thread = threading.Thread(target=executor.solve, args=(adapter, np.ones((1, 2))), daemon=True)
        thread.start()
        thread.join(0.5 if sys.argv[1] == "close" else None)
        """,
        end,
    )
    if end == "kill":
        program.line()
        time.sleep(0.5)
        program.process.kill()
    assert program.end()[0] == (-signal.SIGKILL if end == "kill" else 0)
