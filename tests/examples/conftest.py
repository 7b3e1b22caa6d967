"""What the tests of the examples share."""

import importlib
import sys

import pytest

from examples.warcraft.generator import generate


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs an example in this process: (name, *arguments) -> (exit code, printed lines, lines of errors)."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path / "out"), *map(str, arguments)])
        try:
            importlib.import_module(f"examples.{name}.main").main()
            code = 0
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return run


@pytest.fixture(scope="session")
def maps():
    """A few generated Warcraft maps."""
    return generate(9, 12, seed=5)
