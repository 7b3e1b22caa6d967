"""Libraries of solvers that OR-Tools looks for when they are first used."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
from pathlib import Path


def supported(name: str) -> bool:
    """Whether OR-Tools says that it has a solver, without a solve; Gurobi and Xpress are loaded for that."""
    builder = importlib.import_module("ortools.linear_solver.python.model_builder_helper")
    return bool(builder.ModelSolverHelper(name).solver_is_supported())


@functools.cache
def load_gurobi() -> None:
    """Has OR-Tools load Gurobi's library, once in a process.

    MathOpt (OR-Tools 9.15) calls the library without having loaded it, and what loads it lets go of it at once, so that
    the next call ends the process; one more handle keeps it.
    """
    home = os.environ.get("GUROBI_HOME")
    for folder in ("lib", "lib64", "bin") if home else ():
        for library in sorted(Path(str(home), folder).glob("*gurobi[0-9]*")):
            with contextlib.suppress(OSError):  # not all with such a name are libraries
                ctypes.CDLL(str(library))
    supported("gurobi")
