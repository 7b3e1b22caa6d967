"""What a stranger gets wrong, in one table, and what they read then.

Every message says what was wrong, and most what to do: read them through when you change one.
"""

from __future__ import annotations

import threading

import networkx as nx
import numpy as np
import pytest
import torch

from imle_adapters import (
    AssignmentAdapter,
    ILPAdapter,
    ILPSpec,
    MaxSpanningTreeAdapter,
    ShortestPathAdapter,
    TopKAdapter,
)
from imle_solvers import (
    AIMLE,
    IMLE,
    AutoExecutor,
    Blackbox,
    FenchelYoungLoss,
    FunctionAdapter,
    Gumbel,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    ProcessExecutor,
    ScoreFunctionLoss,
    SerialExecutor,
    SolutionCache,
    SolverLayer,
    SPOPlusLoss,
    SumOfGamma,
    Target,
    make_adapter,
)

TOP = TopKAdapter(4, 2)
GRID = ShortestPathAdapter.grid(3, 3)
NAME = "ShortestPathAdapter(3x3 grid, costs of vertices, negative='clamp', backend='compiled')"
KNAPSACK = ILPSpec(sense="max", A_ub=[[2.0, 3.0]], b_ub=[4.0], ub=1, integrality=True)
THETA, COSTS = torch.zeros(2, 4), torch.ones(2, 3, 3)


def solve(function, theta=THETA, batched=False, context=(), **values):
    adapter = FunctionAdapter(function, sense="max", instance_shape=4, batched=batched, context=context)
    return SolverLayer(adapter, num_workers=0)(theta, **values)


def top(theta=THETA, **context):
    return SolverLayer(TOP)(theta, **context)


def paths(theta=COSTS, **context):
    return SolverLayer(GRID, num_workers=0)(theta, **context)


