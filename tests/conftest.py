"""What all tests share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def _repeatable():
    """Every test draws the same numbers in every run, and leaves the cores to the others."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


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
