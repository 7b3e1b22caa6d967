"""`python -m imle_solvers`."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from imle_solvers import __version__
from imle_solvers.__main__ import main
from imle_solvers.command_line import installation, self_test
from imle_solvers.command_line.table import show


def test_what_is_installed_and_whether_it_works(capfd):
    assert main([]) == 0
    said, errors = capfd.readouterr()
    assert errors == ""
    for line in (
        rf"imle-solvers +{re.escape(__version__)}, ",
        r"Python +3\.",
        r"packages +cloudpickle \d",
        r"cores +\d+ usable",
        r"GPU +\w",
        r"kernel cache +\w*\S",
        r"adapters +assignment, ilp, ",
        r"backends +of ilp: scip",
        r"self-test +training: ok",
        r"self-test +processes: ok",
    ):
        assert re.search(f"^{line}", said, re.MULTILINE), line
    assert all(len(line) <= 80 or " " not in line[16:] for line in said.splitlines())


def test_optional_packages_that_are_not_there(capsys, monkeypatch):
    def version(name):
        if name == "ray":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(installation, "version", version)
    monkeypatch.setenv("COLUMNS", "100")
    installation.show_installation()
    assert 'extra ray       ray (not installed) (pip install "imle-solvers[ray]")\n' in capsys.readouterr().out


def test_a_checkout_that_is_not_installed(capsys, monkeypatch):
    def requires(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "requires", requires)
    installation.show_installation()
    assert re.search(r"packages +numpy \S+, torch", capsys.readouterr().out)


def test_an_adapter_that_cannot_be_loaded_is_said_in_its_line(capsys, monkeypatch):
    def load(name):
        raise ImportError("no\nlicence")

    monkeypatch.setattr(installation, "load_factory", load)
    installation.show_installation()
    assert "of ilp: ImportError: no licence\n" in capsys.readouterr().out


def test_a_self_test_that_fails(capsys, monkeypatch):
    def no_processes(workers):
        raise OSError("no more processes")

    monkeypatch.setattr(self_test, "_compare", lambda theta, expected, executor: None)
    monkeypatch.setattr(self_test, "_train", lambda theta: no_processes(2))
    assert self_test.run_self_test() == 1
    assert "training: FAILED, OSError: no more processes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope:Foo"], "cannot import 'nope': ModuleNotFoundError: No module named 'nope'"),
        (["nope"], "expected package:Adapter, or a registered adapter (assignment, ilp,"),
        (["json:nothing"], "'json' is there, but has no 'nothing'"),
        (["json:__name__"], "expected 'json:__name__' to be or make a SolverAdapter, got str"),
        (["json:loads"], "'json:loads' cannot be made with no arguments: TypeError"),
        (["json:dumps", "obj=4"], "expected 'json:dumps' to be or make a SolverAdapter, got str"),
        (["top_k", "n=4", "k=nine"], "'top_k' cannot be made with {'n': 4, 'k': 'nine'}: "),
        (["top_k", "n=4", "n=5"], "expected each name once, got n=4 n=5"),
        (["top_k", "4"], "expected name=value, such as n=4, got '4'"),
    ],
)
def test_a_wrong_name_is_answered_in_one_line(capsys, arguments, message):
    assert main(["check", *arguments]) == 2
    said, errors = capsys.readouterr()
    assert said == ""
    assert errors.startswith("python -m imle_solvers check: ") and errors.count("\n") == 1
    assert message in errors


def test_a_sound_adapter(capsys):
    assert main(["check", "top_k", "n=6", "k=2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in said] == ["ok"] * 8 + ["left out"] + ["ok"] * 5


def test_an_adapter_that_breaks_a_promise(capsys):
    assert main(["check", "tests.unsound:Locked"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"FAILED pickles: .*'lock' of attribute 'tools'", said)
    assert "name a subclass of imle_solvers.testing.AdapterContract" in said


def test_an_adapter_that_cannot_solve_what_is_drawn(capsys):
    assert main(["check", "tests.unsound:Deaf"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("FAILED    solves instances: ")
    assert "without context" in said


def test_costs_below_zero_are_not_insisted_on(capsys):
    assert main(["check", "tests.unsound:Refuses"]) == 0


def test_a_contract_is_checked_on_its_own_instances(capsys):
    assert main(["check", "tests.adapters.test_contract:Broken"]) == 1
    said = capsys.readouterr().out
    assert re.findall(r"^FAILED    (.{20})", said, re.MULTILINE) == ["has no worse solutio"]
    assert said.count("left out") == 2
    assert "drawn at random" not in said


@pytest.mark.parametrize("columns", ["20", "80"])
def test_no_word_is_broken(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    show("kernel cache", "/a/folder-with/a-name-that-is-longer/than-the-terminal is-wide")
    assert "/a/folder-with/a-name-that-is-longer/than-the-terminal" in capsys.readouterr().out


@pytest.mark.slow
def test_whoever_has_seen_enough_may_close_the_pipe():
    with subprocess.Popen(
        [sys.executable, "-m", "imle_solvers"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline().startswith("imle-solvers")
        program.stdout.close()
        assert program.stderr.read() == ""
    assert program.returncode == 1
