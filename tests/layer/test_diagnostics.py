"""What `layer.diagnostics()` says, and that looking on changes nothing."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from imle_adapters import AssignmentAdapter, ShortestPathAdapter, TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    FunctionAdapter,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    SerialExecutor,
    SolutionCache,
    SolverLayer,
    StraightThrough,
    Target,
)
from imle_solvers.solving.diagnostics import EVERY, FIRST, WINDOW
from tests.layer.layers import make
from tests.solvers import top_k


def theta_of(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def step(layer, theta, labels=None, **context):
    z = layer(theta, **context)
    labels = torch.zeros_like(z) if labels is None else labels
    (z - labels).abs().sum().backward()
    return z


def test_figures_of_one_step_are_those_of_its_tensors():
    estimator = IMLE(Normal(), Target(beta=2.0), input_noise_temperature=1.0)
    layer = make(top_k(6, 2), estimator=estimator, num_samples=5)
    theta = theta_of(8, 6)
    dz = theta_of(8, 5, 6, seed=1).detach()
    z = layer(theta)
    z.backward(dz)
    figures = layer.diagnostics()
    assert all(type(value) is float for value in figures.values())
    assert figures["nonzero_entries"] == pytest.approx(theta.grad.ne(0).float().mean().item())
    assert figures["nonzero_instances"] == pytest.approx(theta.grad.ne(0).any(1).float().mean().item())
    assert figures["distinct_samples"] == pytest.approx((z[:, 1:] != z[:, :1]).any(-1).float().mean().item())
    noise = Normal().sample((8, 5, 6), generator=torch.Generator().manual_seed(0))
    assert figures["temperature"] == pytest.approx((noise[:, 0].norm() / theta.norm()).item(), rel=1e-5)
    length = theta.norm() / math.sqrt(8)
    assert figures["step_length"] == pytest.approx((2 * dz[:, 0].norm(dim=1).mean() / length).item(), rel=1e-4)
    target = layer.map((theta.unsqueeze(1) + noise - 2 * dz).flatten(0, 1)).view_as(z)
    moved = (z - target).detach()
    assert figures["unchanged_targets"] == pytest.approx((moved == 0).all(-1).float().mean().item())
    inner = torch.einsum("bsi,bti->st", moved, moved)
    pairs = (inner.sum() - inner.trace()) / (4 * inner.trace())
    assert figures["agreement"] == pytest.approx(pairs.item(), rel=1e-4)
    assert figures["skipped_solves"] == layer.stats().counters["solves skipped as known"] / 80
    assert "noise_changed" not in figures


def test_samples_are_compared_with_map_states_now_and_then():
    layer = make(top_k(6, 2), estimator=IMLE(Normal(), input_noise_temperature=0.3))
    theta = theta_of(16, 6)
    for _ in range(FIRST - 1):
        step(layer, theta)
    assert "noise_changed" not in layer.diagnostics(reset=True)
    instances = layer.stats().instances
    z = step(layer, theta)
    figures = layer.diagnostics()
    best = layer.map(theta)
    assert figures["noise_changed"] == pytest.approx((z != best).any(1).float().mean().item())
    worse = (theta * best).sum() - (theta * z).sum()
    assert figures["noise_gap"] == pytest.approx((worse / (theta * best).sum()).item(), rel=1e-4)
    assert layer.stats().instances == instances + 3 * 16, "the comparison is not counted"


def test_caches_of_solutions_learn_nothing_from_being_looked_at():
    def solutions(watched):
        adapter = top_k(6, 2)
        with SolutionCache(SerialExecutor(), solve_ratio=0.5, seed=0) as cache:
            layer = SolverLayer(adapter, executor=cache, on_failure="keep", generator=torch.Generator().manual_seed(0))
            if not watched:
                layer._watch = lambda *arguments: None
            drawn = [step(layer, theta_of(4, 6, seed=seed)) for seed in range(2 * FIRST)]
        assert "noise_changed" not in layer.diagnostics()
        return torch.stack(drawn)

    assert torch.equal(solutions(True), solutions(False))


def test_clamped_costs_are_a_share():
    layer = make(ShortestPathAdapter.grid(3, 3), estimator=IMLE(None, HammingTarget()))
    theta = torch.ones(4, 3, 3)
    theta[:, 0, 1] = -1
    with pytest.warns(RuntimeWarning, match="solved as zero"):
        (layer(theta.requires_grad_()) * 0).sum().backward()
    assert layer.diagnostics()["clamped_costs"] == pytest.approx(1 / 9)


@pytest.mark.parametrize(
    ("estimator", "missing"),
    [
        (IMLE(Normal()), set()),
        (IMLE(Normal(), num_marginal_samples=3), set()),
        (AIMLE(Normal(), initial_beta=1.0), set()),
        (AIMLE(Normal(), initial_beta=1.0, symmetric=True), set()),
        (Blackbox(), set()),
        (StraightThrough(Normal()), {"unchanged_targets", "step_length", "agreement"}),
        (Identity(), {"unchanged_targets", "step_length", "agreement"}),
        (PerturbedOptimizer(), {"unchanged_targets", "step_length", "agreement"}),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("adapter", [TopKAdapter(6, 2), top_k(6, 2)], ids=["on tensors", "in process"])
def test_every_estimator_has_figures(estimator, missing, adapter):
    layer = make(adapter, estimator=copy.deepcopy(estimator), num_samples=4)
    dz = theta_of(5, 4, 6, seed=2).detach()
    layer(theta_of(5, 6)).backward(dz)
    every = {"nonzero_entries", "nonzero_instances", "unchanged_targets", "step_length", "temperature", "agreement"}
    figures = layer.diagnostics()
    expected = every - missing | {"distinct_samples", "skipped_solves", "clamped_costs"}
    assert figures.keys() == expected
    if isinstance(estimator, AIMLE):  # the norms are of the whole batch
        assert figures["step_length"] == pytest.approx(1.0, rel=0.3)


def test_without_a_gradient_there_is_nothing_to_say():
    layer = make(top_k(4, 2))
    theta = theta_of(3, 4)
    with torch.no_grad():
        layer(theta)
    layer(theta.detach())
    layer.map(theta).sum().backward()
    layer.eval()(theta).sum().backward()
    assert layer.diagnostics() == {}


def test_only_the_last_steps_count_and_reset_forgets_them():
    layer = make(top_k(4, 2), estimator=IMLE(Normal()))
    for _ in range(FIRST + 2 * EVERY):
        step(layer, theta_of(3, 4))
    assert len(layer._diagnostics._records) == WINDOW
    assert layer.diagnostics(reset=True)
    assert layer.diagnostics() == {}


def test_steps_that_are_looked_at_give_the_same():
    watched, alone = (make(top_k(6, 2), num_samples=3) for _ in range(2))
    alone._watch = lambda *arguments: None
    for seed in range(FIRST + 2):
        one, other = (theta_of(4, 6, seed=seed) for _ in range(2))
        assert torch.equal(step(watched, one), step(alone, other))
        assert torch.equal(one.grad, other.grad)
    assert alone.diagnostics() == {}
    assert str(watched.stats().statuses) == str(alone.stats().statuses)


class Operations(TorchDispatchMode):
    """Counts what torch computes."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += 1
        return function(*arguments, **(keywords or {}))


