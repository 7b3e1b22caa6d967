"""Whole programs that solve on Ray, each of them as a user would write it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT
from tests.ray_cluster import ON_RAY

pytestmark = ON_RAY


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


def test_a_connection_that_was_there_before_is_used_and_left(cluster, room, tmp_path):
    (tmp_path / "my_solver.py").write_text("def double(theta):\n    return theta * 2\n")
    done = run(tmp_path, EXISTING, cluster.address)
    assert (done.returncode, done.stderr) == (0, "8.0\nTrue\nRay does not work in a fork of \n8.0\n")


def test_the_example_learns_the_same_on_a_cluster(cluster, room, monkeypatch, capsys, tmp_path):
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
