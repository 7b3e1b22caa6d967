"""An adapter in a worker, watched for what it imports there. Knows no torch, since workers load it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import FrameType
from typing import Any

from imle_solvers.adapter import Context, FloatArray, Solutions, SolverAdapter
from imle_solvers.executors.chunk import load_adapter
from imle_solvers.executors.pickled import pickled

HEAVY = ("torch", "tensorflow", "jax", "matplotlib", "IPython", "pytest")
"""What takes a worker seconds, or hundreds of MB, and is of no use there."""

IMPORTED = "imports "
"""How the counters begin that say what was imported, and by whom."""


class Spy(SolverAdapter):
    """Solves as another adapter does, loaded from its pickle in the worker, and counts what that imported.

    Args:
        adapter: the other one.

    Raises:
        AdapterError: it does not pickle.
    """

    def __init__(self, adapter: SolverAdapter) -> None:
        self.data = pickled(adapter)
        self.text = repr(adapter)
        self.sense = adapter.sense
        self.instance_shape = adapter.instance_shape
        self.solution_shape = adapter.solution_shape
        self.parallelism = adapter.parallelism
        self.context = dict(adapter.context)

    def build(self) -> tuple[SolverAdapter, Any, _Watch]:
        watch = _Watch()
        sys.meta_path.insert(0, watch)  # to the end of the worker: solves import, too
        adapter = load_adapter(self.data)
        return adapter, adapter.build(), watch

    def solve_batch(self, state: tuple[SolverAdapter, Any, _Watch], thetas: FloatArray, context: Context) -> Solutions:
        adapter, built, watch = state
        solved = adapter.solve_batch(built, thetas, context)
        if isinstance(solved, Solutions):
            solved.counters = {**solved.counters, **{IMPORTED + found: 1 for found in watch.found.values()}}
        return solved

    def __repr__(self) -> str:
        return self.text


class _Watch(MetaPathFinder):
    """Sees imports of what is heavy, and hinders none.

    Attributes:
        found: by package, it and who imported it.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        if fullname in HEAVY and fullname not in self.found:
            self.found[fullname] = fullname + _importer(sys._getframe(1))


def _importer(frame: FrameType | None) -> str:
    """Who imports, in words; nothing where that is unpickling itself."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(("importlib", "cloudpickle", "pickle", "imle_solvers.")):
            return f", by {name} ({frame.f_code.co_filename}, line {frame.f_lineno})"
        frame = frame.f_back
    return ""
