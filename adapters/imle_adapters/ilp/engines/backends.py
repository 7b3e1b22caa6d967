"""The solvers of OR-Tools by name.

Every solve starts from the model alone. None of the solvers is given a basis, a solution or a statistic of an
earlier solve, since these would decide between tied optima: the same instance could give another solution after
another history. At most the model is kept between solves; only objective coefficients and bounds change.

All solvers run on one thread with a fixed seed and release the GIL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from imle_adapters.ilp.engines.cp_sat import CpSatEngine
from imle_adapters.ilp.engines.engine import Claim, Engine
from imle_adapters.ilp.engines.glop import GlopEngine, UnimodularEngine
from imle_adapters.ilp.engines.libraries import supported
from imle_adapters.ilp.engines.licensed import LICENSED
from imle_adapters.ilp.engines.math_opt import gurobi, highs, xpress
from imle_adapters.ilp.engines.wrapped import ScipEngine, cbc
from imle_adapters.ilp.program import Program
from imle_adapters.ilp.spec import ILPSpec


def _glop(program: Program, gap: float) -> Engine:
    rows = program.unimodular
    return (
        GlopEngine(program) if rows is None else UnimodularEngine(program, rows, functools.partial(ScipEngine, gap=gap))
    )


ENGINES: dict[str, Callable[[Program, float], Engine]] = {
    "scip": ScipEngine,
    "scip_no_cuts": functools.partial(ScipEngine, cuts=False),
    "highs": highs,
    "glop": _glop,
    "cbc": cbc,
    "cp_sat": CpSatEngine,
    "cp_sat_no_cuts": functools.partial(CpSatEngine, cuts=False),
    "gurobi": gurobi,
    "xpress": xpress,
}
"""By name: an engine for a program and a relative gap, within which it may stop."""

COUNTING = ("cp_sat", "cp_sat_no_cuts", "scip", "scip_no_cuts")
"""Those that count their work, and can be stopped: what "auto" chooses from, in this order without more knowledge."""


@functools.cache
def available_backends() -> tuple[str, ...]:
    """The names of the free solvers that this build of OR-Tools has, for `ILPAdapter(backend=...)`.

    Whether "gurobi" and "xpress" are there is found out where they are named, since that asks for a licence.
    """
    program = Program.of(ILPSpec(sense="min", shape=1, ub=1, integrality=True))
    return tuple(name for name, engine in ENGINES.items() if name not in LICENSED and _works(name, engine, program))


def _works(name: str, engine: Callable[[Program, float], Engine], program: Program) -> bool:
    try:
        if name in ("highs", "glop"):  # asked, not tried: beside TensorFlow that would start a process
            return supported(name)
        if name.startswith("cp_sat"):  # likewise; it is in every build
            return True
        return engine(program, 0.0).minimize(np.ones(1), program.bounds, None)[0] is Claim.OPTIMAL
    except Exception:  # a build without the solver has no one exception for it
        return False
