"""Which settings of `ILPAdapter` are the fastest, by trying them."""

from __future__ import annotations

import datetime
import time
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from imle_adapters.ilp.adapter import ILPAdapter
from imle_adapters.ilp.engines.backends import available_backends
from imle_adapters.ilp.engines.fit import unfit
from imle_adapters.ilp.engines.search import Search
from imle_adapters.ilp.program import Program
from imle_adapters.ilp.spec import ILPSpec
from imle_solvers.deferred import wait_for_kernels
from imle_solvers.errors import InputError
from imle_solvers.status import Status

_ENDS = (Status.OPTIMAL, Status.INFEASIBLE, Status.UNBOUNDED)


class Settings(TypedDict):
    """Arguments of `ILPAdapter`."""

    backend: str
    compiled: bool


def fastest_settings(
    spec: ILPSpec,
    thetas: ArrayLike,
    *,
    time_limit: float | datetime.timedelta = 60.0,
    quiet: bool = False,
    **context: ArrayLike,
) -> Settings:
    """Times every backend that can hold a program, with and without the compiled search, on one core.

    Timings differ from run to run, so `ILPAdapter` never chooses by them on its own. Do it once, and write down what
    it prints: `ILPAdapter(spec, **settings)`. Backends may choose differently among tied optima.

    Args:
        spec: the program.
        thetas: (N, *spec.shape), typical of those to solve, noise included; a dozen will do.
        time_limit: about how many seconds, or a timedelta, it may take in all, shared among what is tried. Where
            nothing solves all instances in its share, what solves the most of them is chosen.
        quiet: do not print the table.
        **context: per-instance arrays with a leading axis of N, as for the layer.

    Returns:
        The settings that took the least time.

    Raises:
        TypeError: no spec, or a time limit that is no time.
        ValueError: thetas or context are not of that shape, or are nothing to solve; the spec is infeasible; a time
            limit that is not positive; nothing solves any instance in its share of the time.
    """
    if not isinstance(spec, ILPSpec):
        raise TypeError(f"expected an ILPSpec, got {spec!r}; an adapter has it as its `spec`")
    rows = np.ascontiguousarray(thetas, dtype=np.float64)
    if rows.shape[1:] != spec.shape or len(rows) == 0:
        raise ValueError(f"expected thetas of shape (N, {', '.join(map(str, spec.shape))}), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"expected finite thetas, got {rows[~np.isfinite(rows)][0]}")
    allowed = _positive_seconds(time_limit)
    arrays = {name: np.asarray(values) for name, values in context.items()}
    shapes = {name: (len(rows), *np.shape(getattr(spec, name))) for name in ("b_ub", "b_eq", "lb", "ub")}
    for name, array in arrays.items():
        if array.shape != shapes.get(name):
            expected = ", ".join(f"{known} {shape}" for known, shape in shapes.items())
            raise ValueError(f"expected context to be of {expected}, got {name} of shape {array.shape}")
    program = Program.of(spec)
    fitting = [name for name in available_backends() if unfit(name, program) is None]
    searches = (True, False) if Search.takes(program) else (False,)
    tried = [(name, compiled) for compiled in searches for name in fitting]
    ends = time.monotonic() + allowed
    best, settings = _Trial(0, np.inf), Settings(backend=fitting[0], compiled=True)
    refused: InputError | None = None
    for left, (backend, compiled) in zip(range(len(tried), 0, -1), tried, strict=True):
        # No instance needs longer than the best settings took for all of them.
        share = max(1e-3, (ends - time.monotonic()) / left)
        limit = min(share, best.seconds) if best.solved == len(rows) else share
        try:
            trial = _try(ILPAdapter(spec, backend, max(limit, 1e-3), compiled), rows, arrays, limit)
        except InputError as error:  # some backends take no infinite bounds
            trial, refused = _Trial(0, np.inf), error
        if not quiet:
            how = f"{trial.seconds / max(1, trial.solved) * 1e6:8.0f} us an instance"
            how = (
                how
                if trial.solved == len(rows)
                else f"stopped after {trial.solved} of {len(rows)}: slower than the best, or out of time"
            )
            print(f"backend={backend!r:16} compiled={compiled!s:5} {how}")
        if (-trial.solved, trial.seconds) < (-best.solved, best.seconds):
            best, settings = trial, Settings(backend=backend, compiled=compiled)
    if best.solved == 0 and refused is not None:
        raise refused
    if best.solved == 0:
        raise ValueError(
            f"no backend solved the first instance in its share of {allowed:g} s; give a longer time_limit, "
            "or easier thetas"
        )
    return settings


def _positive_seconds(time_limit: float | datetime.timedelta) -> float:
    seconds = time_limit.total_seconds() if isinstance(time_limit, datetime.timedelta) else time_limit
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"expected time_limit to be a number of seconds or a timedelta, got {time_limit!r}")
    if not 0 < seconds < np.inf:
        raise ValueError(f"expected time_limit to be a positive number of seconds, got {time_limit!r}")
    return float(seconds)


class _Trial(NamedTuple):
    """How many instances were solved in the time that there was, and in how many seconds."""

    solved: int
    seconds: float


def _try(adapter: ILPAdapter, thetas: Any, context: dict[str, Any], limit: float) -> _Trial:
    """Solves one instance after the other until one fails or the time is over."""
    adapter.check(thetas, context)
    state = adapter.build()
    wait_for_kernels()

    def solves(row: int) -> bool:
        part = slice(row, row + 1)
        solved = adapter.solve_batch(state, thetas[part], {name: array[part] for name, array in context.items()})
        return solved.statuses[0] in _ENDS

    if not solves(0):  # which also does what is done once
        return _Trial(0, np.inf)
    begin, done = time.perf_counter(), 0
    while done < len(thetas) and time.perf_counter() - begin <= limit and solves(done):
        done += 1
    return _Trial(done, time.perf_counter() - begin)
