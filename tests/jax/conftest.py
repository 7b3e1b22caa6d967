"""What tests of the JAX front end share; without JAX they are skipped, each file by itself."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(params=["in place", "pure_callback"])
def way(request, monkeypatch):
    """Of calls to the host, both of which there are, by the devices of the process."""
    from imle_solvers.jax import host_calls

    monkeypatch.setattr(host_calls, "_is_in_place", lambda: request.param == "in place")


@pytest.fixture
def batch():
    """Theta and weights of as many solutions as there are entries, (6, 4, 5) float32."""
    rng = np.random.default_rng(0)
    return (rng.random((6, 4, 5)) + 0.1).astype(np.float32), (rng.random((6, 4, 5)) - 0.3).astype(np.float32)
