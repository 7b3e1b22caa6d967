"""Files in CoNLL-U, the format of Universal Dependencies (https://universaldependencies.org/format.html)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from examples.parsing.sentences import Sentence

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")

Row = tuple[int, str, int]
"""Number of the line, FORM, HEAD."""


def read_conllu(file: Path, *, one_root: bool = False) -> list[Sentence]:
    """Reads words and heads of sentences; comments, ranges of several words (1-2) and empty nodes (1.1) are skipped.

    Args:
        file: in UTF-8.
        one_root: whether each sentence must have exactly one word with HEAD 0, as Universal Dependencies has it; others
            have more now and then.

    Raises:
        ValueError: it cannot be read, or is no such file, or heads form no tree; says in one line where, what was
            expected, what came.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{file}: expected a file in CoNLL-U: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: expected text in UTF-8, got the byte {error.object[error.start]:#04x} at {error.start}"
        ) from None
    sentences, rows = [], list[Row]()
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        where = f"{file}, line {number}"
        line = line.removesuffix("\r")
        if not line:
            if rows and number == len(lines):
                raise ValueError(
                    f"{where}: expected an empty line after the last sentence, got the end; is the file cut off?"
                )
            if rows:
                sentences.append(_sentence(rows, file, one_root=one_root))
                rows = []
        elif not line.startswith("#"):
            rows += _row(line, len(rows) + 1, number, where)
    if rows:
        raise ValueError(
            f"{file}, line {len(lines)}: expected an end of the line, got the end of the file; is the file cut off?"
        )
    if not sentences:
        raise ValueError(f"{file}: expected sentences in CoNLL-U, found none")
    return sentences


def _row(line: str, place: int, number: int, where: str) -> Iterator[Row]:
    """The word of a line, if it has one."""
    columns = line.split("\t")
    if len(columns) != len(COLUMNS):
        names = ", ".join(COLUMNS)
        raise ValueError(
            f"{where}: expected {len(COLUMNS)} columns ({names}) with tabs between them, got {len(columns)}"
        )
    name, form, head = columns[0], columns[1], columns[6]
    if not name.isdecimal():
        parts = name.replace(".", "-").split("-")
        if len(parts) == 2 and all(part.isdecimal() for part in parts):
            return
        raise ValueError(f"{where}: expected an ID such as {place}, 1-2 or 1.1, got {name!r}")
    if int(name) != place:
        raise ValueError(f"{where}: expected the ID {place}, got {name}; sentences end by an empty line")
    if not form:
        raise ValueError(f"{where}: expected a FORM, got none")
    if not head.isdecimal():
        raise ValueError(f"{where}: expected HEAD, column 7, to be the ID of a word, or 0, got {head!r}")
    yield number, form, int(head)


def _sentence(rows: list[Row], file: Path, *, one_root: bool) -> Sentence:
    numbers, words, heads = zip(*rows, strict=True)
    for number, head in zip(numbers, heads, strict=True):
        if head > len(rows):
            raise ValueError(f"{file}, line {number}: expected HEAD from 0 to {len(rows)}, the last word, got {head}")
    for place, number in enumerate(numbers, start=1):
        above = place
        for _ in rows:
            above = above and heads[above - 1]
        if above:
            raise ValueError(
                f"{file}, line {number}: expected HEADs that lead to 0, a tree, got a cycle above {words[place - 1]!r}"
            )
    if one_root and heads.count(0) > 1:
        raise ValueError(
            f"{file}, line {numbers[0]}: expected one word with HEAD 0 in the sentence, got {heads.count(0)}, between "
            "which undirected trees have no edge; use --trees rooted"
        )
    return Sentence(words, heads)
