"""`AdapterContract`, as authors of adapters use it."""

from __future__ import annotations

import pytest
import torch

from imle_solvers.testing import AdapterContract
from tests.unsound import Deaf, N, Sound, Turned


class TestSound(AdapterContract):
    def make(self):
        return Sound()

    def instances(self, adapter):
        return torch.rand(4, *adapter.instance_shape, dtype=torch.float64)

    def feasible(self, solution):
        return solution.sum() == 1


class Broken(AdapterContract):
    """Two promises are broken, of which one is not made, as is one that takes long."""

    made = 0
    test_it_answers_to_context = None
    test_it_solves_the_same_in_worker_processes_and_imports_nothing_heavy_there = None

    def make(self):
        type(self).made += 1
        return Turned()

    def instances(self, adapter):
        return torch.rand(4, N, dtype=torch.float64)


class WithContext(Broken):
    test_it_answers_to_context = AdapterContract.test_it_answers_to_context

    def make(self):
        return Deaf()

    def instances(self, adapter):
        return torch.rand(4, N, dtype=torch.float64), {"mask": torch.ones(4, N), "k": torch.arange(4)}


def failures(contract):
    """Names of the tests that fail. Each is run on an object of its own, as pytest does."""
    failed = []
    for name in dir(contract):
        if name.startswith("test_") and getattr(contract, name) is not None:
            try:
                getattr(contract(), name)()
            except AssertionError:
                failed.append(name)
    contract.teardown_class()
    return failed


def test_each_broken_promise_fails_its_own_test_and_the_adapter_is_made_once():
    assert failures(Broken) == ["test_it_has_no_worse_solutions_than_it_has_found_itself"]
    assert Broken.made == 1
    assert failures(WithContext) == ["test_it_answers_to_context"]


def test_the_objective_may_be_another():
    class Costs(Broken):
        def objective(self, theta, solution):
            return -(theta * solution).sum()

    assert failures(Costs) == []


def test_feasibility_is_the_authors_to_say():
    class Strict(Broken):
        def make(self):
            return Sound()

        def feasible(self, solution):
            return solution[0] == 0

    assert failures(Strict) == ["test_it_has_feasible_solutions"]


def test_what_must_be_overridden():
    with pytest.raises(NotImplementedError, match=r"Bare: override make\(\)"):
        type("Bare", (AdapterContract,), {})().test_it_pickles()
    with pytest.raises(NotImplementedError, match=r"Half: override instances\(adapter\)"):
        type("Half", (AdapterContract,), {"make": lambda self: Sound()})().test_it_pickles()
