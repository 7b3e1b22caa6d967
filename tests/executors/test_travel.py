"""Adapters that cannot be sent to other processes, and when that is found out."""

from __future__ import annotations

import functools
import importlib.util
import threading

import numpy as np
import pytest
import torch

from imle_solvers import (
    AdapterError,
    AutoExecutor,
    FunctionAdapter,
    ProcessExecutor,
    RayExecutor,
    SolutionCache,
    SolverAdapter,
    SolverLayer,
    ThreadExecutor,
)
from imle_solvers.adapter import Parallelism
from tests.solvers import function_adapter, identity

LOCK = threading.Lock()


class Stays(SolverAdapter):
    """Holds on to something that exists in one process only."""

    sense, instance_shape = "max", (2,)

    def __init__(self, parallelism=Parallelism.PROCESSES, **attributes):
        self.parallelism = parallelism
        self.__dict__.update(attributes)

    def solve(self, state, theta):
        return theta


def closure(lock):
    return lambda theta: theta if lock else None


class Holder:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("make", "at_fault"),
    [
        (lambda: Stays(lock=LOCK), "attribute 'lock' does not pickle"),
        (lambda: Stays(a=1, model=Holder(solver=[0, LOCK])), "entry 1 of attribute 'solver' of attribute 'model' does"),
        (lambda: Stays(tables={"k": LOCK}), "entry 'k' of attribute 'tables' does"),
        (lambda: Stays(fn=functools.partial(closure, LOCK)), "argument 0 of attribute 'fn' does"),
        (lambda: Stays(fn=Holder(lock=LOCK).__eq__), "attribute 'fn' does"),
        (lambda: function_adapter(closure(LOCK)), "variable 'lock' of attribute 'fn' does not pickle"),
        (lambda: function_adapter(lambda theta: theta if closure else LOCK), "variable 'LOCK' of attribute 'fn' does"),
    ],
)
def test_the_error_names_what_does_not_pickle(make, at_fault):
    with pytest.raises(AdapterError, match=f"cannot be sent to worker processes: {at_fault}.*Make it picklable"):
        SolverLayer(make(), executor="processes", num_workers=1)


def test_what_the_class_refers_to_is_named_too():
    lock = threading.Lock()

    class Local(SolverAdapter):
        sense, instance_shape = "max", (2,)

        def solve(self, state, theta):
            return theta if lock else None

    with pytest.raises(AdapterError, match="variable 'lock' of method 'solve' of class Local does not pickle"):
        SolverLayer(Local(), executor="processes")


class Circular:
    def __init__(self):
        self.me, self.lock = self, LOCK


def test_what_refers_to_itself_is_no_trouble():
    with pytest.raises(AdapterError, match="attribute 'lock' of attribute 'model' does not pickle"):
        SolverLayer(Stays(model=Circular()), executor="processes")


class Refuses(Stays):
    def __reduce__(self):
        raise TypeError("stays\nhere")


def test_an_adapter_that_refuses_by_itself():
    with pytest.raises(AdapterError, match="worker processes: it does not pickle .TypeError: stays"):
        SolverLayer(Refuses(), executor="processes")


def test_a_layer_with_an_executor_of_processes_is_refused_before_anything_starts():
    with ProcessExecutor(2) as executor:
        for each in (executor, SolutionCache(executor)):
            with pytest.raises(AdapterError, match="attribute 'lock' does not pickle"):
                SolverLayer(Stays(lock=LOCK), executor=each)
        assert executor._pool is None
        with pytest.raises(AdapterError, match="attribute 'lock' does not pickle"):
            executor.solve(Stays(lock=LOCK), np.ones((2, 2)))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_a_layer_on_a_cluster_is_refused_before_anything_connects():
    with pytest.raises(AdapterError, match="attribute 'lock' does not pickle"):
        SolverLayer(Stays(lock=LOCK), executor=RayExecutor("nowhere:1", 2))


def test_a_layer_that_chooses_stays_in_process_and_says_so_once(monkeypatch):
    from imle_solvers.executors import auto

    monkeypatch.setitem(auto._START_SECONDS, "processes", 0.0)
    monkeypatch.setitem(auto._DISPATCH_SECONDS, "processes", -1.0)
    adapter = Stays(lock=LOCK)
    with AutoExecutor(2) as executor:
        with pytest.warns(RuntimeWarning, match="all solves run in-process.*attribute 'lock' does not pickle") as said:
            layer = SolverLayer(adapter, executor=executor)
        assert said[0].filename == __file__
        for _ in range(20):
            layer.map(torch.arange(16.0).reshape(8, 2))
        assert set(layer.stats().executors) == {"serial"}
        SolverLayer(adapter, executor=executor)  # and not again
        travels = SolverLayer(function_adapter(identity), executor=executor)
        travels.map(torch.arange(16.0).reshape(8, 2))
        assert travels.stats().executors == {"processes": 1}


@pytest.mark.parametrize(
    "arguments",
    [{"num_workers": 0}, {"num_workers": 1}, {"executor": "serial"}, {"executor": "threads"}],
    ids=str,
)
def test_where_nothing_travels_nothing_is_said(arguments):
    with SolverLayer(Stays(lock=LOCK), **arguments) as layer:
        assert torch.equal(layer.map(torch.ones(3, 2)), torch.ones(3, 2))


@pytest.mark.parametrize("executor", [AutoExecutor, ThreadExecutor])
def test_adapters_for_threads_need_not_travel(executor):
    with executor(2) as threads:
        layer = SolverLayer(Stays(Parallelism.THREADS, lock=LOCK), executor=threads)
        assert torch.equal(layer.map(torch.ones(3, 2)), torch.ones(3, 2))


def test_solvers_on_tensors_need_not_travel():
    layer = SolverLayer(FunctionAdapter(closure(LOCK), sense="max", instance_shape=(2,), batched=True))
    assert layer.map(torch.ones(3, 2)).shape == (3, 2)
    assert set(layer.stats().executors) == {"device"}


class Counts(Stays):
    """Counts how often it is pickled, which for a large one takes long."""

    times = 0

    def __reduce__(self):
        Counts.times += 1
        return Stays, ()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"executor": "processes"}, {"executor": "auto"}], ids=str)
def test_it_is_pickled_once(arguments, monkeypatch):
    from imle_solvers.executors import auto

    monkeypatch.setitem(auto._START_SECONDS, "processes", 0.0)
    monkeypatch.setitem(auto._DISPATCH_SECONDS, "processes", -1.0)
    monkeypatch.setattr(Counts, "times", 0)
    with SolverLayer(Counts(), num_workers=2, **arguments) as layer:
        for _ in range(3):
            layer.map(torch.arange(16.0).reshape(8, 2))
        assert "processes" in layer.stats().executors
    assert Counts.times == 1
