"""What tests of integer programs share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _search(compiled_search: None) -> None:
    """It is known who solves what."""
