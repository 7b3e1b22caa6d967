"""What tests of layers share."""

from __future__ import annotations

import pytest

from imle_adapters import TopKAdapter
from tests.solvers import top_k


@pytest.fixture(params=["top-k on the device", "enumeration in process"])
def adapter(request):
    return TopKAdapter(5, 2) if "device" in request.param else top_k(5, 2)
