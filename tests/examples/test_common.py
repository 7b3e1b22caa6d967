"""What experiments share."""

import importlib
import math

import pytest
import torch

from examples.common import program
from examples.common.methods import METHODS, PASSING_ON, make_estimator, make_loss
from examples.common.options import Parser, trainings
from examples.common.pictures import draw_comparison, draw_curves
from examples.common.results import Column, Results, Row
from examples.common.run import Run
from imle_adapters import TopKAdapter
from imle_solvers import SolverLayer


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Parses a command line, and begins a run."""

    def begin(*arguments):
        monkeypatch.setattr("sys.argv", ["toy", *map(str, arguments), "--out", str(tmp_path / "out")])
        parser = Parser("toy", "A toy.", methods=("imle", "ste", "own"), method="ste", epochs=3, lr=0.1)
        parser.add_argument("--data")
        parser.add_argument("--workers")
        options = parser.parse()
        columns = {"error": Column("error")}
        return options, Run(parser, options, title="A toy", about="", columns=columns, free=["workers"])

    return begin


def test_methods_and_seeds_of_a_command_line(start):
    assert list(trainings(start()[0])) == [("ste", 0)]
    assert list(trainings(start("--method", "own,imle,own", "--seeds", 2, "--seed", 4)[0])) == [
        ("own", 4),
        ("imle", 4),
        ("own", 5),
        ("imle", 5),
    ]
    assert start("--method", "all")[0].methods == ("imle", "ste", "own")


def test_results_tell_the_command_without_this_machines_folders(start, tmp_path):
    _, run = start("--data", tmp_path / "secret" / "texts.csv", "--lr", "0.5")
    assert run.results.command == "python examples/toy --data texts.csv --lr 0.5"
    assert run.results.settings["lr"] == 0.5
    assert "out" not in run.results.settings


def test_what_had_been_measured_is_there_in_a_resumed_run_of_the_same_settings(start, capsys):
    start("--lr", 0.5)[1].add("ste", 0, {"error": 0.25})
    assert start("--lr", 0.5)[1].finished("ste", 0) is None
    again = start("--lr", 0.5, "--resume", "--workers", "3", "--method", "all")[1]
    assert again.finished("ste", 0).metrics == {"error": 0.25}
    assert again.finished("imle", 0) is None
    beside = start("--lr", 0.5, "--resume", "--method", "imle")[1]
    beside.add("ste", 0, {"error": 0.125})  # as a baseline, which is trained beside what is asked for
    assert beside.results.rows == [Row("ste", 0, {"error": 0.125}, {})]
    with pytest.raises(SystemExit):
        start("--lr", 0.6, "--resume")
    error = capsys.readouterr().err
    assert "results.json was saved with lr = 0.5, this run has lr = 0.6; give the same options" in error
    assert error.count("\n") == 1


def test_ctrl_c_ends_a_program_in_one_line(monkeypatch, capsys):
    def main():
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("examples.custom_solver.main"), "main", main)
    with pytest.raises(SystemExit) as end:
        program.start("custom_solver")
    assert end.value.code == 130
    assert capsys.readouterr().err.strip().count("\n") == 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_by_its_loss(method):
    """A choice of two of six, known for eight instances: theta itself is what learns."""
    torch.manual_seed(0)
    best = torch.zeros(8, 6).scatter_(1, torch.rand(8, 6).topk(2).indices, 1.0)
    theta = torch.nn.Parameter(torch.randn(8, 6))

    def absolute(found, best):
        return (found * (1 - best) + (1 - found) * best).sum(1)

    def squared(found, best):
        return (found - best).square().sum(1)

    with SolverLayer(TopKAdapter(6, 2), estimator=make_estimator(method, lam=40.0, density_temperature=0.5)) as layer:
        loss = make_loss(method, layer, squared if method in PASSING_ON else absolute, samples=2)
        right = [(layer.map(theta) == best).all(1).float().mean().item()]
        optimizer = torch.optim.Adam([theta], lr=0.2)
        for _ in range(80):
            value = loss(theta, best)
            assert value.shape == ()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        right.append((layer.map(theta) == best).all(1).float().mean().item())
    assert right[0] < 0.5
    assert right[1] >= 0.75


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown method 'magic'; expected one of imle, aimle"):
        make_estimator("magic")


def test_pictures_of_methods_have_means_over_seeds():
    columns = {"error": Column("test error", ".1%"), "seconds": Column("seconds", ".0f", deviation=False)}
    rows = [
        Row(method, seed, {"error": 0.1 * seed, "seconds": 2.0}, {"error": [1.0, 0.5 + 0.1 * seed, 0.1 * seed]})
        for seed in (1, 3)
        for method in ("imle", "ste")
    ]
    rows.append(Row("random", 1, {"error": math.nan}))
    results = Results("toy", "A toy", "", "", "", {}, {}, columns, rows)
    (axes,) = draw_curves(results).axes
    assert [line.get_label() for line in axes.lines] == ["imle", "ste"]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([1.0, 0.7, 0.2])
    errors, seconds = draw_comparison(results).axes
    assert [bar.get_height() for bar in errors.patches[:2]] == pytest.approx([0.2, 0.2])
    assert [bar.get_height() for bar in seconds.patches[:2]] == [2.0, 2.0]
    assert [text.get_text() for text in seconds.get_xticklabels()] == ["imle", "ste", "random"]
