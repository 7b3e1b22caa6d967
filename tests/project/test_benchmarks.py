"""`make bench` runs, and what it writes is whole."""

import importlib.util
import json
import math
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ROWS = ("warcraft-12", "noise", "pyepo-path", "knapsack-32", "tree", "assignment", "solver-1ms")

pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}: pip install .[bench]")
        for package in ("pyepo", "matplotlib")
    ),
]


def compare(*arguments):
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "compare.py"), "--threads", "1", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,  # a guard against hanging: a busy machine takes minutes
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    keys = ",".join([*ROWS, "growth-samples"])
    run = compare("--quick", "--shrink", 32, "--rows", keys, "--json", out / "b.json", "--chart", out / "b.png")
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads((out / "b.json").read_text()), (out / "b.png").read_bytes()


def test_every_contender_of_every_row_has_times_and_memory(finished):
    _, results, _ = finished
    assert [row["key"] for row in results["rows"]] == list(ROWS)
    for row in results["rows"]:
        own, *others = row["contenders"]
        assert (own["name"], own["times"], own["on"]) == ("imle-solvers", 1.0, row["batch"])
        assert set(row["against"]) <= {each["name"] for each in others}
        for each in row["contenders"]:
            assert len(each["rounds"]) >= 5
            assert sorted(each["rounds"])[len(each["rounds"]) // 2] == each["milliseconds"] > 0
            assert 1 <= each["memory_on"] <= each["memory_batch"] == row["batch"]
            assert 0 <= each["step_mb"] < each["all_mb"]


def test_a_target_is_judged_by_the_best_of_those_it_is_against(finished):
    _, results, _ = finished
    for row in results["rows"]:
        best = min(each["times"] for each in row["contenders"] if each["name"] in row["against"])
        expected = results["machine"]["cores"] / best if row["at_most"] else best
        assert row["ratio"] == pytest.approx(expected)
        assert row["met"] == (expected <= row["target"] if row["at_most"] else expected >= row["target"])


def test_growth_has_exponents_of_its_points(finished):
    _, results, _ = finished
    (series,) = results["growth"]
    sizes = [point["size"] for point in series["points"]]
    assert len(sizes) >= 2 and sizes == sorted(sizes)
    assert math.isfinite(series["time_exponent"])


def test_the_machine_is_described(finished):
    _, results, _ = finished
    assert {"cpu", "cores", "system", "python", "versions", "date"} <= set(results["machine"])
    assert len(results["load_before"]) == len(results["load_after"]) == 3
    assert results["machine"]["versions"]["pyepo"]


def test_table_and_chart_show_every_row(finished):
    printed, results, chart = finished
    assert all(row["title"] in printed for row in results["rows"])
    assert chart.startswith(b"\x89PNG") and len(chart) > 10_000


def test_contenders_that_disagree_stop_the_run(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import torch
    from comparison.problem import OURS, Contender, Problem, Row
    from comparison.timing import check_agreement

    def ones(thetas):
        return (thetas > 0).astype(thetas.dtype)

    row = Row("row", "title", 2, lambda batch: problem, 1.0, ("other",))
    problem = Problem(torch.ones(2, 3), {})
    agreeing, wrong = Contender(torch.clone, ones), Contender(torch.clone, lambda thetas: 1.01 * ones(thetas))
    check_agreement(row, problem, {OURS: agreeing, "other": agreeing})
    with pytest.raises(SystemExit, match=r"row: .* by other"):
        check_agreement(row, problem, {OURS: agreeing, "other": wrong})


def test_unknown_rows_are_an_error_that_lists_them():
    run = compare("--rows", "warcraft")
    assert run.returncode == 2
    assert "there is no warcraft; expected warcraft-12," in run.stderr


def test_tables_go_between_the_markers_of_their_page(finished, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from comparison.report import write_page

    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    for _ in range(2):
        write_page(page, finished[1])
        lines = page.read_text().splitlines()
        assert (lines[0], lines[1], *lines[-2:]) == ("before", "<!-- bench -->", "<!-- /bench -->", "after")
        assert "old" not in lines
        assert sum(row["title"] in line for line in lines for row in finished[1]["rows"]) == len(ROWS)
    page.write_text("no markers\n")
    with pytest.raises(SystemExit, match="expected a line <!-- bench -->"):
        write_page(page, finished[1])
