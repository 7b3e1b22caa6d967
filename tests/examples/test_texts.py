"""Readers of texts for learning to explain read what they should, and say in one line what is wrong with the rest."""

import csv
import gzip
import json
import re

import pytest

from examples.common.results import read_results
from examples.learning_to_explain.beer import VECTORS, read_beer
from examples.learning_to_explain.esnli import COLUMNS, LABELS, read_esnli
from examples.learning_to_explain.generator import ANYWHERE, OF_ASPECT, SAID, generate
from examples.learning_to_explain.reading import read_vectors
from examples.learning_to_explain.texts import Text, divide

PAIR = {"tokens": ["A", "man", "runs", ".", "He", "sleeps", "."], "label": "contradiction", "highlight": [2, 5]}
REVIEW = "0.5 0.75 0.25 1.0 0.5\tsmells of malt"
ANNOTATION = {"x": ["smells", "of", "malt"], "y": [0.5, 0.75, 0.25, 1, 0.5], "0": [], "1": [[0, 1], [2, 3]]}


def pairs(count):
    return [PAIR | {"tokens": [f"w{number}", *PAIR["tokens"][1:]]} for number in range(count)]


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def esnli(tmp_path):
    """Writes a file of pairs, by default ten good ones: (name, content) -> path."""

    def write(name="esnli_dev.jsonl.gz", content=None):
        file = tmp_path / name
        data = json_lines(pairs(10)) if content is None else content
        data = data if isinstance(data, bytes) else data.encode()
        file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return file

    return write