def locked():
    lock = threading.Lock()
    return FunctionAdapter(lambda theta: theta if lock else 0, sense="max", instance_shape=4)


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
        f"ValueError: theta: expected shape ('B', 3, 3) or (3, 3) for {NAME}, got (2, 9)",
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
        "ClosedError: the executor of this layer is closed (SerialExecutor(num_workers=0)); make a new layer",
    ),
    # Solvers of one's own.
    "a result for a function": (
        lambda: FunctionAdapter(np.argmax(np.ones(3)), sense="max", instance_shape=3),
        "TypeError: FunctionAdapter: expected a function, got int64",
    ),
    "another word for the sense": (
        lambda: FunctionAdapter(len, sense="maximize", instance_shape=3),
        'ValueError: FunctionAdapter: sense must be "min" (theta are costs) or "max" (theta are scores), got '
        "'maximize'",
    ),
    "a direction for the sense": (
        lambda: FunctionAdapter(len, minimize=True, instance_shape=3),
        'TypeError: FunctionAdapter: unexpected argument minimize=True; write sense="min" for costs, sense="max" for '
        "scores",
    ),
    "a shape of fractions": (
        lambda: FunctionAdapter(len, sense="max", instance_shape=(3.0,)),
        "TypeError: FunctionAdapter: instance_shape must be a tuple of ints, got (3.0,)",
    ),
    "a choice for its one-hot vector": (
        lambda: solve(lambda theta: int(theta.argmax())),
        "AdapterError: instance 0, sample 0: FunctionAdapter(<lambda>, sense='max', instance_shape=(4,)) failed: "
        "ValueError: expected a solution of shape (4,), got ()",
    ),
    "a function that returns nothing": (
        lambda: solve(lambda theta: None),
        "AdapterError: instance 0, sample 0: FunctionAdapter(<lambda>, sense='max', instance_shape=(4,)) failed: "
        "TypeError: expected a solution with status OPTIMAL, got None",
    ),
    "an array for a tensor": (
        lambda: solve(lambda thetas: thetas.numpy() > 0, batched=True),
        "AdapterError: FunctionAdapter(<lambda>, sense='max', instance_shape=(4,)): expected a tensor of solutions of "
        "shape (2, 4), got ndarray",
    ),
    "gradients for solutions of another shape": (
        lambda: SolverLayer(FunctionAdapter(sum, sense="max", instance_shape=3, solution_shape=1), num_workers=0)(
            torch.rand(2, 3, requires_grad=True)
        ),
        "ValueError: IMLE needs solutions of theta's shape, since its gradient is a difference of solutions: theta "
        "has (3,), a solution (1,). Let the adapter return the part of the solution that theta prices, entry by "
        "entry, and ",
    ),
    # Adapters.
    "a matrix for a graph": (
        lambda: ShortestPathAdapter(np.ones((3, 3)), 0, 2),
        "TypeError: expected a NetworkX Graph, DiGraph, MultiGraph or MultiDiGraph, got ndarray; make one with "
        "networkx.Graph(",
    ),
    "a target that is no node": (
        lambda: ShortestPathAdapter(nx.path_graph(["a", "b", "c"]), "a", "z"),
        "ValueError: expected the target to be a node of the graph, got 'z'; its 3 nodes are 'a', 'b', 'c'",
    ),
    "a tree on two components": (
        lambda: MaxSpanningTreeAdapter(nx.Graph([(0, 1), (2, 3)])),
        "ValueError: expected a connected graph, got one of 2 components, which no tree spans; connect them, or pass "
        "forest=True for a tree in each",
    ),
    "pairs that leave no matching": (
        lambda: AssignmentAdapter(2, 2, allowed=[[1, 0], [1, 0]]),
        "ValueError: AssignmentAdapter: allowed leaves no complete matching; allow more pairs or give a price for "
        "unmatched rows",
    ),
    "more to choose than there are": (
        lambda: TopKAdapter(3, 4),
        "ValueError: TopKAdapter: k must be a whole number from 0 to n=3, got 4",
    ),
    "a name that nobody registered": (
        lambda: make_adapter("shortestpath"),
        "ValueError: unknown adapter 'shortestpath'. Did you mean 'shortest_path'? Known adapters: ",
    ),
    # Programs.
    "arguments for a program": (
        lambda: ILPAdapter({"A_ub": [[1.0]]}),
        "TypeError: expected an ILPSpec, got dict; make one with ILPSpec(...)",
    ),
    "bounds as SciPy has them": (
        lambda: ILPSpec(sense="max", shape=2, bounds=(0, 1)),
        "TypeError: ILPSpec: unexpected argument bounds=(0, 1); write lb=..., ub=...",
    ),
    "an objective as SciPy has it": (
        lambda: ILPSpec(sense="max", shape=2, c=[1, 2]),
        "TypeError: ILPSpec: unexpected argument c=[1, 2]; theta is the objective: pass it to the layer, or keep one "
        "by ",
    ),
    "rows without sides": (
        lambda: ILPSpec(sense="max", A_ub=[[1.0, 1.0]]),
        "ValueError: expected A_ub and b_ub together, got A_ub without b_ub",
    ),
    "bounds that cross": (
        lambda: ILPSpec(sense="max", shape=2, ub=-1),
        "ValueError: expected lb <= ub, got lb = 0.0 > ub = -1.0 for variable 0; lb defaults to 0, so pass lb=-inf "
        "for variables that may be negative",
    ),
    "a variable of another name": (
        lambda: ILPSpec(sense="max", ub=[1, 1], names=["price", "cost"], theta_index=["costs"]),
        "ValueError: theta_index: expected the name of one variable, got 'costs'; did you mean 'cost'?",
    ),
    "a program without solutions": (
        lambda: ILPAdapter(ILPSpec(sense="max", A_ub=[[1.0, 1.0]], b_ub=[-1.0], ub=1, integrality=True)),
        "ValueError: expected a feasible program, but no x satisfies the constraints of ILPSpec(sense='max', "
        "shape=(2,), ",
    ),
    "a solver that OR-Tools does not have": (
        lambda: ILPAdapter(KNAPSACK, backend="gurobi"),
        'ValueError: expected backend "auto" or one of ',
    ),
    # Estimators.
    "the target's step for the estimator": (
        lambda: IMLE(beta=10.0),
        "TypeError: IMLE: unexpected argument beta=10.0; write target=Target(beta=10.0)",
    ),
    "one temperature for two": (
        lambda: IMLE(temperature=0.5),
        "TypeError: IMLE: unexpected argument temperature=0.5; write input_noise_temperature=0.5, "
        "target_noise_temperature=0.5",
    ),
    "a class for noise": (
        lambda: IMLE(Gumbel),
        'TypeError: IMLE: expected noise with a sample method, such as Gumbel(), "auto" or None, got <class ',
    ),
    "a distribution of PyTorch for noise": (
        lambda: IMLE(torch.distributions.Normal(0.0, 1.0)),
        "TypeError: IMLE: expected noise whose sample method takes (shape, *, generator, device, dtype), which that of "
        "Normal(loc: 0.0, scale: 1.0) does not; imle_solvers.Normal() is one",
    ),
    "a step that goes backward": (
        lambda: Target(beta=-1),
        "ValueError: Target: beta must be positive and finite, got -1",
    ),
    "a temperature from a configuration file": (
        lambda: IMLE(input_noise_temperature="0.5"),
        "ValueError: IMLE: input_noise_temperature must be finite and not negative, got '0.5'",
    ),
    "no step for Blackbox": (
        lambda: Blackbox(0),
        "ValueError: Blackbox: lam must be positive and finite, got 0",
    ),
    "half a sample": (
        lambda: AIMLE(num_marginal_samples=2.5),
        "TypeError: AIMLE: num_marginal_samples must be an int, got 2.5",
    ),
    "noise without a density": (
        lambda: PerturbedOptimizer(SumOfGamma(3)),
        "TypeError: PerturbedOptimizer: expected noise with a score, such as Normal() or Gumbel(), got "
        "SumOfGamma(k=3, terms=10, method='quantile'); without a density in closed form its gradient is unknown",
    ),
    "a number of ones that nobody knows": (
        lambda: SolverLayer(
            FunctionAdapter(len, sense="max", instance_shape=4), estimator=IMLE(SumOfGamma()), num_workers=0
        )(THETA),
        'ValueError: SumOfGamma: k="auto" needs an adapter that knows the number of ones in a solution (num_ones); '
        "this one does not, so give k",
    ),
    "a target that has no step to divide by": (
        lambda: IMLE(target=HammingTarget(), scale_gradient=True),
        "ValueError: IMLE: scale_gradient divides by the beta of a Target, which HammingTarget(scale=1.0) does not "
        "have",
    ),
    "another projection": (
        lambda: Identity("max"),
        "ValueError: Identity: projection must be one of mean, norm, standardize or None, got 'max'",
    ),
    # Losses.
    "an adapter for a loss": (
        lambda: FenchelYoungLoss(TOP),
        "TypeError: FenchelYoungLoss: expected a SolverLayer, got TopKAdapter(n=4, k=2, sense='max'); make one by "
        "SolverLayer(adapter)",
    ),
    "labels for solutions": (
        lambda: FenchelYoungLoss(SolverLayer(TOP))(THETA, torch.tensor([0, 1])),
        "ValueError: target: expected a tensor of theta's shape (2, 4), got (2,)",
    ),
    "a solution of another batch": (
        lambda: SPOPlusLoss(SolverLayer(TOP))(THETA, THETA, THETA[:1]),
        "ValueError: solution: expected a tensor of theta's shape (2, 4), got (1, 4)",
    ),
    "another reduction": (
        lambda: FenchelYoungLoss(SolverLayer(TOP), reduction="average"),
        "ValueError: reduction: expected one of mean, sum, none, got 'average'",
    ),
    "a score of noise that has none": (
        lambda: ScoreFunctionLoss(SolverLayer(TOP), lambda z: z.sum(-1)),
        "TypeError: ScoreFunctionLoss: expected a layer with noise that has a score, such as IMLE(Normal()), got noise "
        "'auto'; ",
    ),
    "a number for a loss": (
        lambda: ScoreFunctionLoss(SolverLayer(TOP, estimator=IMLE(Normal())), 3),
        "TypeError: ScoreFunctionLoss: expected a function of solutions as loss, got 3",
    ),
    # Solvers of one's own.
    "a solution that is no number": (
        lambda: solve(lambda theta: theta * np.nan),
        "AdapterError: instance 0, sample 0: FunctionAdapter(<lambda>, sense='max', instance_shape=(4,)): expected "
        "finite numbers in a solution that is OPTIMAL, got nan at (0,); where there is no solution return a status "
        "that says so, such as Status.INFEASIBLE",
    ),
    "whether it went well for a status": (
        lambda: solve(lambda theta: (theta, True)),
        "AdapterError: instance 0, sample 0: FunctionAdapter(<lambda>, sense='max', instance_shape=(4,)) failed: "
        "TypeError: expected a status such as Status.OPTIMAL beside the solution, got True",
    ),
    "a lock for worker processes": (
        lambda: SolverLayer(locked(), executor="processes"),
        "AdapterError: FunctionAdapter(<lambda>, sense='max', instance_shape=(4,)) cannot be sent to worker "
        "processes: ",
    ),
    "context that the function does not take": (
        lambda: solve(lambda theta: theta, context=["price"], price=torch.ones(2)),
        "TypeError: FunctionAdapter: <lambda> is called with (theta, price=...), but takes (theta): got an unexpected "
        "keyword argument 'price'; name in context= what it takes besides theta",
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
    use, message = MISUSES[misuse]
    with pytest.raises((TypeError, ValueError, RuntimeError)) as raised:
        use()
    assert f"{type(raised.value).__name__}: {raised.value}".startswith(message)


def test_there_are_enough():
    assert len(MISUSES) >= 40
