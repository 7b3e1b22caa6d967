"""What the tests of the examples share."""

import importlib
import sys

import pytest

from examples.common.checkpoints import Checkpoint
from examples.common.run import Run
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


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C right after this many checkpoints and results have been written; None: never. Returns how often it was."""

    def arrange(after):
        events = []

        def followed(method):
            def call(*arguments, **named):
                method(*arguments, **named)
                events.append(method.__name__)
                if len(events) == after:
                    raise KeyboardInterrupt

            return call

        for owner, name in ((Checkpoint, "save"), (Run, "add")):
            method = getattr(owner, name)
            method = getattr(method, "__wrapped__", method)
            replacement = followed(method)
            replacement.__wrapped__ = method
            monkeypatch.setattr(owner, name, replacement)
        return events

    return arrange
