"""Programs need no main guard, what they define and what lies beside them reaches the workers, and forks work."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests.solvers import function_adapter, identity

pytestmark = pytest.mark.slow


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
