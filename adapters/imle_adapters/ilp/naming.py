"""Variables by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def positions(variables: ArrayLike, names: Sequence[str] | None) -> NDArray[Any]:
    """Positions of variables that are given by name, in the same shape; anything but texts comes back as it is.

    Raises:
        ValueError: there are no names, or none like this, or it is the name of several variables.
    """
    given = np.asarray(variables)
    if given.dtype.kind not in "UO" or not all(isinstance(variable, str) for variable in given.flat):
        return given
    if names is None:
        raise ValueError(f"theta_index: expected positions, as the variables have no names, got {_first(given)!r}")
    known: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        known.setdefault(name, []).append(position)
    found = np.empty(given.shape, dtype=np.int64)
    for place, text in np.ndenumerate(given):
        name = str(text)  # of which arrays of texts make a type of their own
        of_that_name = known.get(name, [])
        if len(of_that_name) != 1:
            raise ValueError(f"theta_index: expected the name of one variable, got {name!r}{_why(name, known)}")
        found[place] = of_that_name[0]
    return found


def _first(given: NDArray[Any]) -> str | None:
    return str(given.flat[0]) if given.size else None


def _why(name: str, known: dict[str, list[int]]) -> str:
    if name in known:
        return f", which variables {' and '.join(map(str, known[name]))} have; give positions"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    some = ", ".join(map(repr, list(known)[:5])) + (", ..." if len(known) > 5 else "")
    return f"; the variables are {some}"
