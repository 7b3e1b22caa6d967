"""The MPS format, free or fixed as long as names have no spaces in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from imle_adapters.ilp.formats.linear_model import LinearModel

_UNSUPPORTED = {
    "SOS": "special ordered sets",
    "SETS": "special ordered sets",
    "QUADOBJ": "a quadratic objective",
    "QMATRIX": "a quadratic objective",
    "QSECTION": "a quadratic objective",
    "QCMATRIX": "quadratic constraints",
    "CSECTION": "cones",
    "INDICATORS": "indicator constraints",
    "PWLOBJ": "a piecewise linear objective",
    "GENCONS": "general constraints",
    "SC": "semi-continuous variables",
    "SI": "semi-integer variables",
}


@dataclass
class _Mps:
    """What was read so far."""

    section: str = ""
    maximize: bool = False
    objective_row: str | None = None
    row_kinds: dict[str, str] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    entries: dict[tuple[str, str], float] = field(default_factory=dict)
    right_sides: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, list[float | None]] = field(default_factory=dict)
    integers: set[str] = field(default_factory=set)
    in_integers: bool = False
    vectors: dict[str, str] = field(default_factory=dict)


def parse_mps(text: str) -> LinearModel:
    """Reads an MPS file.

    Conventions where files leave room: the first N row is the objective and other N rows are dropped; the objective's
    right-hand side is minus its constant; integer variables between markers without any bound are 0/1; a negative
    upper bound without a lower bound makes the lower bound -inf.

    Raises:
        ValueError: text in another format, unsupported content, or a name that was not declared; with the line.
    """
    mps = _Mps()
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or line.startswith("*"):
            continue
        try:
            if not line[0].isspace():
                _start_section(mps, fields)
            else:
                _read_line(mps, fields)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}, in {line.strip()!r}") from None
        if mps.section == "ENDATA":
            return _linear_model(mps)
    raise ValueError("expected the file to end with ENDATA; it is cut short, or not an MPS file")


def _start_section(mps: _Mps, fields: list[str]) -> None:
    mps.section = fields[0].upper()
    if mps.section in _UNSUPPORTED:
        raise ValueError(f"{_UNSUPPORTED[mps.section]} are not supported")
    if mps.section in ("OBJSENSE", "OBJSENSEMAX") and len(fields) > 1:
        _read_line(mps, fields[1:])
    elif mps.section == "OBJSENSEMAX":
        mps.maximize = True
    elif mps.section not in ("NAME", "OBJSENSE", "ENDATA", *_READERS):
        raise ValueError("expected a section of an MPS file (ROWS, COLUMNS, RHS, RANGES, BOUNDS)")


def _read_line(mps: _Mps, fields: list[str]) -> None:
    if mps.section == "OBJSENSE":
        if fields[0].upper() not in ("MIN", "MAX", "MINIMIZE", "MAXIMIZE", "MINIMISE", "MAXIMISE"):
            raise ValueError("expected MIN or MAX")
        mps.maximize = fields[0].upper().startswith("MAX")
    elif mps.section in _READERS:
        _READERS[mps.section](mps, fields)
    else:
        raise ValueError("expected a section first")


def _row(mps: _Mps, fields: list[str]) -> None:
    if len(fields) != 2 or fields[0].upper() not in ("N", "L", "G", "E"):
        raise ValueError("expected N, L, G or E and the name of a row")
    kind, name = fields[0].upper(), fields[1]
    if name in mps.row_kinds:
        raise ValueError(f"row {name} comes twice")
    mps.row_kinds[name] = kind
    if kind == "N" and mps.objective_row is None:
        mps.objective_row = name


def _column(mps: _Mps, fields: list[str]) -> None:
    if len(fields) >= 3 and fields[1].strip("'\"").upper() == "MARKER":
        marker = fields[2].strip("'\"").upper()
        if marker not in ("INTORG", "INTEND"):
            raise ValueError(f"markers other than INTORG and INTEND ({marker}) are not supported")
        mps.in_integers = marker == "INTORG"
        return
    if len(fields) not in (3, 5):
        raise ValueError("expected a variable and one or two pairs of row and number (names without spaces)")
    name = fields[0]
    mps.columns.setdefault(name, len(mps.columns))
    if mps.in_integers:
        mps.integers.add(name)
    for row, value in _pairs(mps, fields[1:]):
        if (row, name) in mps.entries:
            raise ValueError(f"the coefficient of {name} in row {row} comes twice")
        mps.entries[row, name] = value


def _vector(values: str) -> Callable[[_Mps, list[str]], None]:
    """A reader of RHS or RANGES lines."""

    def read(mps: _Mps, fields: list[str]) -> None:
        if len(fields) % 2:
            _one_vector(mps, fields[0])
            fields = fields[1:]
        if not 2 <= len(fields) <= 4:
            raise ValueError("expected one or two pairs of row and number (names without spaces)")
        getattr(mps, values).update(_pairs(mps, fields))

    return read


def _bound(mps: _Mps, fields: list[str]) -> None:
    kind = fields[0].upper()
    if kind in _UNSUPPORTED:
        raise ValueError(f"{_UNSUPPORTED[kind]} are not supported")
    if kind in ("FR", "MI", "PL", "BV"):
        fields = fields if len(fields) == 4 else [*fields, "0"]
    elif kind not in ("LO", "UP", "FX", "LI", "UI"):
        raise ValueError("expected LO, UP, FX, FR, MI, PL, BV, LI or UI")
    if len(fields) == 4:
        _one_vector(mps, fields.pop(1))
    if len(fields) != 3:
        raise ValueError("expected the kind of a bound, a variable and a number (names without spaces)")
    name, value = fields[1], _number(fields[2])
    if name not in mps.columns:
        raise ValueError(f"variable {name} is not in COLUMNS")
    bound = mps.bounds.setdefault(name, [None, None])
    if kind in ("BV", "LI", "UI"):
        mps.integers.add(name)
    if kind in ("LO", "LI", "FX"):
        bound[0] = value
    if kind in ("UP", "UI", "FX"):
        bound[1] = value
    if kind in ("FR", "MI"):
        bound[0] = -math.inf
    if kind in ("FR", "PL"):
        bound[1] = math.inf
    if kind == "BV":
        bound[:] = [0.0, 1.0]


_READERS: dict[str, Callable[[_Mps, list[str]], None]] = {
    "ROWS": _row,
    "COLUMNS": _column,
    "RHS": _vector("right_sides"),
    "RANGES": _vector("ranges"),
    "BOUNDS": _bound,
}


def _one_vector(mps: _Mps, name: str) -> None:
    first = mps.vectors.setdefault(mps.section, name)
    if name != first:
        raise ValueError(f"expected one set in {mps.section}, got {first} and {name}")


def _pairs(mps: _Mps, fields: list[str]) -> list[tuple[str, float]]:
    pairs = [(row, _number(value)) for row, value in zip(fields[::2], fields[1::2], strict=True)]
    for row, _ in pairs:
        if row not in mps.row_kinds:
            raise ValueError(f"row {row} is not in ROWS")
    return pairs


def _number(text: str) -> float:
    try:
        value = float(text.replace("D", "E").replace("d", "e"))  # Fortran writes 1D+30
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None
    if math.isnan(value):
        raise ValueError("expected a number, got nan")
    return value


def _linear_model(mps: _Mps) -> LinearModel:
    if mps.objective_row is None:
        raise ValueError("expected an N row, the objective, in ROWS")
    if not mps.columns:
        raise ValueError("expected variables in COLUMNS")
    rows = {name: i for i, name in enumerate(name for name, kind in mps.row_kinds.items() if kind != "N")}
    n = len(mps.columns)
    objective = np.zeros(n)
    places: list[tuple[int, int]] = []
    values = []
    for (row, column), value in mps.entries.items():
        if row == mps.objective_row:
            objective[mps.columns[column]] = value
        elif row in rows:
            places.append((rows[row], mps.columns[column]))
            values.append(value)
    where = tuple(np.array(places, dtype=np.int64).reshape(-1, 2).T)
    sides = [_sides(mps.row_kinds[row], mps.right_sides.get(row, 0.0), mps.ranges.get(row)) for row in rows]
    bounds = [_column_bounds(mps, name) for name in mps.columns]
    return LinearModel(
        names=list(mps.columns),
        objective=objective,
        offset=-mps.right_sides.get(mps.objective_row, 0.0),
        maximize=mps.maximize,
        matrix=scipy.sparse.csr_matrix((values, where), shape=(len(rows), n)),
        row_lb=[low for low, _ in sides],
        row_ub=[high for _, high in sides],
        lb=[low for low, _ in bounds],
        ub=[high for _, high in bounds],
        integrality=[name in mps.integers for name in mps.columns],
    )


def _sides(kind: str, rhs: float, width: float | None) -> tuple[float, float]:
    if width is None:
        return (-math.inf if kind == "L" else rhs), (math.inf if kind == "G" else rhs)
    if kind == "E":
        return rhs + min(width, 0.0), rhs + max(width, 0.0)
    return (rhs - abs(width), rhs) if kind == "L" else (rhs, rhs + abs(width))


def _column_bounds(mps: _Mps, name: str) -> tuple[float, float]:
    if name not in mps.bounds:
        return 0.0, 1.0 if name in mps.integers else math.inf
    low, high = mps.bounds[name]
    if low is None:
        low = -math.inf if high is not None and high < 0.0 else 0.0
    return low, math.inf if high is None else high
