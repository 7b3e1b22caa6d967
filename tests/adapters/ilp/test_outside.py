"""Engines in a process of their own, as beside TensorFlow: the same outcomes, and no process is left."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from imle_adapters.ilp import ILPAdapter, ILPSpec
from imle_adapters.ilp.engines import cp_sat, glop, math_opt
from imle_adapters.ilp.engines.engine import Claim
from imle_adapters.ilp.engines.outside import OutsideEngine, tensorflow_may_come
from imle_adapters.ilp.program import Program
from imle_solvers import SolverLayer
from tests.cases import KNAPSACK

SPEC = ILPSpec(shape=(6,), **KNAPSACK)


def refuses(*_):
    raise ValueError("no such solver")


class Sleeps:
    def minimize(self, *_):
        time.sleep(60)


@pytest.fixture
def outside():
    engine = OutsideEngine(functools.partial(math_opt.make_here, "highs", Program.of(SPEC)))
    yield engine
    engine.stop()


def solve(engine, seed):
    costs = np.random.default_rng(seed).normal(size=6)
    return engine.minimize(costs, Program.of(SPEC).bounds, None)


def test_outcomes_are_the_same(outside):
    here = math_opt.make_here("highs", Program.of(SPEC))
    for seed in range(3):
        ours, theirs = solve(outside, seed), solve(here, seed)
        assert (ours.claim, ours.bound) == (theirs.claim, theirs.bound)
        np.testing.assert_array_equal(ours.x, theirs.x)


def test_adapters_beside_tensorflow(monkeypatch):
    theta = torch.randn(4, 6, dtype=torch.float64)
    rows = ILPSpec(shape=(6,), A_ub=np.ones((1, 6)), b_ub=[3], ub=1, integrality=True, sense="max")
    cases = [(SPEC, "highs"), (rows, "glop"), (SPEC, "cp_sat"), (SPEC, "cp_sat_no_cuts")]
    made_before = [SolverLayer(ILPAdapter(spec, name, compiled=False), executor="serial") for spec, name in cases]
    expected = [layer.map(theta) for layer in made_before]
    monkeypatch.setattr(math_opt, "tensorflow_may_come", lambda: True)
    for engine in (glop, cp_sat):
        monkeypatch.setattr(engine, "tensorflow_is_here", lambda: True)
    monkeypatch.setattr(cp_sat, "cp_model", None)  # not even a model may be made
    for (spec, name), here in zip(cases, expected, strict=True):
        with SolverLayer(ILPAdapter(spec, name, compiled=False), executor="serial") as layer:
            assert torch.equal(layer.map(theta), here)
    for layer, here in zip(made_before, expected, strict=True):
        with layer:
            assert torch.equal(layer.map(theta), here)


def test_it_is_started_anew_where_it_ended(outside):
    process = outside._process
    os.kill(process.pid, signal.SIGKILL)
    assert solve(outside, 0).claim is Claim.FAILED
    assert solve(outside, 0).claim is Claim.OPTIMAL
    again = outside._process
    outside.stop()
    assert solve(outside, 0).claim is Claim.FAILED
    assert again.wait(10) and process.poll() is not None


def test_what_cannot_be_made():
    with pytest.raises(ValueError, match="no such solver"):
        OutsideEngine(refuses)


def test_a_solve_is_stopped_by_another_thread():
    engine = OutsideEngine(Sleeps)
    threading.Timer(0.2, engine.stop).start()
    begin = time.monotonic()
    assert solve(engine, 0).claim is Claim.FAILED
    assert time.monotonic() - begin < 30


def test_processes_end_with_their_engine():
    engine = OutsideEngine(functools.partial(math_opt.make_here, "highs", Program.of(SPEC)))
    process = engine._process
    del engine
    assert process.poll() is not None


def test_odd_entries_of_sys_modules(monkeypatch):
    monkeypatch.setitem(os.sys.modules, "tensorflow", None)
    assert tensorflow_may_come()
