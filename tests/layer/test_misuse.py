"""What a stranger gets wrong with layers and executors, in one table, and what they read then.

Every message says what was wrong, and most what to do: read them through when you change one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imle_adapters import (
    ILPAdapter,
    TopKAdapter,
)
from imle_solvers import (
    IMLE,
    AutoExecutor,
    Gumbel,
    ProcessExecutor,
    SerialExecutor,
    SolutionCache,
    SolverLayer,
)
from tests.layer.misuse import COSTS, GRID, KNAPSACK, NAME, THETA, TOP, check_message, paths, top


def after_close():
    with SolverLayer(TOP) as layer:
        pass
    layer(THETA)


def in_a_closed_executor():
    with SerialExecutor() as executor:
        pass
    SolverLayer(GRID, executor=executor)


# What is done -> how, and what the error says: all of it, or its beginning.
MISUSES = {
    # Making layers.
    "a function for an adapter": (
        lambda: SolverLayer(lambda theta: theta),
        "TypeError: expected a SolverAdapter, got function; wrap a plain function with FunctionAdapter(fn, sense=..., "
        "instance_shape=...)",
    ),
    "a class for an adapter": (
        lambda: SolverLayer(TopKAdapter),
        "TypeError: expected a SolverAdapter, got the class TopKAdapter; make one by TopKAdapter(...)",
    ),
    "a program for an adapter": (
        lambda: SolverLayer(KNAPSACK),
        "TypeError: expected a SolverAdapter, got ILPSpec; give it to an adapter first, one of imle_adapters or of "
        "your own",
    ),
    "a class for an estimator": (
        lambda: SolverLayer(TOP, estimator=IMLE),
        "TypeError: estimator: expected an Estimator such as IMLE(), got <class 'imle_solvers.estimators.imle.IMLE'>",
    ),
    "an estimator's argument for the layer": (
        lambda: SolverLayer(TOP, noise=Gumbel()),
        "TypeError: SolverLayer: unexpected argument noise=Gumbel(); write estimator=IMLE(noise=Gumbel())",
    ),
    "an estimator without its name": (
        lambda: SolverLayer(TOP, IMLE()),
        "TypeError: SolverLayer: expected no more than 1 argument without a name (adapter), got 2; name the others: "
        "estimator=, num_samples=, ",
    ),
    "an executor that there is not": (
        lambda: SolverLayer(GRID, executor="process"),
        "ValueError: unknown executor 'process'; expected one of auto, serial, threads, processes, or an Executor "
        "such as ProcessExecutor(2)",
    ),
    "an executor and a number of workers": (
        lambda: SolverLayer(GRID, executor=SerialExecutor(), num_workers=2),
        "ValueError: num_workers is the executor's own where an Executor is given; leave it out",
    ),
    "workers for what is solved on tensors": (
        lambda: SolverLayer(TOP, num_workers=2),
        "ValueError: TopKAdapter(n=4, k=2, sense='max') solves tensors on their own device, in one call; it has no use "
        "for ",
    ),
    "a fraction of a worker": (
        lambda: SolverLayer(GRID, num_workers=2.0),
        "TypeError: num_workers must be an int or None, got 2.0",
    ),
    "a seed for a generator": (
        lambda: SolverLayer(TOP, generator=7),
        "TypeError: generator: expected a torch.Generator, got 7; make one by torch.Generator().manual_seed(7)",
    ),
    "no samples": (
        lambda: SolverLayer(TOP, num_samples=0),
        "ValueError: num_samples: expected at least 1, got 0",
    ),
    "a policy that there is not": (
        lambda: SolverLayer(TOP, on_failure="zero"),
        "ValueError: on_failure: expected one of raise, zero_grad, keep, got 'zero'",
    ),
    "an executor that is closed": (
        in_a_closed_executor,
        "ClosedError: SerialExecutor(num_workers=0) is closed; give the layer an open one",
    ),
    # Calling them.
    "flat theta": (
        lambda: paths(torch.zeros(2, 9)),
        f"ValueError: theta: expected shape (B, 3, 3) or (3, 3) for {NAME}, got (2, 9)",
    ),
    "an array": (
        lambda: top(np.zeros((2, 4))),
        "TypeError: theta: expected a torch.Tensor, got ndarray; make one by torch.as_tensor(theta)",
    ),
    "whole numbers": (
        lambda: top(THETA.long()),
        "TypeError: theta: expected a floating dtype of at least 16 bits, got torch.int64; convert it with "
        "theta.float()",
    ),
    "a network that diverged": (
        lambda: top(THETA * float("nan")),
        "ValueError: theta: expected finite values, got nan in instance 0 at (0,); check the network that predicts "
        "theta",
    ),
    "scores of minus infinity for padding": (
        lambda: top(torch.tensor([[0.0, 1.0, 2.0, -float("inf")]])),
        "ValueError: theta: expected finite values, got -inf in instance 0 at (3,); rule entries out by mask=..., "
        "false where an entry may not be chosen, or check the network that predicts theta",
    ),
    "costs of infinity for walls": (
        lambda: paths(COSTS.clone().index_fill_(1, torch.tensor(1), float("inf"))),
        "ValueError: theta: expected finite values, got inf in instance 0 at (1, 0); rule entries out by blocked=..., "
        "true where a cell may not be visited, or check the network that predicts theta",
    ),
    "context of another name": (
        lambda: paths(mask=torch.zeros(2, 3, 3)),
        f"ValueError: {NAME} does not take mask as context; it takes source, target, blocked",
    ),
    "context of another batch": (
        lambda: top(mask=torch.ones(3, 4)),
        "ValueError: context 'mask': expected shape (2, 4), or (4,) for all instances, got (3, 4)",
    ),
    "no context in place of none": (
        lambda: top(mask=None),
        "TypeError: context 'mask': expected a tensor, or an array or lists of numbers, got None; leave it out where ",
    ),
    "a node for its index": (
        lambda: paths(source="a"),
        "TypeError: context 'source': expected a tensor, or an array or lists of numbers, got 'a'",
    ),
    "an additive mask": (
        lambda: top(mask=torch.tensor([0.0, 0.0, 0.0, -float("inf")])),
        "InputError: instance 0, sample 0: TopKAdapter(n=4, k=2, sense='max'): expected mask to be a mask of zeros and "
        "ones, got -inf; threshold it first",
    ),
    "a soft mask": (
        lambda: paths(blocked=COSTS / 2),
        f"InputError: instance 0, sample 0: {NAME}: expected blocked to be a mask of zeros and ones, got 0.5; "
        "threshold it first",
    ),
    "a mask the wrong way round": (
        lambda: paths(blocked=COSTS),
        f"InputError: instance 0, sample 0: {NAME}: expected a mask that leaves the source open, got one that blocks "
        "(0, 0); clear it in the mask, or choose another source",
    ),
    "walls all around": (
        lambda: paths(blocked=torch.tensor([[0, 1, 0], [1, 1, 0], [0, 0, 0]])),
        f"SolveError: {NAME}: instance 0, sample 0 ended INFEASIBLE (and 1 more): no solution satisfies the "
        "constraints of this instance; check its context (masks, right-hand sides, bounds), or skip such instances ",
    ),
    "more than there is to choose from": (
        lambda: top(k=5),
        "InputError: instance 0, sample 0: k must be a whole number from 0 to the number of entries that may be "
        "chosen, 4; got k=5",
    ),
    "capacities without an axis for the rows": (
        lambda: SolverLayer(ILPAdapter(KNAPSACK), num_workers=0)(torch.rand(2, 2), b_ub=[3.0, 4.0]),
        "ValueError: context 'b_ub': expected shape (2, 1), or (1,) for all instances, got (2,)",
    ),
    "a layer that is closed": (
        after_close,
        "ClosedError: TopKAdapter(n=4, k=2, sense='max'): SerialExecutor(num_workers=0), which solves it, is closed; "
        "make a new layer, or solver",
    ),
    # Executors.
    "no workers": (
        lambda: AutoExecutor(0),
        "ValueError: num_workers must be at least 1 for workers (0: in-process), got 0",
    ),
    "workers by another name": (
        lambda: ProcessExecutor(n_jobs=3),
        "TypeError: ProcessExecutor: unexpected argument n_jobs=3; write num_workers=3",
    ),
    "no time at all": (
        lambda: ProcessExecutor(2, timeout=0),
        "ValueError: timeout must be a positive number of seconds, a timedelta or None, got 0",
    ),
    "a name for an executor": (
        lambda: SolutionCache("processes"),
        "TypeError: SolutionCache: expected an Executor such as AutoExecutor(), got 'processes'",
    ),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_message(misuse):
    check_message(*MISUSES[misuse])


def test_there_are_enough():
    assert len(MISUSES) >= 15
