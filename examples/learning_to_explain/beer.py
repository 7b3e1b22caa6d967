"""BeerAdvocate (McAuley et al., 2012), as Lei et al. (EMNLP 2016) prepared it."""

from __future__ import annotations

import json
from pathlib import Path

from examples.learning_to_explain.reading import find, read_lines, read_vectors
from examples.learning_to_explain.texts import Corpus, Text, divide

ASPECTS = ("appearance", "aroma", "palate", "taste")
VECTORS = "review+wiki.filtered.200.txt"


def read_beer(folder: Path, aspect: int, seed: int) -> Corpus:
    """Reads reviews.aspectA.train.txt, reviews.aspectA.heldout.txt, annotations.json and the vectors, if there are any.

    Each of them plain, or with .gz. One half of the held-out reviews is to stop by, the other to test on, as published.

    Args:
        folder: that has the files.
        aspect: index in `ASPECTS`.
        seed: of the halves.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or not what it should be; says which line.
    """
    names = [f"reviews.aspect{aspect}.{part}.txt" for part in ("train", "heldout")]
    train, held_out = (_read_reviews(find(folder, name), aspect) for name in names)
    annotated = _read_annotations(find(folder, "annotations.json"), aspect)
    vectors = find(folder, VECTORS)
    validation, test = divide(held_out, (0.5, 0.5), seed)
    return Corpus(
        f"BeerAdvocate, {ASPECTS[aspect]}",
        (),
        train,
        validation,
        test,
        annotated,
        read_vectors(vectors) if vectors.is_file() else {},
    )


def _read_reviews(file: Path, aspect: int) -> list[Text]:
    texts = []
    for number, line in enumerate(read_lines(file, "reviews"), 1):
        ratings, _, text = line.partition("\t")
        target = _rating(ratings.split(), aspect)
        if target is None or not text.split():
            expected = f"at least {aspect + 1} ratings from 0 to 1, a tab, and a review"
            raise ValueError(f"{file}, line {number}: expected {expected}, got {line[:60]!r}")
        texts.append(Text(tuple(text.split()), target))
    return texts


def _rating(values: list[str], aspect: int) -> float | None:
    try:
        rating = float(values[aspect])
    except (ValueError, IndexError):
        return None
    return rating if 0 <= rating <= 1 else None


def _read_annotations(file: Path, aspect: int) -> list[Text]:
    texts = []
    for number, line in enumerate(read_lines(file, "annotated reviews"), 1):
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
            words, ratings, spans = row["x"], row["y"], row[str(aspect)]
            target = float(ratings[aspect])
            ends = [(int(start), int(end)) for start, end in spans]
            words = tuple(map(str, words)) if isinstance(words, list) else ()
        except (ValueError, KeyError, TypeError, IndexError) as error:
            expected = f"JSON with words x, ratings y, and spans of aspect {aspect} as {str(aspect)!r}"
            raise ValueError(f"{where}: expected {expected}, got {line[:60]!r}") from error
        if not words or any(not 0 <= start <= end <= len(words) for start, end in ends):
            raise ValueError(f"{where}: expected words, and spans within their {len(words)}, got {ends}")
        texts.append(Text(words, target, frozenset(index for span in ends for index in range(*span))))
    return texts
