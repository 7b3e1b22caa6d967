"""Programs from files and from MathOpt models.

OR-Tools' own readers of files are not used (tests compare with them): they take a file that is cut short and names
that were never declared, and of the LP formats know that of lp_solve only.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from imle_adapters.ilp.formats.linear_model import LinearModel
from imle_adapters.ilp.formats.lp import parse_lp
from imle_adapters.ilp.formats.mps import parse_mps


def read_file(path: str | os.PathLike[str]) -> LinearModel:
    """Reads an MPS or LP file, by its suffix, packed with gzip or not.

    Raises:
        OSError: the file cannot be read.
        ValueError: another suffix, or a file that is not in the format; the message starts with the path.
    """
    file = Path(path)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = suffixes[-2:-1] if packed else suffixes[-1:]
    parsers = {".mps": parse_mps, ".lp": parse_lp}
    if not kind or kind[0] not in parsers:
        raise ValueError(f"expected a file named .mps, .lp, .mps.gz or .lp.gz, got {file}")
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if packed else raw).decode()
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: expected text{' packed by gzip' if packed else ''}, got {error}") from error
    try:
        return parsers[kind[0]](text)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


_UNSUPPORTED = {
    "auxiliary objectives": "auxiliary_objectives",
    "quadratic constraints": "get_quadratic_constraints",
    "indicator constraints": "get_indicator_constraints",
}
"""Parts of a MathOpt model, and the methods that list them, where a version of OR-Tools has such; cones and special
ordered sets a model in Python cannot have."""


def read_mathopt(model: Any, variables: Any) -> tuple[LinearModel, NDArray[np.int64]]:
    """Takes a MathOpt model apart.

    Returns:
        The program, and the positions of `variables` in it, in their shape.
    """
    # Entry by entry: the message that a model exports itself as is made by what clashes with TensorFlow in a process.
    for what, there in _UNSUPPORTED.items():
        if any(True for _ in getattr(model, there, tuple)()):
            raise ValueError(f"expected a linear objective and linear constraints, got a model with {what}")
    objective = model.objective
    if any(True for _ in objective.quadratic_terms()):
        raise ValueError("expected a linear objective and linear constraints, got a model with a quadratic objective")
    columns, rows = list(model.variables()), list(model.linear_constraints())
    column = {variable.id: position for position, variable in enumerate(columns)}
    row = {constraint.id: position for position, constraint in enumerate(rows)}
    entries = list(model.linear_constraint_matrix_entries())
    where = (
        [row[entry.linear_constraint.id] for entry in entries],
        [column[entry.variable.id] for entry in entries],
    )
    costs = np.zeros(len(columns))
    for term in objective.linear_terms():
        costs[column[term.variable.id]] = term.coefficient
    named = any(variable.name for variable in columns)
    linear = LinearModel(
        [variable.name if named else f"x{variable.id}" for variable in columns],
        costs,
        objective.offset,
        objective.is_maximize,
        scipy.sparse.csr_matrix(([entry.coefficient for entry in entries], where), shape=(len(rows), len(columns))),
        [constraint.lower_bound for constraint in rows],
        [constraint.upper_bound for constraint in rows],
        [variable.lower_bound for variable in columns],
        [variable.upper_bound for variable in columns],
        [variable.integer for variable in columns],
    )
    return linear, _positions(model, variables, column)


def _positions(model: Any, variables: Any, column: dict[int, int]) -> NDArray[np.int64]:
    array = np.array(variables, dtype=object)
    known = {variable: column[variable.id] for variable in model.variables()}
    positions = np.empty(array.shape, dtype=np.int64)
    for place in np.ndindex(array.shape):
        try:
            positions[place] = known[array[place]]
        except (KeyError, TypeError):
            raise ValueError(
                f"expected variables of the model, in an array of theta's shape, got {array[place]!r} at {place}"
            ) from None
    return positions
