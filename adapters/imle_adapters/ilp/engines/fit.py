"""Which backends can solve a program."""

from __future__ import annotations

import numpy as np

from imle_adapters.ilp.engines import cp_sat
from imle_adapters.ilp.engines.backends import COUNTING, available_backends
from imle_adapters.ilp.program import Bounds, Program


def fitting(backend: str, program: Program) -> tuple[str, ...]:
    """The names of the backends to use for a program, in the order in which to try them.

    Args:
        backend: a name, or "auto".
        program: the program.

    Raises:
        ValueError: no such backend, or it cannot solve the program.
    """
    names = available_backends()
    name = str(backend).lower().replace("-", "_")
    if name == "auto":
        fit = [name for name in names if unfit(name, program) is None]
        counting = tuple(name for name in COUNTING if name in fit)
        return ("glop",) if "glop" in fit else counting or tuple(fit[:1])
    if name not in names:
        known = ", ".join(names)
        raise ValueError(f'expected backend "auto" or one of {known} in this OR-Tools, got {backend!r}')
    reason = unfit(name, program)
    if reason is not None:
        others = ", ".join(other for other in names if unfit(other, program) is None)
        raise ValueError(f"backend {name!r} cannot take this program: {reason}; take one of {others}")
    return (name,)


def unfit(backend: str, program: Program) -> str | None:
    """Why a backend cannot solve a program exactly, or None if it can."""
    if backend == "glop" and program.integrality.any() and program.unimodular is None:
        return (
            f"it solves linear programs, and {int(program.integrality.sum())} variables are integer "
            "(integrality=False is the relaxation) in rows not known to be totally unimodular"
        )
    if backend.startswith("cp_sat"):
        return cp_sat.unfit(program)
    return unfit_bounds(backend, program, program.bounds)


def unfit_bounds(backend: str, program: Program, bounds: Bounds) -> str | None:
    """Why a backend cannot take bounds, or None if it can."""
    if backend.startswith("cp_sat"):
        return cp_sat.unfit_bounds(bounds)
    endless = program.integrality & ~(np.isfinite(bounds.lb) & np.isfinite(bounds.ub))
    if backend == "cbc" and endless.any():
        # Measured with CBC 2.10.12 of OR-Tools 9.15: suboptimal and infeasible points with status OPTIMAL.
        return (
            "CBC gives wrong answers for integer variables without finite bounds, such as variable "
            f"{int(np.argmax(endless))}"
        )
    return None
