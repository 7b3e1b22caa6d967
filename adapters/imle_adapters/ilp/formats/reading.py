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


def read_mathopt(model: Any, variables: Any) -> tuple[LinearModel, NDArray[np.int64]]:
    """Takes a MathOpt model apart.

    Returns:
        The program, and the positions of `variables` in it, in their shape.
    """
    proto = model.export_model()
    unsupported = {
        "quadratic objective": proto.objective.quadratic_coefficients.row_ids,
        "auxiliary objectives": proto.auxiliary_objectives,
        "quadratic constraints": proto.quadratic_constraints,
        "second-order cones": proto.second_order_cone_constraints,
        "special ordered sets": list(proto.sos1_constraints) + list(proto.sos2_constraints),
        "indicator constraints": proto.indicator_constraints,
    }
    for what, there in unsupported.items():
        if len(there):
            raise ValueError(f"expected a linear objective and linear constraints, got a model with {what}")
    column = {identity: position for position, identity in enumerate(proto.variables.ids)}
    row = {identity: position for position, identity in enumerate(proto.linear_constraints.ids)}
    entries = proto.linear_constraint_matrix
    where = ([row[i] for i in entries.row_ids], [column[i] for i in entries.column_ids])
    objective = np.zeros(len(column))
    for identity, value in zip(
        proto.objective.linear_coefficients.ids, proto.objective.linear_coefficients.values, strict=True
    ):
        objective[column[identity]] = value
    linear = LinearModel(
        list(proto.variables.names) or [f"x{identity}" for identity in column],
        objective,
        proto.objective.offset,
        proto.objective.maximize,
        scipy.sparse.csr_matrix((list(entries.coefficients), where), shape=(len(row), len(column))),
        list(proto.linear_constraints.lower_bounds),
        list(proto.linear_constraints.upper_bounds),
        list(proto.variables.lower_bounds),
        list(proto.variables.upper_bounds),
        list(proto.variables.integers),
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
