"""What is solved while kernels are compiled elsewhere, on a machine's first use."""

from __future__ import annotations

import importlib
import sys

import pytest

from imle_solvers import compilation, deferred
from imle_solvers.compilation import compiled
from imle_solvers.deferred import Deferred, wait_for_kernels
from tests.programs import needs_proc, wait_until

SMALL = """
from imle_solvers.compilation import compiled

@compiled
def double(x):
    return 2 * x
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """One that nobody has compiled."""
    (tmp_path / "small.py").write_text(SMALL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "small", raising=False)
    monkeypatch.setattr(deferred, "_waiting", {})
    return importlib.import_module("small").double


@pytest.fixture
def here(monkeypatch):
    """No process may be started."""
    monkeypatch.setattr(deferred, "_start", lambda *_: pytest.fail("a process was started"))


def hits(kernel):
    return sum(kernel.stats.cache_hits.values())


def test_a_process_of_its_own_fills_the_cache(kernel):
    doubled = Deferred(lambda: kernel(21))
    assert doubled.get() is None
    assert compilation._compiling._depth == 0
    assert Deferred(lambda: kernel(1)).get() is None  # by the same process
    assert len(deferred._waiting) == 1
    wait_for_kernels()
    assert doubled.get() == 42
    assert hits(kernel) == 1
    assert not next(iter(deferred._waiting.values())).is_alive()


def test_what_is_in_the_cache_is_there_at_once(kernel, here):
    kernel(1)
    doubled = Deferred(lambda: kernel(21))
    assert doubled.get() == 42
    assert doubled not in deferred._unsettled


def test_what_must_not_wait_is_compiled_here(kernel, here):
    assert Deferred(lambda: kernel(21)).get_now() == 42


def test_one_program_at_a_time_compiles_for_a_cache(kernel, monkeypatch):
    turn = deferred._take_turn(kernel.stats.cache_path)
    doubled = Deferred(lambda: kernel(21))
    with monkeypatch.context() as patch:
        patch.setattr(deferred, "_start", lambda *_: pytest.fail("a process was started"))
        patch.setattr(deferred, "_LOOK", 0.0)
        assert doubled.get() is None
        assert doubled.get() is None
        deferred.os.close(turn)
    doubled.get()
    assert len(deferred._waiting) == 1
    wait_for_kernels()
    assert doubled.get() == 42


def test_one_who_waits_for_another_in_vain_compiles_here(kernel, here):
    turn = deferred._take_turn(kernel.stats.cache_path)
    doubled = Deferred(lambda: kernel(21))
    wait_for_kernels(0.0)
    assert doubled.get() == 42
    deferred.os.close(turn)


def test_without_a_place_to_cache_it_is_compiled_here(here):
    namespace = {}
    exec("def double(x):\n    return 2 * x", namespace)
    kernel = compiled(namespace["double"])
    assert Deferred(lambda: kernel(21)).get() == 42


@pytest.mark.parametrize("executable", [None, "", "/usr/bin/embeds", "/nowhere/python"])
def test_without_python_to_start_it_is_compiled_here(kernel, executable, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    assert Deferred(lambda: kernel(21)).get() == 42


def test_a_process_that_fails_leaves_it_to_this_one(kernel, tmp_path, monkeypatch):
    (tmp_path / "python").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    doubled = Deferred(lambda: kernel(21))
    doubled.get()
    wait_for_kernels()
    assert doubled.get() == 42
    assert hits(kernel) == 0


FIRST = """
    import torch
    from imle_adapters import ILPAdapter, ILPSpec
    from imle_solvers import SolverLayer
    from imle_solvers.deferred import wait_for_kernels

    rng = np.random.default_rng(0)
    spec = ILPSpec(sense="max", A_ub=rng.integers(1, 9, (2, 12)), b_ub=[20, 25], ub=1, integrality=True)
    theta = torch.from_numpy(rng.random((6, 12)))
    layer = SolverLayer(ILPAdapter(spec), num_workers=0)
    first = layer.map(theta)
    say(dict(layer.stats().counters))
"""


@needs_proc
@pytest.mark.slow
def test_the_backend_answers_until_the_search_takes_over_and_solutions_are_the_same(start, tmp_path):
    program = start(
        FIRST
        + """
    if os.fork() == 0:  # which has no process to wait for, but waits its turn
        assert layer.map(theta).equal(first)
        os._exit(0)
    say(os.wait()[1])
    wait_for_kernels()
    say(layer.map(theta).equal(first), dict(layer.stats().counters))
    from imle_adapters.ilp.engines.search_kernels import search
    say(sum(search.stats.cache_hits.values()))
    """,
        NUMBA_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert program.end() == (0, "{}\n0\nTrue {'solved by search': 6}\n1\n", "")


@needs_proc
@pytest.mark.slow
def test_a_program_that_ends_early_leaves_the_cache_to_the_next(start, tmp_path):
    cache = tmp_path / "cache"
    program = start(FIRST, NUMBA_CACHE_DIR=str(cache))
    assert program.process.wait() == 0
    assert program.running()  # which compiles
    assert wait_until(lambda: not program.running())
    assert [file.name.split("-")[0] for file in cache.glob("*/*.nbi")] == ["search_kernels.search"]
    assert (program.output.read_text(), program.errors.read_text()) == ("{}\n", "")
