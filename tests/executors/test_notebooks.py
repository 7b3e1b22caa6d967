"""Solvers that the cells of a notebook define."""

from __future__ import annotations

import json

import pytest

from tests.programs import needs_proc

pytestmark = [needs_proc, pytest.mark.slow]


NOTEBOOK = """
    import code, io, json

    def read(cells):
        interpreter = code.InteractiveInterpreter(sys.modules["__main__"].__dict__)
        for number, cell in enumerate(cells):
            interpreter.runsource(cell, f"<cell {number}>", "exec")

    notebook = sys.stdout
    sys.stdout = io.StringIO()  # no file descriptor behind it, as in a kernel
    executor = ProcessExecutor(2)

    def values(fn):
        solved = executor.solve(function_adapter(fn), np.ones((4, 2))).values
        print(*{float(value) for value in solved.ravel()}, file=notebook, flush=True)

    read(json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["values(lambda theta: theta + 1)"], [2]),
        (["def shift(by):\n    return lambda theta: theta + by", "values(shift(2))", "values(shift(3))"], [3, 4]),
        (
            [
                "class Counts:\n"
                "    def __init__(self, start):\n        self.start = start\n"
                "    def __call__(self, theta):\n        return theta + self.start\n",
                "values(Counts(4))",
                "Counts.__call__ = lambda self, theta: theta - self.start",
                "values(Counts(4))",
            ],
            [5, -3],
        ),
        (["def fn(t):\n    return t + 1\n", "values(fn)", "def fn(t):\n    return t + 2\n", "values(fn)"], [2, 3]),
        (
            [
                "def helper(t):\n    return t + 1\n",
                "def fn(t):\n    return helper(t)\n",
                "values(fn)",
                "def helper(t):\n    return t + 2\n",
                "values(fn)",
            ],
            [2, 3],
        ),
        (["step = 1\nfn = lambda t: t + step", "values(fn)", "step = 5", "values(fn)"], [2, 6]),
    ],
    ids=["lambda", "closure", "class changed later", "redefined", "helper redefined", "global changed"],
)
def test_cells_of_a_notebook_reach_workers_as_they_are_now(start, cells, expected):
    program = start(NOTEBOOK, json.dumps(cells))
    output = "".join(f"{float(value)}\n" for value in expected)
    assert program.end() == (0, output, "")
