"""The warning that theta is solved as something else than it is: once a cause, in plain words, at the user's line."""

from __future__ import annotations

import sys
import warnings

import numpy as np

from imle_solvers.adapter import Context, FloatArray, SolverAdapter, calling

_HAPPENS = {
    "predicted": "whatever they are there, the solution is the same, so that the network learns little from it",
    "true": "the loss is that of zeros in their place",
}


class Clamping:
    """What one layer has been told of entries of theta that were solved as zero, see `SolverAdapter.clamped`."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def look(self, adapter: SolverAdapter, thetas: FloatArray, context: Context, which: str = "predicted") -> None:
        """Warns, once, if there are such entries.

        Args:
            adapter: the adapter.
            thetas: (B, *instance_shape), without noise: a small temperature moves few entries that are not near zero.
            context: of these instances.
            which: whether theta is "predicted", or are the "true" costs or scores of a loss.
        """
        if which in self._told:
            return
        with calling(adapter, "clamped"):
            clamped = adapter.clamped(thetas, context)
        if clamped is None or not clamped.any():
            return
        self._told.add(which)
        costs = "costs" if adapter.sense == "min" else "scores"
        share = np.count_nonzero(clamped) / clamped.size
        warnings.warn(
            f"{adapter!r}: {_readable(share)} of the {which} {costs} in this batch are out of what it can solve, and "
            f"are solved as zero: {_HAPPENS[which]}. What to do: {adapter.clamping_advice}. This is said once; "
            "layer.stats().counters goes on counting",
            RuntimeWarning,
            stacklevel=stacklevel(),
        )


def _readable(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "all"


def stacklevel() -> int:
    """Of the first frame outside this package and torch, counted from whoever calls this."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "imle_solvers",
        "torch",
    ):
        frame, level = frame.f_back, level + 1
    return level
