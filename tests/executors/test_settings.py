"""Settings of executors that cannot work."""

from __future__ import annotations

import pytest

from imle_solvers import ProcessExecutor, SerialExecutor, SolverLayer, ThreadExecutor
from imle_solvers.executors.by_name import make_executor
from tests.solvers import top_k


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