def test_most_steps_cost_not_one_operation_more():
    """benchmarks/bench_diagnostics.py measures what the others do."""

    def operations(layer, steps):
        with Operations() as done:
            for seed in range(steps):
                step(layer, theta_of(4, 6, seed=seed))
        return done.count

    watched, alone = (make(top_k(6, 2)) for _ in range(2))
    alone._watch = lambda *arguments: None
    first = operations(watched, FIRST) - operations(alone, FIRST)
    assert first > 0
    assert operations(watched, EVERY - 1) == operations(alone, EVERY - 1)
    assert operations(watched, 1) > operations(alone, 1)


def test_failed_solves_are_no_samples():
    def solve(theta):
        if theta[0] > 1:
            return None, 3
        return (theta == theta.max()).astype(float)

    adapter = FunctionAdapter(solve, sense="max", instance_shape=(3,))
    layer = make(adapter, estimator=IMLE(None), on_failure="zero_grad")
    theta = torch.tensor([[2.0, 0, 0], [0, 1, 0]], requires_grad=True)
    layer(theta).backward(torch.tensor([[0.0, 0, 0], [0, 1, 0]]))
    assert layer.diagnostics()["unchanged_targets"] == 0.5


@pytest.mark.parametrize("shape", [(), (0,), (2, 0)], ids=str)
def test_instances_of_any_shape(shape):
    adapter = FunctionAdapter(lambda theta: theta, sense="max", instance_shape=shape)
    layer = make(adapter)
    layer(torch.rand(3, *shape, requires_grad=True)).sum().backward()
    layer(torch.rand(0, *shape, requires_grad=True)).sum().backward()
    assert all(math.isfinite(value) for value in layer.diagnostics().values())


def test_half_precision_and_a_single_theta():
    layer = make(TopKAdapter(6, 2))
    layer(theta_of(4, 6).detach().bfloat16().requires_grad_()).sum().backward()
    layer(theta_of(6)).sum().backward()
    assert layer.diagnostics()["nonzero_entries"] >= 0


def test_steps_are_let_go_of_without_the_garbage_collector():
    gc.disable()
    try:
        layer = make(top_k(4, 2))
        z = layer(theta_of(3, 4))
        solver = weakref.ref(z.grad_fn.next_functions[0][0].solve)
        assert solver().watch is not None
        del z
        assert solver() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_begin_anew(again):
    layer = SolverLayer(AssignmentAdapter(2, 2), num_workers=0)
    step(layer, theta_of(3, 2, 2))
    other = again(layer)
    assert other.diagnostics() == {}
    step(other, theta_of(3, 2, 2))
    assert layer.diagnostics().keys() == other.diagnostics().keys()


def test_threads_share_a_layer():
    layer = SolverLayer(top_k(4, 2), num_workers=0)
    failures = []

    def run(seed):
        try:
            for _ in range(40):
                step(layer, theta_of(3, 4, seed=seed))
                layer.diagnostics()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert layer.diagnostics()


def test_a_graph_that_is_used_twice_counts_once():
    layer = make(top_k(4, 2))
    z = layer(theta_of(3, 4))
    z.sum().backward(retain_graph=True)
    z.sum().backward()
    assert len(layer._diagnostics._records) == 1


def test_repeated_forward_passes_do_not_hide_steps():
    """As under torch.utils.checkpoint, where each second one has a backward pass."""
    layer = make(top_k(4, 2))
    theta = theta_of(3, 4)
    for _ in range(FIRST + 1):
        layer(theta)
        step(layer, theta)
    assert layer._diagnostics._observed == FIRST
