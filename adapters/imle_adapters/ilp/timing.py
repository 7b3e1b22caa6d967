"""Which settings of `ILPAdapter` are the fastest, by trying them."""

from __future__ import annotations

import time
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from imle_adapters.ilp.adapter import ILPAdapter
from imle_adapters.ilp.backends import available_backends
from imle_adapters.ilp.choice import unfit
from imle_adapters.ilp.program import Program
from imle_adapters.ilp.spec import ILPSpec
from imle_solvers.errors import InputError
from imle_solvers.status import Status

_ENDS = (Status.OPTIMAL, Status.INFEASIBLE, Status.UNBOUNDED)


class Settings(TypedDict):
    """Arguments of `ILPAdapter`."""

    backend: str
    compiled: bool


def fastest_settings(spec: ILPSpec, thetas: ArrayLike, *, quiet: bool = False, **context: ArrayLike) -> Settings:
    """Times every backend that can hold a program, with and without the compiled search, on one core.

    Timings differ from run to run, so `ILPAdapter` never chooses by them on its own. Do it once, and write down what
    it prints: `ILPAdapter(spec, **settings)`. Backends may choose differently among tied optima.

    Args:
        spec: the program.
        thetas: (N, *spec.shape), typical of those to solve, noise included; a dozen will do.
        quiet: do not print the table.
        **context: per-instance arrays with a leading axis of N, as for the layer.

    Returns:
        The settings that took the least time.

    Raises:
        ValueError: thetas or context are not of that shape, or are nothing to solve; the spec is infeasible.
    """
    rows = np.ascontiguousarray(thetas, dtype=np.float64)
    if rows.shape[1:] != spec.shape or len(rows) == 0:
        raise ValueError(f"expected thetas of shape (N, {', '.join(map(str, spec.shape))}), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"expected finite thetas, got {rows[~np.isfinite(rows)][0]}")
    arrays = {name: np.asarray(values) for name, values in context.items()}
    shapes = {name: (len(rows), *np.shape(getattr(spec, name))) for name in ("b_ub", "b_eq", "lb", "ub")}
    for name, array in arrays.items():
        if array.shape != shapes.get(name):
            expected = ", ".join(f"{known} {shape}" for known, shape in shapes.items())
            raise ValueError(f"expected context to be of {expected}, got {name} of shape {array.shape}")
    program = Program.of(spec)
    fitting = [name for name in available_backends() if unfit(name, program) is None]
    best, settings = np.inf, Settings(backend=fitting[0], compiled=True)
    refused: InputError | None = None
    searches = program.integrality.all()
    for compiled in (True, False) if searches else (False,):
        for backend in fitting:
            # No instance needs longer than the best settings took for all of them.
            limit = None if best == np.inf else max(best, 1e-3)
            try:
                seconds = _seconds(ILPAdapter(spec, backend, limit, compiled), rows, arrays, best)
            except InputError as error:  # some backends take no infinite bounds
                seconds, refused = np.inf, error
            if not quiet:
                how = "given up" if seconds == np.inf else f"{seconds / len(rows) * 1e6:8.0f} us an instance"
                print(f"backend={backend!r:9} compiled={compiled!s:5} {how}")
            if seconds < best:
                best, settings = seconds, Settings(backend=backend, compiled=compiled)
    if best == np.inf and refused is not None:
        raise refused
    return settings


def _seconds(adapter: ILPAdapter, thetas: Any, context: dict[str, Any], best: float) -> float:
    """Seconds for all instances, infinite where it takes longer than the best, or fails."""
    adapter.check(thetas, context)
    state = adapter.build()
    adapter.solve_batch(state, thetas[:1], {name: array[:1] for name, array in context.items()})
    start = time.perf_counter()
    for row in range(len(thetas)):
        part = slice(row, row + 1)
        solved = adapter.solve_batch(state, thetas[part], {name: array[part] for name, array in context.items()})
        if solved.statuses[0] not in _ENDS or time.perf_counter() - start > best:
            return np.inf
    return time.perf_counter() - start
