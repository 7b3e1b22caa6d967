"""What a stranger gets wrong with solvers, adapters, estimators and losses, and what they read then.

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
    Blackbox,
    FenchelYoungLoss,
    FunctionAdapter,
    Gumbel,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    ScoreFunctionLoss,
    SolverLayer,
    SPOPlusLoss,
    SumOfGamma,
    Target,
    make_adapter,
)
from tests.layer.misuse import KNAPSACK, THETA, TOP, check_message, solve


def locked():
    lock = threading.Lock()
    return FunctionAdapter(lambda theta: theta if lock else 0, sense="max", instance_shape=4)


# What is done -> how, and what the error says: all of it, or its beginning.
MISUSES = {
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
        "TypeError: ILPSpec.__init__() missing 1 required keyword-only argument: 'sense'",
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
        lambda: ILPAdapter(KNAPSACK, backend="glpk"),
        'ValueError: expected backend "auto", one of scip, ',
    ),
    "a number for the progress": (
        lambda: setattr(SolverLayer(FunctionAdapter(sum, sense="max", instance_shape=3)), "on_progress", 3),
        "TypeError: on_progress: expected a function of (solved, N), or None, got 3",
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
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_message(misuse):
    check_message(*MISUSES[misuse])


def test_there_are_enough():
    assert len(MISUSES) >= 25
