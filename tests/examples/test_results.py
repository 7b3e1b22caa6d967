"""Results of runs: files, tables, and the page that is made of them."""

import math
import sys

import pytest

from examples import results as page_of_results
from examples.common.results import Column, Published, Results, Row, read_results, write_results
from examples.common.tables import table
from tests.conftest import ROOT


@pytest.fixture
def results():
    rows = [
        Row("imle", 0, {"error": 0.1, "seconds": 3.0}, {"error": [0.5, math.nan, 0.1]}),
        Row("imle", 1, {"error": 0.2, "seconds": 5.0}),
        Row("ste", 0, {"error": math.nan, "seconds": 4.0}),
    ]
    return Results(
        experiment="toy",
        title="A toy",
        about="About it.",
        command="python examples/toy --seeds 2",
        date="2026-11-24",
        machine={"processor": "an abacus", "cores": 2, "torch": "2"},
        settings={"lr": 0.1},
        columns={"error": Column("test error", ".1%"), "seconds": Column("seconds", ".0f", deviation=False)},
        rows=rows,
        published=[
            Published("imle", {"error": 0.12}, "a paper"),
            Published("l2x", {"error": 0.3}, "another", "1000 texts (here 10)"),
        ],
        pictures=["toy.png", "texts.html"],
    )


def same(one, other):
    return repr(one) == repr(other)  # NaN differs from itself


def test_results_survive_a_round_trip(results, tmp_path):
    assert same(read_results(write_results(tmp_path, results)), results)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert "NaN" not in (tmp_path / "results.json").read_text()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"experiment": "toy"}', '{"rows": [1], "columns": {}}'])
def test_files_of_something_else_are_refused(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match="results.json is not a file of results that a run wrote"):
        read_results(tmp_path / "results.json")
    with pytest.raises(FileNotFoundError, match="found nothing at"):
        read_results(tmp_path / "other.json")


def test_tables_have_means_and_deviations_over_seeds(results):
    assert table(results).splitlines() == [
        "| method | test error | seconds |",
        "| --- | --- | --- |",
        "| imle | 15.0% +- 7.1% | 4 |",
        "| ste | - | 4 |",
    ]


def test_a_stored_run_is_on_the_page_with_what_was_published(results, tmp_path, monkeypatch, capsys):
    run, docs = tmp_path / "run", tmp_path / "docs"
    write_results(run, results)
    monkeypatch.setattr(sys, "argv", ["results", str(run), "--docs", str(docs), "--name", "small"])
    with pytest.raises(SystemExit) as end:
        page_of_results.main()
    assert end.value.code == 2
    assert "expected toy.png, which" in capsys.readouterr().err
    for name in results.pictures:
        (run / name).write_text(name)
    page_of_results.main()
    page = (docs / "results.md").read_text()
    for line in (
        "## A toy",
        "`python examples/toy --seeds 2`; seeds 0, 1; 2026-11-24; 2 cores of an abacus, torch 2.",
        table(results),
        "| imle | 12.0% (here 15.0% +- 7.1%) | a paper | the same |",
        "| l2x | 30.0% | another | not the same: 1000 texts (here 10) |",
        "![A toy](results/small-toy.png)",
        "[small-texts.html](results/small-texts.html)",
    ):
        assert line in page
    assert (docs / "results" / "small-toy.png").read_text() == "toy.png"


def test_the_page_is_what_the_command_makes_of_the_stored_results():
    stored = page_of_results.read_stored(ROOT / "docs" / "results")
    assert stored
    assert (ROOT / "docs" / "results.md").read_text() == page_of_results.page(stored)
    for name, results in stored.items():
        assert (ROOT / "examples" / results.experiment).is_dir()
        assert not results.settings["quick"], name
        for picture in results.pictures:
            assert (ROOT / "docs" / "results" / picture).is_file()
