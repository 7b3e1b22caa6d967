"""What is wrong with an adapter or a solver on tensors, and when it is said."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from imle_adapters import TopKAdapter
from imle_solvers import IMLE, AdapterError, InputError, Solutions, SolverAdapter, SolverLayer, SPOPlusLoss, Status
from imle_solvers.adapter import Parallelism
from tests.solvers import function_adapter, identity


def test_a_layer_of_something_that_is_no_adapter():
    with pytest.raises(TypeError, match="wrap a plain function with FunctionAdapter"):
        SolverLayer(identity)


def test_adapters_that_lack_what_is_mandatory():
    class NoSense(SolverAdapter):
        instance_shape = (3,)

    class NoShape(SolverAdapter):
        sense = "max"

    class TextShape(SolverAdapter):
        sense = "max"
        instance_shape = "3"

    with pytest.raises(ValueError, match='NoSense: sense must be "min".*got None'):
        SolverLayer(NoSense())
    with pytest.raises(TypeError, match="NoShape.instance_shape must be a tuple of ints, got None"):
        SolverLayer(NoShape())
    with pytest.raises(TypeError, match="TextShape.instance_shape must be a tuple of ints.*got '3'"):
        SolverLayer(TextShape())


class Sound(SolverAdapter):
    """An adapter, of which tests spoil one thing."""

    sense, instance_shape = "max", (2,)

    def solve(self, state, theta, **context):
        return theta


@pytest.mark.parametrize(
    ("attribute", "value", "error", "message"),
    [
        ("instance_shape", (True,), TypeError, r"must be a tuple of ints, got \(True,\)"),
        ("instance_shape", (-1,), ValueError, r"must not be negative, got \(-1,\)"),
        ("solution_shape", lambda self: (2,), TypeError, r"solution_shape must be a tuple of ints, got .*method"),
        ("parallelism", "threads", TypeError, "must be one of Parallelism.PROCESSES, Parallelism.THREADS.*'threads'"),
        ("context", ["k"], TypeError, r"context must map names to shapes.*got \['k'\]"),
        ("context", {"k": "3"}, TypeError, r"context: the shape of 'k' must be a tuple of ints, got '3'"),
        ("context", {3: ()}, TypeError, r"must map names to shapes.*got \{3: \(\)\}"),
        ("context", lambda self: {"k": ()}, TypeError, r"must map names to shapes.*got .*method"),
        ("num_ones", "many", TypeError, "num_ones must be a number or None, got 'many'"),
        ("num_ones", True, TypeError, "num_ones must be a number or None, got True"),
        ("num_ones", lambda self: 3, TypeError, "num_ones must be a number or None, got .*method"),
        ("num_ones", -1, ValueError, "num_ones must be finite and at least 0, got -1"),
        ("num_ones", float("nan"), ValueError, "num_ones must be finite and at least 0, got nan"),
        ("is_binary", 1, TypeError, "is_binary must be True, False or a method of the context, got 1"),
        ("is_binary", lambda self: True, TypeError, r"is_binary is called with \(context\), but takes \(\)"),
        ("build", np.eye(2), TypeError, "build must be a method, got array"),
        ("build", lambda self, n: n, TypeError, r"build is called with \(\), but takes \(n\): missing"),
        (
            "check",
            lambda self, thetas: None,
            TypeError,
            r"called with \(thetas, context\), but takes \(thetas\)",
        ),
        ("solve", None, TypeError, "solve must be a method, got None"),
        (
            "solve",
            lambda self, theta: theta,
            TypeError,
            r"called with \(state, theta\), but takes \(theta\): too",
        ),
        ("solve_batch", lambda self, state, thetas: 0, TypeError, r"called with \(state, thetas, context\), but takes"),
    ],
)
def test_what_is_wrong_with_an_adapter_is_said_when_the_layer_is_made(attribute, value, error, message):
    SolverLayer(Sound())
    spoilt = type("Spoilt", (Sound,), {attribute: value})
    with pytest.raises(error, match=f"Spoilt.*{message}"):
        SolverLayer(spoilt())


def test_an_adapter_takes_the_context_that_it_declares():
    class Deaf(Sound):
        context = {"k": ()}

        def solve(self, state, theta):
            return theta

    with pytest.raises(TypeError, match=r"Deaf.solve is called with \(state, theta, k=...\), but takes .*argument 'k'"):
        SolverLayer(Deaf())


def test_an_adapter_that_overrides_too_little():
    class NoSolve(SolverAdapter):
        sense, instance_shape = "max", (3,)

    class Tensors(NoSolve):
        def solve_tensors(self, thetas, context):
            return thetas

    class Device(NoSolve):
        parallelism = Parallelism.DEVICE

    with pytest.raises(TypeError, match="NoSolve overrides neither solve nor solve_batch$"):
        SolverLayer(NoSolve())
    with pytest.raises(TypeError, match="Tensors overrides neither.*for adapters with parallelism = Para"):
        SolverLayer(Tensors())
    with pytest.raises(TypeError, match=r"Device has Parallelism.DEVICE, but does not override solve_tensors"):
        SolverLayer(Device())


def test_methods_may_be_anything_that_can_be_called():
    class Odd(Sound):
        build = staticmethod(dict)
        solve = functools.partialmethod(lambda self, sign, state, theta: sign * theta, 1)

    odd = Odd()
    odd.check = lambda thetas, context: None
    assert torch.equal(SolverLayer(odd, num_workers=0).map(torch.ones(2, 2)), torch.ones(2, 2))

    class Batches(SolverAdapter):
        sense, instance_shape = "max", (2,)

        def solve(self, theta):
            return theta

        def solve_batch(self, state, thetas, context):
            return Solutions(np.array([self.solve(theta) for theta in thetas]), np.zeros(len(thetas), np.uint8))

    assert torch.equal(SolverLayer(Batches(), num_workers=0).map(torch.ones(2, 2)), torch.ones(2, 2))


def test_a_layer_of_a_class():
    with pytest.raises(TypeError, match=r"expected a SolverAdapter, got the class Sound; make one by Sound\("):
        SolverLayer(Sound)


def test_workers_for_a_solver_on_tensors():
    with pytest.raises(ValueError, match="solves tensors on their own device.*num_workers=2"):
        SolverLayer(TopKAdapter(3, 1), num_workers=2)


@pytest.mark.parametrize("wrong", [lambda t: t[:1], lambda t: t.numpy(), lambda t: None])
def test_a_solver_on_tensors_that_returns_something_else(wrong):
    with pytest.raises(AdapterError, match=r"expected a tensor of solutions of shape \(2, 3\), got"):
        SolverLayer(function_adapter(wrong, n=3, batched=True))(torch.zeros(2, 3))


def test_a_solver_on_tensors_that_raises():
    def fail(thetas):
        raise KeyError("no")

    with pytest.raises(AdapterError, match="failed: KeyError: 'no'"):
        SolverLayer(function_adapter(fail, n=3, batched=True))(torch.zeros(2, 3))


def test_a_check_that_raises_is_the_adapters_fault_but_for_what_it_says_of_values():
    def fails(self, thetas, context):
        return {}["limit"]

    broken = type("Broken", (Sound,), {"check": fails})
    with pytest.raises(AdapterError, match=r"^Broken\(.*\): check failed: KeyError: 'limit'$") as caught:
        SolverLayer(broken(), num_workers=0)(torch.ones(2, 2))
    assert isinstance(caught.value.__cause__, KeyError)

    for error in (ValueError("not these"), InputError("not this one", 1), AdapterError("no such solver")):

        def refuses(self, thetas, context, error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            SolverLayer(type("Refuses", (Sound,), {"check": refuses})(), num_workers=0)(torch.ones(2, 2))
        assert caught.value is error


@pytest.mark.parametrize(
    ("method", "function"),
    [("is_binary", lambda self, context: 1 // 0), ("clamped", lambda self, thetas, context: 1 // 0)],
)
def test_other_methods_that_raise_are_named(method, function):
    layer = SolverLayer(type("Broken", (Sound,), {method: function})(), num_workers=0)
    with pytest.raises(AdapterError, match=rf"^Broken\(.*\): {method} failed: ZeroDivisionError: "):
        SPOPlusLoss(layer)(torch.ones(2, 2, requires_grad=True), torch.ones(2, 2))


def test_shapes_of_context_may_be_numbers():
    class Sized(Sound):
        context = {"k": 3, "b": None, "c": ()}

        def solve(self, state, theta, k=None, b=None, c=None):
            return theta

    adapter = Sized()
    SolverLayer(adapter)
    assert adapter.context == {"k": (3,), "b": None, "c": ()}
    assert Sized.context == {"k": 3, "b": None, "c": ()}


def test_solutions_that_are_not_binary_though_the_adapter_says_so():
    class Claims(Sound):
        is_binary = True

        def solve(self, state, theta):
            return (5 * theta).round(), Status.OPTIMAL if theta[0] > -9 else Status.INFEASIBLE

    layer = SolverLayer(Claims(), num_workers=0, estimator=IMLE(None))
    with pytest.raises(AdapterError, match="instance 1, sample 0: .* says is_binary, but has 2.0 in a solution"):
        layer(torch.tensor([[0.2, 0.0], [0.0, 0.4]]))
    skips = SolverLayer(Claims(), num_workers=0, estimator=IMLE(None), on_failure="zero_grad")
    skips(torch.tensor([[-10.0, 0.3], [0.2, 0.0]]))  # what a failed instance has does not count


def test_solutions_that_are_not_binary_are_found_later_too():
    class Rarely(Sound):
        is_binary = True

        def solve(self, state, theta):
            return torch.eye(2).numpy()[int(theta.argmax())] * (2 if theta.max() == 9 else 1)

    layer = SolverLayer(Rarely(), num_workers=0, estimator=IMLE(None))
    layer.map(torch.eye(2))
    others = [torch.tensor([[0.0, 9.0]])] * 40
    with pytest.raises(AdapterError, match="says is_binary, but has 2.0 in a solution"):
        list(map(layer.map, others))


@pytest.mark.parametrize("revision", ["1", None, True, 1.5])
def test_revisions_that_are_no_ints(revision):
    adapter = Sound()
    adapter.revision = revision
    with pytest.raises(TypeError, match=r"Sound\.revision must be an int, got"):
        SolverLayer(adapter)
