"""Gurobi and Xpress: whether they are there, found out in a process of its own.

To find out takes a solve: it loads a library, asks for a licence, perhaps a server's, writes to stderr, and with some
versions of OR-Tools and Gurobi ends the process. So it is done for the backend that a user names, and nowhere near
the user's own process.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from imle_adapters.ilp.engines import math_opt
from imle_adapters.ilp.engines.engine import Claim
from imle_adapters.ilp.program import Program
from imle_adapters.ilp.spec import ILPSpec

_PATIENCE = 60.0  # seconds, for a licence server to answer
_TRY = "import sys; from imle_adapters.ilp.engines.licensed import try_out; try_out(sys.argv[1])"


class _Product(NamedTuple):
    title: str
    folder: str
    licence: str


_PRODUCTS = {
    "gurobi": _Product("Gurobi", "GUROBI_HOME", "GRB_LICENSE_FILE"),
    "xpress": _Product("Xpress", "XPRESSDIR", "XPAUTH_PATH"),
}
LICENSED = tuple(_PRODUCTS)
"""Backends that need a library and a licence of the user's."""


@functools.cache
def require(backend: str) -> None:
    """Solves a program of one variable in another process, and remembers that it went well.

    Raises:
        ValueError: it did not; the message says why, and what to do.
    """
    # What can be imported here can be imported there; "" is a notebook's own folder.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path if isinstance(entry, str))
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", _TRY, backend],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            timeout=_PATIENCE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        title = _PRODUCTS[backend].title
        raise ValueError(
            f"backend {backend!r}: {title} did not solve a program of one variable within {_PATIENCE:g} s; is its "
            "licence server reachable?"
        ) from None
    if ended.returncode != 0:
        raise ValueError(f"backend {backend!r}: {_why(_PRODUCTS[backend], ended.returncode, ended.stderr)}")


def try_out(backend: str) -> None:
    """Solves a program of one variable, and ends with an exception that says why it could not."""
    program = Program.of(ILPSpec(sense="min", shape=1, ub=1, integrality=True))
    engine = math_opt.make_here(backend, program)
    claim = engine.solve_or_raise(np.ones(1), program.bounds, None).claim
    if claim is not Claim.OPTIMAL:
        raise RuntimeError(f"{claim.name} where the optimum is plain")


def _why(product: _Product, code: int, said: str) -> str:
    """What was wrong, by what the other process said, and what to do about it."""
    title, folder, licence = product
    tools = f"OR-Tools {version('ortools')}"
    lines = [re.sub(r"^[IWEF]\d{4} \S+ +\d+ \S+\] ", "", line).strip() for line in said.splitlines()]
    # MathOpt's own exception comes before the one that it meets in making it (OR-Tools 9.15).
    lines = [line for line in lines if line and not re.search(r"canonical_code|^During handling|^File |^\^+$", line)]
    about_licence = [line for line in lines if re.search("licen[cs]e", line, re.IGNORECASE)]
    deadly = [line for line in lines if "Check failed" in line]
    if "not been compiled" in said:
        return f"{tools} is built without {title}; take another OR-Tools, or another backend"
    if "Could not find" in said:
        return (
            f"{tools} finds no library of {title}; install {title}, and set {folder} to its folder, which has the "
            "library in lib (bin on Windows)"
        )
    if about_licence:
        return f"{title} is installed, but gives no licence; see to {licence}. It says: {about_licence[0]}"
    if code < 0:
        return (
            f"{tools} dies of its first use of {title} ({(deadly or [f'signal {-code}'])[0]}); set {folder} to its "
            f"folder, or take versions of {title} and OR-Tools that fit each other"
        )
    return f"{tools} cannot use {title}. It says: {(lines or ['nothing'])[-1]}"