@pytest.fixture
def beer(tmp_path):
    """Writes a folder of reviews; content by name replaces what is good, None leaves it out."""

    def write(**replaced):
        files = {
            "reviews.aspect1.train.txt": f"{REVIEW}\n" * 4,
            "reviews.aspect1.heldout.txt.gz": f"{REVIEW}\n" * 6,
            "annotations.json": json_lines([ANNOTATION]),
            VECTORS: "malt 0.5 1.5\nof 0 1\n",
        } | {name.replace("__", "."): content for name, content in replaced.items()}
        for name, content in files.items():
            if content is not None:
                data = content if isinstance(content, bytes) else content.encode()
                packed = name.endswith(".gz") and isinstance(content, str)
                (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
        return tmp_path

    return write


def table(rows, columns=COLUMNS):
    lines = [columns, *rows]
    return "\n".join(",".join(f'"{cell}"' for cell in line) for line in lines) + "\n"


def test_json_lines_of_pairs(esnli):
    corpus = read_esnli([esnli()], seed=0)
    assert [len(texts) for texts in (corpus.train, corpus.validation, corpus.test)] == [8, 1, 1]
    assert corpus.annotated is corpus.test
    text = corpus.train[0]
    assert text.words[1:] == tuple(PAIR["tokens"][1:])
    assert (LABELS[text.target], text.highlight, text.second) == ("contradiction", {2, 5}, 4)


def test_official_tables_of_pairs(esnli):
    row = ("neutral", "A man *runs.*", "He *ran* in *the* rain.")
    files = [esnli(f"esnli_{part}.csv", table([row])) for part in ("train_1", "train_2", "dev", "test")]
    corpus = read_esnli(files, seed=0)
    assert [len(texts) for texts in (corpus.train, corpus.validation, corpus.test)] == [2, 1, 1]
    text = corpus.test[0]
    assert text.words == ("A", "man", "runs", ".", "He", "ran", "in", "the", "rain", ".")
    assert (text.highlight, text.second) == ({2, 5, 7}, 4)


def test_sentences_that_are_one_field_of_several_lines(esnli):
    columns = ("Explanation_1", *COLUMNS)
    corpus = read_esnli([esnli("x.csv", table([("one,\ntwo", "neutral", f"A {n}.", "B.") for n in "abc"], columns))], 0)
    assert sorted(text.words[1] for text in (*corpus.train, *corpus.validation, *corpus.test)) == ["a", "b", "c"]


WRONG_PAIRS = {
    "truncated": ("dev.jsonl.gz", gzip.compress(json_lines(pairs(9)).encode())[:-30], "truncated gzip file"),
    "not compressed": ("dev.jsonl.gz", b"plain", "compressed by gzip, got something else"),
    "damaged": ("dev.jsonl.gz", gzip.compress(b"abc" * 9)[:10] + b"\xff" * 40, "got something else"),
    "wrong encoding": ("dev.jsonl", json_lines([PAIR]).encode() + "{caf\xe9}".encode("latin-1"), "byte 0xe9 in line 2"),
    "empty": ("dev.jsonl", b"", "got an empty file"),
    "empty, compressed": ("dev.jsonl.gz", gzip.compress(b"\n"), "got an empty file"),
    "no JSON": ("dev.jsonl", json_lines([PAIR]) + "tokens\n", "line 2: expected JSON with tokens, label"),
    "a list": ("dev.jsonl", "[1]\n", "line 1: expected JSON with tokens, label"),
    "a key is missing": (
        "dev.jsonl",
        json_lines([{"tokens": ["a"], "label": "neutral"}]),
        "tokens, label and highlight",
    ),
    "no words": ("dev.jsonl", json_lines([PAIR | {"tokens": []}]), "expected a list of words as tokens"),
    "tokens are text": ("dev.jsonl", json_lines([PAIR | {"tokens": "a b"}]), "expected a list of words as tokens"),
    "a wrong label": ("dev.jsonl", json_lines([PAIR | {"label": "-"}]), "expected one of entailment, neutral, .*'-'"),
    "an index too high": ("dev.jsonl", json_lines([PAIR | {"highlight": [7]}]), "indices below 7 as highlight"),
    "no list of indices": ("dev.jsonl", json_lines([PAIR | {"highlight": None}]), "indices below 7 as highlight"),
    "a column is missing": ("dev.csv", table([("neutral", "A.")], COLUMNS[:2]), "there is no Sentence2_marked_1"),
    "a head alone": ("dev.csv", table([]), "got the head of a table alone"),
    "too few cells": ("dev.csv", table([("neutral", "A.")]), "line 2: expected 3 columns, got more or fewer"),
    "too many cells": ("dev.csv", table([("neutral", "A.", "B.", "C.")]), "line 2: expected 3 columns"),
    "an open quote": ("dev.csv", table([]) + '"neutral,A.\n', "expected a table of e-SNLI"),
    "an empty sentence": ("dev.csv", table([("neutral", "", "")]), "expected two sentences, got none"),
    "too few pairs": ("dev.jsonl", json_lines([PAIR] * 9), "at least 3 groups of texts to divide, got 1"),
}


@pytest.mark.parametrize(("name", "content", "message"), WRONG_PAIRS.values(), ids=WRONG_PAIRS)
def test_wrong_pairs_get_one_line(call, tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, errors = call("learning_to_explain", "--quick", "--esnli", file)
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


def test_files_of_pairs_must_be_there_and_say_what_they_are_for(esnli, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected pairs of e-SNLI, found no file at"):
        read_esnli([tmp_path / "nothing.csv"], 0)
    with pytest.raises(ValueError, match="expected train, dev or test in the file's name"):
        read_esnli([esnli("a.jsonl"), esnli("b.jsonl")], 0)
    with pytest.raises(ValueError, match="there is none for validation"):
        read_esnli([esnli("train.jsonl"), esnli("test.jsonl")], 0)


def test_a_huge_field_is_no_traceback(esnli):
    with pytest.raises(ValueError, match="expected a table of e-SNLI: field larger"):
        read_esnli([esnli("x.csv", table([("neutral", "a" * (csv.field_size_limit() + 1), "B.")]))], 0)


def test_reviews_with_and_without_compression(beer):
    corpus = read_beer(beer(), aspect=1, seed=0)
    assert [len(texts) for texts in (corpus.train, corpus.validation, corpus.test, corpus.annotated)] == [4, 3, 3, 1]
    assert corpus.train[0] == Text(("smells", "of", "malt"), 0.75)
    assert corpus.annotated[0] == Text(("smells", "of", "malt"), 0.75, frozenset({0, 2}))
    assert {word: vector.tolist() for word, vector in corpus.vectors.items()} == {"malt": [0.5, 1.5], "of": [0, 1]}
    assert read_beer(beer(**{VECTORS.replace(".", "__"): "malt 1\n"}), 1, 0).vectors["malt"].tolist() == [1]


WRONG_REVIEWS = {
    "missing": ({"annotations__json": None}, "expected annotated reviews, found no file at .*annotations.json"),
    "truncated": ({"reviews__aspect1__heldout__txt__gz": gzip.compress(REVIEW.encode())[:-9]}, "truncated gzip file"),
    "wrong encoding": ({"reviews__aspect1__train__txt": REVIEW.encode() + b"\xff"}, "byte 0xff in line 1"),
    "empty": ({"reviews__aspect1__train__txt": ""}, "expected reviews, got an empty file"),
    "no tab": (
        {"reviews__aspect1__train__txt": "0.5 0.5 good"},
        "line 1: expected at least 2 ratings from 0 to 1, a tab",
    ),
    "one rating": ({"reviews__aspect1__train__txt": f"{REVIEW}\n0.5\tgood"}, "line 2: expected at least 2 ratings"),
    "a rating too high": ({"reviews__aspect1__train__txt": "1 5\tgood"}, "line 1: expected at least 2 ratings"),
    "no words": ({"reviews__aspect1__train__txt": "1 1\t "}, "line 1: expected at least 2 ratings"),
    "no JSON": ({"annotations__json": "x"}, "line 1: expected JSON with words x, ratings y, and spans of aspect 1"),
    "no aspect": ({"annotations__json": '{"x": ["a"], "y": [1, 1]}'}, "spans of aspect 1 as '1'"),
    "a span too long": ({"annotations__json": json_lines([ANNOTATION | {"1": [[2, 4]]}])}, "spans within their 3"),
    "no words in annotations": ({"annotations__json": json_lines([ANNOTATION | {"x": "abc"}])}, "expected words"),
    "vectors of two lengths": ({VECTORS.replace(".", "__"): "a 1 2\nb 1\n"}, "line 2: expected a word and 2 numbers"),
    "vectors of words": ({VECTORS.replace(".", "__"): "a b c\n"}, "line 1: expected a word and 2 numbers"),
    "vectors without numbers": ({VECTORS.replace(".", "__"): "a\n"}, "line 1: expected a word and 1 numbers"),
}


@pytest.mark.parametrize(("replaced", "message"), WRONG_REVIEWS.values(), ids=WRONG_REVIEWS)
def test_wrong_reviews_get_one_line(call, beer, replaced, message):
    code, _, errors = call("learning_to_explain", "--quick", "--beer", beer(**replaced))
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


@pytest.mark.slow
def test_reviews_are_learned_from_and_published_figures_stand_beside(call, beer, tmp_path):
    code, _, errors = call("learning_to_explain", "--quick", "--beer", beer(), "--preset", "beer-imle", "--aspect", 1)
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    assert results.values("imle", "subset_recall") == [1.0]  # ten words may be chosen of the three
    assert [published.metrics["subset_precision"] for published in results.published] == [0.4798, 0.2665]
    assert "hidden" in results.published[0].differs


def test_vectors_with_a_head_and_words_with_spaces(tmp_path):
    (tmp_path / "v.txt").write_text("2 3\nat name@domain.com 1 2 3\n. . 4 5 6\n")
    vectors = read_vectors(tmp_path / "v.txt")
    assert {word: vector.tolist() for word, vector in vectors.items()} == {
        "at name@domain.com": [1, 2, 3],
        ". .": [4, 5, 6],
    }


def test_generated_reviews_are_rated_by_their_planted_words():
    corpus = generate(1, seed=3, train=200, held_out=20)
    assert corpus == generate(1, seed=3, train=200, held_out=20) != generate(1, seed=4, train=200, held_out=20)
    level = {
        word: number for words in (ANYWHERE, OF_ASPECT["aroma"]) for number, some in enumerate(words) for word in some
    }
    for text in corpus.train:
        planted = [text.words[index] for index in text.highlight]
        assert len(planted) == SAID
        assert text.target == pytest.approx(sum(level[word] for word in planted) / (4 * SAID), abs=0.1)


def test_groups_stay_together():
    texts = [Text((str(n),), 0.0, group=str(n // 3)) for n in range(30)]
    parts = divide(texts, (0.7, 0.1, 0.2), seed=1)
    assert [len(part) for part in parts] == [21, 3, 6]
    assert not {text.group for text in parts[0]} & {text.group for text in (*parts[1], *parts[2])}


def test_the_real_pairs(data_folder):
    corpus = read_esnli([data_folder / "esnli" / "esnli_dev.jsonl.gz"], seed=0)
    texts = [*corpus.train, *corpus.validation, *corpus.test]
    assert len(texts) == 9842
    assert sum(max(text.highlight) >= text.second for text in texts) / len(texts) > 0.5
