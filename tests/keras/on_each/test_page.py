"""The code of docs/keras.md runs."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.project.test_readme import program_of


@pytest.mark.parametrize("page", ["keras.md"])
def test_the_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = ROOT / "docs" / page
    exec(compile(program_of(path), str(path), "exec"), {"__name__": "__main__"})
