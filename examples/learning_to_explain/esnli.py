"""e-SNLI (Camburu et al., NeurIPS 2018): pairs of sentences, how they relate, and the words that people highlighted."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

from examples.learning_to_explain.reading import read_lines
from examples.learning_to_explain.texts import Corpus, Text, divide

LABELS = ("entailment", "neutral", "contradiction")
COLUMNS = ("gold_label", "Sentence1_marked_1", "Sentence2_marked_1")
SHARES = (0.8, 0.05, 0.15)
"""Of a single file: to learn from, to stop by, to test on."""

_PARTS = (("train", ("train",)), ("validation", ("dev", "val")), ("test", ("test",)))
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")


def read_esnli(files: Sequence[Path], seed: int) -> Corpus:
    """Reads files of pairs; of a single one, the pairs of one first sentence stay together when it is divided.

    Args:
        files: a single one, or several whose names say what they are for: train, dev or val, test. Names that end in
            .csv[.gz] are the official ones; others have an object of JSON in each line, with `tokens`, `label` and
            `highlight`, the indices of highlighted tokens.
        seed: of the division of a single file.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or not what it should be; says which line.
    """
    if len(files) == 1:
        train, validation, test = divide(_read(files[0]), SHARES, seed)
        return Corpus("e-SNLI", LABELS, train, validation, test, test)
    parts: dict[str, list[Text]] = {name: [] for name, _ in _PARTS}
    for file in files:
        names = [name for name, words in _PARTS if any(word in file.name.lower() for word in words)]
        if len(names) != 1:
            raise ValueError(f"{file}: expected train, dev or test in the file's name, which says what it is for")
        parts[names[0]] += _read(file)
    if missing := [name for name, texts in parts.items() if not texts]:
        raise ValueError(f"of several files: expected one of each, train, dev and test; there is none for {missing[0]}")
    return Corpus("e-SNLI", LABELS, parts["train"], parts["validation"], parts["test"], parts["test"])


def _read(file: Path) -> list[Text]:
    lines = read_lines(file, "pairs of e-SNLI")
    official = file.name.removesuffix(".gz").endswith(".csv")
    texts = _of_csv(file, lines) if official else [_of_json(file, number, line) for number, line in enumerate(lines, 1)]
    if not texts:
        raise ValueError(f"{file}: expected pairs of e-SNLI, got the head of a table alone")
    return texts


def _of_json(file: Path, number: int, line: str) -> Text:
    where = f"{file}, line {number}"
    try:
        row = json.loads(line)
        words, label, highlight = row["tokens"], row["label"], row["highlight"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where}: expected JSON with tokens, label and highlight, got {line[:60]!r}") from error
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
        raise ValueError(f"{where}: expected a list of words as tokens, got {str(words)[:60]}")
    whole = isinstance(highlight, list) and all(type(index) is int and 0 <= index < len(words) for index in highlight)
    if not whole:
        raise ValueError(f"{where}: expected indices below {len(words)} as highlight, got {str(highlight)[:60]}")
    return _text(where, words, label, frozenset(highlight), _second_sentence(words))


def _of_csv(file: Path, lines: list[str]) -> list[Text]:
    rows = csv.DictReader(io.StringIO("\n".join(lines)), strict=True)
    texts = []
    try:
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{file}: expected columns {', '.join(COLUMNS)}; there is no {missing[0]}")
        for row in rows:
            where = f"{file}, line {rows.line_num}"
            if None in row or None in row.values():
                raise ValueError(f"{where}: expected {len(rows.fieldnames or ())} columns, got more or fewer")
            (first, one), (second, other) = _marked(row[COLUMNS[1]]), _marked(row[COLUMNS[2]])
            highlight = frozenset(one) | {len(first) + index for index in other}
            texts.append(_text(where, first + second, row[COLUMNS[0]], highlight, len(first)))
    except csv.Error as error:
        raise ValueError(f"{file}, line {rows.line_num}: expected a table of e-SNLI: {error}") from error
    return texts


def _text(where: str, words: list[str], label: object, highlight: frozenset[int], second: int) -> Text:
    if label not in LABELS:
        raise ValueError(f"{where}: expected one of {', '.join(LABELS)} as label, got {label!r}")
    if not words:
        raise ValueError(f"{where}: expected two sentences, got none")
    return Text(tuple(words), LABELS.index(str(label)), highlight, second, group=" ".join(words[:second]))


def _marked(sentence: str) -> tuple[list[str], list[int]]:
    """Words, and indices of those between asterisks; of those the punctuation marks are not highlighted."""
    words: list[str] = []
    highlight: list[int] = []
    inside = False
    for piece in sentence.split():
        marked = inside or "*" in piece
        inside ^= piece.count("*") % 2 == 1
        found = _WORD.findall(piece.replace("*", ""))
        highlight += [len(words) + i for i, word in enumerate(found) if marked and word[0].isalnum()]
        words += found
    return words, highlight


def _second_sentence(words: Sequence[str]) -> int:
    """Where the second sentence seems to begin, in files that do not say so.

    At the last capital after the end of a sentence, else at the last word that often begins one, else at the last
    capital, else in the middle.
    """
    inner = range(1, len(words) - 1)
    capitals = [index for index in inner if words[index][:1].isupper()]
    openings = {"A", "An", "The", "Two", "Three", "Some", "There", "People", "Someone", "He", "She", "They", "It"}
    for candidates in (
        [index for index in capitals if words[index - 1] in {".", "!", "?", '"', ".."}],
        [index for index in capitals if words[index] in openings],
        capitals,
    ):
        if candidates:
            return candidates[-1]
    return len(words) // 2
