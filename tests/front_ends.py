"""The Warcraft example on another front end, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from examples.common.results import Results, read_results
from tests.conftest import ROOT

SHORT = ("--train-maps", "200", "--test-maps", "100", "--batch-size", "10", "--workers", "0")


def run_warcraft(frontend: str, out, *arguments: str, **environment: str) -> Results:
    """Its results, after few maps; fails with what it said if it did."""
    run = subprocess.run(
        [sys.executable, "examples/warcraft", "--frontend", frontend, "--out", str(out), *SHORT, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert (out / "warcraft.png").stat().st_size > 10_000
    return read_results(out / "results.json")
