"""What all experiments have in common: each runs, leaves its results, and goes on where it was interrupted."""

import json
import math
import re

import pytest

from examples.common.results import read_results
from tests.conftest import ROOT
from tests.examples.experiments import EXPERIMENTS

pytestmark = pytest.mark.slow

each = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)


def numbers_of(results):
    """All that a resumed run has to repeat: everything but times."""

    def timeless(values):
        return {name: value for name, value in values.items() if not name.endswith("seconds")}

    return [(row.method, row.seed, timeless(row.metrics), timeless(row.curves)) for row in results.rows]


@each
def test_a_quick_run_leaves_results_and_a_resumed_one_equals_it(call, interrupt, tmp_path, experiment):
    saves = interrupt(after=None)
    arguments = ("--quick", *experiment.quick)
    code, printed, errors = call(experiment.name, *arguments)
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    assert results.rows
    for row in results.rows:
        assert set(experiment.metrics) <= set(row.metrics)
        assert any(math.isfinite(value) for value in row.metrics.values())
    assert results.experiment == experiment.name
    assert results.machine["cores"] >= 1
    assert results.settings["quick"] is True
    assert str(tmp_path) not in json.dumps(results.settings) + results.command
    assert results.pictures
    for name in results.pictures:
        assert (tmp_path / "out" / name).stat().st_size > 5_000
    assert any(line.startswith("| method | ") for line in printed)

    other = ("--out", tmp_path / "other")
    first = interrupt(after=experiment.interrupt)
    with pytest.raises(KeyboardInterrupt):
        call(experiment.name, *arguments, *other)
    rest = interrupt(after=None)
    code, _, errors = call(experiment.name, *arguments, *other, "--resume")
    assert code == 0, errors
    assert numbers_of(read_results(tmp_path / "other" / "results.json")) == numbers_of(results)
    assert first.count("save") + rest.count("save") == saves.count("save")


@each
def test_nothing_to_resume_is_said_in_one_line(call, experiment):
    code, _, errors = call(experiment.name, "--quick", *experiment.quick, "--resume")
    assert code == 2
    assert len(errors) == 1
    assert re.search("--resume: expected results.json or checkpoints of an earlier run in .*, found none", errors[0])


@each
def test_it_says_which_options_all_have(call, experiment):
    code, printed, _ = call(experiment.name, "--help")
    assert code == 0
    text = "\n".join(printed)
    for option in ("--seed", "--seeds", "--out", "--quick", "--device", "--resume"):
        assert option in text


def test_every_folder_is_in_the_table_starts_as_the_others_do_and_is_a_target_of_make():
    starts = {path.parent.name: path.read_text() for path in (ROOT / "examples").glob("*/__main__.py")}
    assert set(starts) == {experiment.name for experiment in EXPERIMENTS}
    assert len({text.replace(name, "NAME") for name, text in starts.items()}) == 1
    makefile = (ROOT / "Makefile").read_text()
    for experiment in EXPERIMENTS:
        if experiment.target != experiment.name:
            assert re.search(rf"^{experiment.target}: {experiment.name}$", makefile, re.MULTILINE)
        assert f"make {experiment.target} " in makefile
