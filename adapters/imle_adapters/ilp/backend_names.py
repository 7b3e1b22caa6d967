"""Backends by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def backend_name(backend: str, there: Sequence[str], licensed: Sequence[str]) -> str:
    """The name as the solvers have it: "CP-SAT" is "cp_sat".

    Args:
        backend: what was given.
        there: the names of the solvers that are there.
        licensed: the names of those of which that is not known.

    Raises:
        TypeError: it is no text.
        ValueError: it is none of them, nor "auto".
    """
    expected = (
        f'expected backend "auto", one of {", ".join(there)} in this OR-Tools, or with a licence '
        f"{' or '.join(licensed)}, got {backend!r}"
    )
    if not isinstance(backend, str):
        raise TypeError(f"{expected}; or a Choice, which Choice(**fields) makes of its fields")
    name = backend.strip().lower().replace("-", "_").replace(" ", "_")
    known = ["auto", *there, *licensed]
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    raise ValueError(f"{expected}; did you mean {close[0]!r}?" if close else expected)
