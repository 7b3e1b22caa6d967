"""What the packages show."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

PACKAGES = ["imle_solvers", "imle_adapters"]

IMPORTS = """
from imle_solvers import (
    AIMLE, IMLE, AdapterError, AdaptiveTargetDistribution, AutoExecutor, BaseNoiseDistribution,
    BaseTargetDistribution, Blackbox, Calibration, CalibrationCallback, ClosedError, Estimator, Executor,
    FenchelYoungLoss, FunctionAdapter, Gumbel, GumbelNoiseDistribution, HammingLoss, HammingTarget, Identity,
    ImleSolversError, InputError, Noise, Normal, Parallelism, PerturbedOptimizer, ProcessExecutor, RayExecutor,
    RegretLoss, Relative, SPOPlusLoss, ScoreFunctionLoss, SerialExecutor, SolutionCache, Solutions, SolveError,
    SolverAdapter, SolverLayer, Stats, Status, StraightThrough, SumOfGamma, SumOfGammaNoiseDistribution, Target,
    TargetDistribution, ThreadExecutor, WorkerDiedError, aimle, available_adapters, calibrate, imle, make_adapter,
    register_adapter, ste,
)
from imle_adapters import (
    AssignmentAdapter, ILPAdapter, ILPSpec, MaxArborescenceAdapter, MaxSpanningTreeAdapter, ShortestPathAdapter,
    TopKAdapter,
)
"""
"""What users write, word for word."""

MORE_IMPORTS = """
from imle_adapters.ilp import ILPAdapter, ILPSpec, available_backends, fastest_settings
from imle_solvers.deferred import wait_for_kernels
from imle_solvers.layouts import BarLayout, GraphLayout, GridLayout, MatrixLayout
from imle_solvers.losses import FenchelYoungLoss, HammingLoss, RegretLoss, SPOPlusLoss, ScoreFunctionLoss
from imle_solvers.schedules import cosine, exponential, linear
from imle_solvers.testing import AdapterContract, check_adapter
from imle_solvers.viz import (
    animate, animate_samples, animate_training, plot_bars, plot_curves, plot_diagnostics, plot_graph, plot_grid,
    plot_matrix, plot_solution, plot_values,
)
"""
"""From modules that users are told of."""


@pytest.mark.parametrize("name", PACKAGES)
def test_dir_shows_public_names_only(name):
    package = importlib.import_module(name)
    for public in package.__all__:
        assert getattr(package, public) is not None  # and so is in the module's own namespace from here on
    assert dir(package) == sorted(package.__all__)
    assert not any(public.startswith("_") for public in dir(package))


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_see_the_same_names(name):
    """Names are imported when they are used, so what is said to type checkers is written down a second time."""
    package = importlib.import_module(name)
    tree = ast.parse(Path(package.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    names = {
        (alias.name, alias.asname) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert names == {(public, public) for public in package.__all__}
    assert (Path(package.__file__).parent / "py.typed").exists()


def test_there_is_no_other_name():
    with pytest.raises(AttributeError, match="module 'imle_solvers' has no attribute 'SolveLayer'"):
        importlib.import_module("imle_solvers").SolveLayer  # noqa: B018


def test_public_names_by_name():
    """A change that loses one of these, or shows one more, is more than a move."""
    names = {}
    exec(IMPORTS, names)
    assert names.keys() - {"__builtins__"} == {
        public for package in PACKAGES for public in importlib.import_module(package).__all__
    }
    exec(MORE_IMPORTS)
