"""Which backends can solve a program."""

from __future__ import annotations

import numpy as np

from imle_adapters.ilp.backend_names import backend_name
from imle_adapters.ilp.engines import cp_sat
from imle_adapters.ilp.engines.backends import COUNTING, available_backends
from imle_adapters.ilp.engines.licensed import LICENSED, require
from imle_adapters.ilp.program import Bounds, Program
from imle_adapters.ilp.spec import Bools

_FAR = 1e6  # for bounds of integer variables in HiGHS


def fitting(backend: str, program: Program) -> tuple[str, ...]:
    """The names of the backends to use for a program, in the order in which to try them.

    Args:
        backend: a name, or "auto".
        program: the program.

    Raises:
        TypeError: the backend is no text.
        ValueError: no such backend, it is not there, or it cannot solve the program.
    """
    names = available_backends()
    name = backend_name(backend, names, LICENSED)
    if name == "auto":
        fit = [name for name in names if unfit(name, program) is None]
        counting = tuple(name for name in COUNTING if name in fit)
        return ("glop",) if "glop" in fit else counting or tuple(fit[:1])
    if name in LICENSED:
        require(name)
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
    if backend == "highs":
        far = program.integrality & _beyond(bounds)
        if far.any():
            # Measured with HiGHS 1.12 of OR-Tools 9.15: from 7e6 on, where two columns of a row are alike.
            return (
                f"HiGHS gives wrong answers for integer variables with finite bounds beyond {_FAR:g}, such as variable "
                f"{int(np.argmax(far)) % far.shape[-1]}; make them narrower, or infinite"
            )
    endless = program.integrality & ~(np.isfinite(bounds.lb) & np.isfinite(bounds.ub))
    if backend == "cbc" and endless.any():
        # Measured with CBC 2.10.12 of OR-Tools 9.15: suboptimal and infeasible points with status OPTIMAL.
        return (
            "CBC gives wrong answers for integer variables without finite bounds, such as variable "
            f"{int(np.argmax(endless))}"
        )
    return None


def _beyond(bounds: Bounds) -> Bools:
    """Which variables have a finite bound that is larger than HiGHS gets on with."""
    sides = np.stack(np.broadcast_arrays(np.abs(bounds.lb), np.abs(bounds.ub)))
    return np.asarray((np.isfinite(sides) & (sides > _FAR)).any(axis=0))
