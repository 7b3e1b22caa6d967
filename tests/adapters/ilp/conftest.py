"""What tests of integer programs share."""

from __future__ import annotations

import pytest

from imle_adapters.ilp.engines.search import Search
from imle_adapters.ilp.program import Program
from tests.adapters.ilp.instances import knapsack


@pytest.fixture(autouse=True, scope="session")
def _search() -> None:
    """The search is compiled, so that it is known who solves what."""
    Search.of(Program.of(knapsack(4, 1)), None)
