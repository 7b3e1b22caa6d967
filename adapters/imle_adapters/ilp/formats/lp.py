"""The LP format of CPLEX, which Gurobi, HiGHS and SCIP read and write too."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from imle_adapters.ilp.formats.linear_model import LinearModel

_SECTIONS = {
    "max": r"max(imi[sz]e|imum)?",
    "min": r"min(imi[sz]e|imum)?",
    "rows": r"subject\s+to|such\s+that|st|s\.t\.|st\.",
    "bounds": r"bounds?",
    "integers": r"gen(erals?)?|int(egers?)?",
    "binaries": r"bin(ary|aries)?",
    "end": r"end",
    "unsupported": r"sos[12]?|semi(-continuous|s)?|semi|pwlobj|lazy\s+constraints|user\s+cuts|general\s+constraints",
}
_SECTION = re.compile(
    r"\s*(?:" + "|".join(f"(?P<{name}>{words})" for name, words in _SECTIONS.items()) + r")(?=\s|$)(?!\s*:)",
    re.IGNORECASE,
)
_TURNED = {"<": ">", ">": "<", "=": "="}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<relation><=|=<|>=|=>|<|>|=)|(?P<sign>[+-])|(?P<colon>:)"
    r"|(?P<name>[A-Za-z!\"#$%&(),;?@_`'{}~/.][\w!\"#$%&(),.;?@`'{}~/]*(?:\[[\w,.]*\])?))"
)


@dataclass
class _Expression:
    """A sum of terms and a constant."""

    terms: dict[str, float] = field(default_factory=dict)
    constant: float = 0.0


@dataclass
class _Lp:
    """What was read so far."""

    maximize: bool = False
    objective: _Expression = field(default_factory=_Expression)
    rows: list[tuple[dict[str, float], float, float]] = field(default_factory=list)
    bounds: dict[str, list[float | None]] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    integers: set[str] = field(default_factory=set)


def parse_lp(text: str) -> LinearModel:
    """Reads an LP file in the format of CPLEX.

    Variables are in order of first appearance. They are non-negative unless Bounds says otherwise.

    Raises:
        ValueError: text in another format, or unsupported content; with the line where it is known.
    """
    lp = _Lp()
    sections = _split_sections(text)
    if not sections or sections[0][0] not in ("max", "min"):
        raise ValueError("expected an LP file of CPLEX's format, which starts with Minimize or Maximize")
    if sections[-1][0] != "end":
        raise ValueError("expected the file to end with End; it is cut short")
    for kind, line, body in sections:
        try:
            _read_section(lp, kind, body)
        except ValueError as error:
            raise ValueError(f"section from line {line}: {error}") from None
    return _linear_model(lp)


def _split_sections(text: str) -> list[tuple[str, int, str]]:
    """The sections in order: kind, first line, text."""
    sections: list[tuple[str, int, list[str]]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("\\")[0]
        match = _SECTION.match(line)
        if match:
            sections.append((str(match.lastgroup), number, [line[match.end() :]]))
        elif sections:
            sections[-1][2].append(line)
        elif line.strip():
            return []
    return [(kind, number, "\n".join(lines)) for kind, number, lines in sections]


def _read_section(lp: _Lp, kind: str, body: str) -> None:
    if kind == "unsupported" or "[" in re.sub(r"\w\[[\w,.]*\]", "", body) or "->" in body:
        raise ValueError(
            "semi-continuous variables, special ordered sets, quadratic terms, indicators and lazy constraints are "
            "not supported"
        )
    if kind in ("integers", "binaries"):
        _read_kinds(lp, body.split(), kind == "binaries")
        return
    tokens = _tokens(body)
    if kind in ("max", "min"):
        lp.maximize = kind == "max"
        lp.objective, end = _expression(tokens, _after_label(tokens, 0))
        if end != len(tokens):
            raise ValueError(f"expected the objective to end, got {tokens[end][1]!r}")
        _declare(lp, lp.objective.terms)
    elif kind == "rows":
        _read_rows(lp, tokens)
    elif kind == "bounds":
        _read_bounds(lp, tokens)
    elif tokens:
        raise ValueError(f"expected nothing after End, got {tokens[0][1]!r}")


def _tokens(body: str) -> list[tuple[str, str]]:
    tokens, place = [], 0
    body = body.rstrip()
    while place < len(body):
        match = _TOKEN.match(body, place)
        if match is None:
            raise ValueError(f"expected a number, a name, a sign or a relation, got {body[place : place + 20]!r}")
        tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        place = match.end()
    return tokens


def _after_label(tokens: list[tuple[str, str]], place: int) -> int:
    labelled = place + 1 < len(tokens) and tokens[place + 1][0] == "colon"
    return place + 2 if labelled else place


def _expression(tokens: list[tuple[str, str]], place: int) -> tuple[_Expression, int]:
    """Reads signs, numbers and names up to a relation, or to a term that does not continue the sum."""
    expression = _Expression()
    first = True
    while place < len(tokens):
        sign, start = 1.0, place
        while place < len(tokens) and tokens[place][0] == "sign":
            sign = -sign if tokens[place][1] == "-" else sign
            place += 1
        if place == start and not first:
            break  # no sign: the next expression begins
        coefficient, had_number = sign, False
        if place < len(tokens) and tokens[place][0] == "number":
            coefficient, had_number = sign * float(tokens[place][1]), True
            place += 1
        is_name = place < len(tokens) and tokens[place][0] == "name" and _after_label(tokens, place) == place
        if is_name and tokens[place][1].lower() in ("inf", "infinity") and not had_number:
            expression.constant += coefficient * math.inf
            place += 1
        elif is_name:
            name = tokens[place][1]
            expression.terms[name] = expression.terms.get(name, 0.0) + coefficient
            place += 1
        elif had_number:
            expression.constant += coefficient
        elif place == start:
            break
        else:
            raise ValueError("expected a term after a sign")
        first = False
    return expression, place


def _chain(tokens: list[tuple[str, str]], place: int) -> tuple[list[_Expression], list[str], int]:
    """Reads expressions joined by relations, as in 1 <= x + y <= 3.

    Once one of them had variables only a number can follow: what comes after it starts the next row.
    """
    expression, place = _expression(tokens, place)
    expressions, relations = [expression], []
    while place < len(tokens) and tokens[place][0] == "relation":
        relations.append(tokens[place][1].replace("=<", "<=").replace("=>", ">=").replace("=", "")[:1] or "=")
        end = len(tokens)
        if any(expression.terms for expression in expressions):
            end = place + 1
            while end < len(tokens) and tokens[end][0] == "sign":
                end += 1
            end += 1
        expression, place = _expression(tokens[:end], place + 1)
        expressions.append(expression)
    return expressions, relations, place


def _read_rows(lp: _Lp, tokens: list[tuple[str, str]]) -> None:
    place = 0
    labels: set[str] = set()
    while place < len(tokens):
        first, label = place, tokens[place][1]
        start = _after_label(tokens, place)
        expressions, relations, place = _chain(tokens, start)
        if len(relations) not in (1, 2) or place == start:
            got = tokens[min(place, len(tokens) - 1)][1]
            raise ValueError(f"expected a constraint with one or two of <=, >=, =, got {got!r} near {label!r}")
        # Writers keep rows without terms: there the expression is what comes first.
        varying = [i for i, expression in enumerate(expressions) if expression.terms] or [len(relations) - 1]
        if len(varying) != 1 or (len(relations) == 2 and (varying != [1] or relations[0] != relations[1])):
            raise ValueError(f"expected all variables on one side, or number <= expression <= number, near {label!r}")
        sum_ = expressions[varying[0]]
        low, high = -math.inf, math.inf
        for i, relation in enumerate(relations):
            side = (expressions[i + 1] if i == varying[0] else expressions[i]).constant - sum_.constant
            above = relation if i == varying[0] else _TURNED[relation]
            low, high = (low if above == "<" else side), (high if above == ">" else side)
        terms = sum_.terms
        if start > first:
            if label in labels and not terms:  # it may be meant as the other side of the row before
                raise ValueError(f"expected a range in one line, as 1 <= x <= 3, got a second {label!r} without terms")
            labels.add(label)
        _declare(lp, terms)
        lp.rows.append((terms, low, high))


def _read_bounds(lp: _Lp, tokens: list[tuple[str, str]]) -> None:
    place = 0
    while place < len(tokens):
        if [kind for kind, _ in tokens[place : place + 2]] == ["name"] * 2 and tokens[place + 1][1].lower() == "free":
            _bound(lp, tokens[place][1])[:] = [-math.inf, math.inf]
            place += 2
            continue
        start = tokens[place][1]
        expressions, relations, place = _chain(tokens, place)
        where = [i for i, expression in enumerate(expressions) if expression.terms]
        if not relations or len(where) != 1 or list(expressions[where[0]].terms.values()) != [1.0]:
            raise ValueError(f"expected number <= variable <= number, or variable free, near {start!r}")
        bound = _bound(lp, next(iter(expressions[where[0]].terms)))
        for i, relation in enumerate(relations):
            value = (expressions[i + 1] if i == where[0] else expressions[i]).constant
            above = relation if i == where[0] else _TURNED[relation]
            if above != ">":
                bound[1] = value
            if above != "<":
                bound[0] = value


def _bound(lp: _Lp, name: str) -> list[float | None]:
    _known(lp, name)
    return lp.bounds.setdefault(name, [None, None])


def _read_kinds(lp: _Lp, names: list[str], binary: bool) -> None:
    for name in names:
        _known(lp, name)
        lp.integers.add(name)
        if binary:  # within the bounds that were given: writers fix a binary variable by b = 0
            low, high = lp.bounds.get(name, [None, None])
            lp.bounds[name] = [max(0.0, low or 0.0), 1.0 if high is None else min(1.0, high)]


def _declare(lp: _Lp, terms: dict[str, float]) -> None:
    for name in terms:
        lp.columns.setdefault(name, len(lp.columns))


def _known(lp: _Lp, name: str) -> None:
    if name not in lp.columns:
        raise ValueError(f"variable {name} is in no objective and no constraint")


def _linear_model(lp: _Lp) -> LinearModel:
    if not lp.columns:
        raise ValueError("expected variables in the objective or the constraints")
    n = len(lp.columns)
    objective = np.zeros(n)
    for name, value in lp.objective.terms.items():
        objective[lp.columns[name]] = value
    places = [(row, lp.columns[name]) for row, (terms, _, _) in enumerate(lp.rows) for name in terms]
    values = [value for terms, _, _ in lp.rows for value in terms.values()]
    where = tuple(np.array(places, dtype=np.int64).reshape(-1, 2).T)
    bounds = [lp.bounds.get(name, [None, None]) for name in lp.columns]
    return LinearModel(
        names=list(lp.columns),
        objective=objective,
        offset=lp.objective.constant,
        maximize=lp.maximize,
        matrix=scipy.sparse.csr_matrix((values, where), shape=(len(lp.rows), n)),
        row_lb=[low for _, low, _ in lp.rows],
        row_ub=[high for _, _, high in lp.rows],
        lb=[0.0 if low is None else low for low, _ in bounds],
        ub=[math.inf if high is None else high for _, high in bounds],
        integrality=[name in lp.integers for name in lp.columns],
    )
