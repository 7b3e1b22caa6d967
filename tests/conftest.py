"""What all tests share."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_solvers import ProcessExecutor
from imle_solvers.deferred import wait_for_kernels
from tests.programs import Program

# The same examples in every run: what CI says is about the code.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(items):
    """Tests on Ray come one after another, for its cluster ends with the last; then files that take long."""
    slow = {item.path for item in items if item.get_closest_marker("slow") and not item.get_closest_marker("ray")}
    items.sort(key=lambda item: (not item.get_closest_marker("ray"), item.path not in slow))


def pytest_make_parametrize_id(config, val, argname):
    """Bytes are not named by what they hold: gzip writes the time, and then each process collects other tests."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Side by side, each file goes to one process as by `--dist loadfile`, but all tests on Ray to the same one.

    In the order of above: a long file that came last would keep one core busy and the others idle.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "Ray" if re.search(r"/test_ray|[\[-]ray[\]-]", nodeid) else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Files(config, log)


@pytest.fixture(autouse=True)
def _repeatable():
    """Every test draws the same numbers in every run, and leaves the cores to the others."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def compiled_search():
    """The search for integer programs is in the cache: no process compiles it, while or after a program runs."""
    spec = ILPSpec(sense="max", A_ub=[[1.0, 1.0]], b_ub=[1.0], ub=1, integrality=True)
    ILPAdapter(spec).build()
    wait_for_kernels()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def data_folder():
    """The real data sets, which are not part of the repository."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs the data sets in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def reference():
    """Name -> settings and arrays of the published implementations' runs."""
    path = SHARED / "reference" / "estimators.npz"
    if not path.exists():
        pytest.skip("needs ../shared/reference/estimators.npz")
    with np.load(path, allow_pickle=False) as file:
        cases = {case["name"]: case for case in json.loads(str(file["meta"]))}
        for key in file.files:
            if key != "meta":
                name, array = key.split("/")
                cases[name][array] = torch.from_numpy(file[key])
    return cases


@pytest.fixture
def start(tmp_path):
    """Starts a program, and at the end kills what it should not have left."""
    programs = []

    def start(text, *arguments, **options):
        programs.append(Program(tmp_path, text, *arguments, **options))
        return programs[-1]

    yield start
    for program in programs:
        for pid in program.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.process.wait()


@pytest.fixture
def pool():
    with ProcessExecutor(2) as executor:
        yield executor
