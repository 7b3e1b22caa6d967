"""Draws and pulls of the host plan are those of a layer, bit for bit. No front end is needed for that."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import (
    IMLE,
    Blackbox,
    ClosedError,
    Estimator,
    FenchelYoungLoss,
    SolveError,
    SolverLayer,
    SPOPlusLoss,
    Target,
)
from imle_solvers.host.one_thread import one_thread
from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.host.seeds import generator_of
from imle_solvers.host.state import write_state
from tests.host.estimators import ESTIMATORS
from tests.solvers import StatusAdapter, top_k

ADAPTERS = {
    "min": lambda: ShortestPathAdapter.grid(4, 5),
    "max": lambda: top_k(6, 2),
    "on tensors": lambda: TopKAdapter(6, 2),
}
WORDS = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.uint32)


def instances(adapter, batch=4, dtype=np.float32, seed=0, lead=()):
    rng = np.random.default_rng(seed)
    theta, dz = (rng.random((*lead, batch, *adapter.instance_shape)) + 0.1 for _ in range(2))
    return theta.astype(dtype), (dz - 0.6).astype(dtype)


def step_of_layer(layer, words, theta, dz, num_samples=None, **context):
    """Samples and gradient."""
    layer.generator = generator_of(words)
    theta = torch.from_numpy(theta.copy()).requires_grad_()
    z = layer(theta, **context)
    z.backward(torch.from_numpy(dz.copy()))
    return z.detach().numpy(), theta.grad.numpy()


def step_of_plan(plan, words, theta, dz, draws=Draws(), state=None, **context):  # noqa: B008 - it cannot change
    drawn = plan.draw(theta, words, context, draws, state, learning=True)
    dtheta, after = plan.pull(theta, words, drawn.draws, drawn.marks, dz, context, draws, state)
    return drawn.samples, dtheta, after


def spread_over(dz, num_samples):
    """A gradient for each sample, from one for each instance."""
    if num_samples is None:
        return dz
    return np.stack([dz * (i + 1) for i in range(num_samples)], 1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sense", ADAPTERS)
@pytest.mark.parametrize(
    ("dtype", "num_samples"), [("float32", None), ("float32", 3), ("float64", 3), ("float16", None)]
)
def test_steps_are_those_of_a_layer(estimator, sense, dtype, num_samples):
    adapter = ADAPTERS[sense]()
    plan = HostPlan(adapter, estimator=ESTIMATORS[estimator](), num_workers=0)
    layer = SolverLayer(adapter, estimator=ESTIMATORS[estimator](), num_samples=num_samples, num_workers=0)
    state = plan.read_state()  # also of those that could leave it on the host
    for words, seed in zip(WORDS, range(3), strict=True):
        theta, dz = instances(adapter, dtype=dtype, seed=seed)
        dz = spread_over(dz, num_samples)
        z, dtheta, state = step_of_plan(plan, words, theta, dz, Draws(num_samples), state)
        expected = step_of_layer(layer, words, theta, dz)
        np.testing.assert_array_equal(z, expected[0])
        np.testing.assert_array_equal(dtheta, expected[1])
        assert dtheta.dtype == z.dtype == dtype and np.abs(dtheta).sum() > 0
    assert state == {name: buffer.double().numpy() for name, buffer in layer.estimator.named_buffers()}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("on_host", [True, False], ids=["state on the host", "state with the call"])
def test_each_entry_of_a_map_comes_out_as_it_does_alone(estimator, on_host):
    adapter = top_k(6, 2)
    theta, dz = instances(adapter, lead=(3,))
    dz[1] = 0  # asks for other solves than the others
    plan, alone = (HostPlan(adapter, estimator=ESTIMATORS[estimator](), num_workers=0) for _ in range(2))
    for each in (plan, alone):
        each.fix_scale(theta[0])
    on_host = on_host and not plan.adapts
    state = None if on_host else plan.read_state()
    mapped = None if on_host else {name: np.stack([value] * 3) for name, value in state.items()}
    z, dtheta, after = step_of_plan(plan, WORDS, theta, dz, state=mapped)
    for i in range(3):
        expected = step_of_plan(alone, WORDS[i], theta[i], dz[i], state=state)
        np.testing.assert_array_equal(z[i], expected[0])
        np.testing.assert_array_equal(dtheta[i], expected[1])
        assert {name: value[i] for name, value in after.items()} == expected[2]


def test_a_map_is_solved_in_one_batch():
    adapter = top_k(6, 2)
    plan = HostPlan(adapter, estimator=IMLE(skip_known=False), num_workers=0)
    theta, dz = instances(adapter, lead=(3, 1), batch=2)
    step_of_plan(plan, WORDS[:, None], theta, dz)
    assert (plan.layer.stats().batches, plan.layer.stats().instances) == (2, 12)


def test_maps_of_nothing_and_batches_of_nothing():
    adapter = ShortestPathAdapter.grid(4, 5)
    plan = HostPlan(adapter, num_workers=0)
    for lead, batch in (((0,), 3), ((3,), 0), ((), 0)):
        theta, dz = instances(adapter, lead=lead, batch=batch)
        z, dtheta, _ = step_of_plan(plan, WORDS[: lead[0]] if lead else WORDS[0], theta, dz)
        assert z.shape == dtheta.shape == theta.shape


def test_context_of_instances_of_maps_and_for_all():
    adapter = TopKAdapter(6, 2)
    plan, layer = HostPlan(adapter), SolverLayer(adapter)
    theta, dz = instances(adapter, lead=(2,))
    k = np.arange(8).reshape(2, 4) % 3
    mask = np.array([1, 1, 1, 0, 1, 1])
    z, dtheta, _ = step_of_plan(plan, WORDS[:2], theta, dz, k=k, mask=np.stack([mask] * 2))
    for i in range(2):
        layer.estimator = IMLE()
        layer.estimator.fix_scale(torch.from_numpy(theta[0].copy()))
        expected = step_of_layer(layer, WORDS[i], theta[i], dz[i], k=k[i], mask=mask)
        np.testing.assert_array_equal(z[i], expected[0])
        np.testing.assert_array_equal(dtheta[i], expected[1])
    assert (z.sum(-1) == k).all() and (z[..., 3] == 0).all()


@pytest.mark.parametrize("on_failure", ["zero_grad", "keep"])
def test_failures_are_dealt_with_in_both_passes(on_failure):
    adapter = StatusAdapter()
    theta, dz = instances(adapter)
    status = np.array([0, 1, 0, 1 if on_failure == "keep" else 2])
    plan = HostPlan(adapter, on_failure=on_failure, num_workers=0)
    layer = SolverLayer(adapter, on_failure=on_failure, num_workers=0)
    z, dtheta, _ = step_of_plan(plan, WORDS[0], theta, dz, status=status)
    expected = step_of_layer(layer, WORDS[0], theta, dz, status=status)
    np.testing.assert_array_equal(z, expected[0])
    np.testing.assert_array_equal(dtheta, expected[1])
    failed = status > (1 if on_failure == "keep" else 0)
    assert (z[failed] == 0).all() and (dtheta[failed] == 0).all() and (dtheta[~failed] != 0).any()


def test_nothing_follows_from_solutions_that_need_not_be_optimal():
    """Of a map, only the pass with such solutions has to solve what it could have known."""

    class Unproven(StatusAdapter):
        is_binary = True

        def solve(self, state, theta, status=0):
            solution, status = super().solve(state, theta, status)
            return solution > 0.5, status

    plan = HostPlan(Unproven(), estimator=Blackbox(), on_failure="keep", num_workers=0)
    theta, dz = instances(plan.adapter, lead=(2,))
    dz[:] = 0  # all targets are known
    status = np.array([[0, 0, 0, 0], [0, 0, 1, 0]])
    drawn = plan.draw(theta, None, {"status": status}, Draws(), learning=True)
    plan.layer.stats().reset()
    plan.pull(theta, None, drawn.draws, drawn.marks, dz, {"status": status}, Draws())
    assert plan.layer.stats().counters["solves skipped as known"] == 4


def test_errors_name_the_instance():
    plan = HostPlan(StatusAdapter(), num_workers=0)
    theta, _ = instances(plan.adapter, lead=(2,))
    with pytest.raises(SolveError, match=r"instance 6, sample 0 ended INFEASIBLE"):
        plan.draw(theta, WORDS[:2], {"status": np.array([[0] * 4, [0, 0, 2, 0]])}, Draws())
    theta[1, 1, 2] = np.nan
    with pytest.raises(ValueError, match=r"got nan in instance 5 at \(2,\)"):
        plan.draw(theta, WORDS[:2], {"status": np.zeros((2, 4), int)}, Draws())
    plan.close()
    with pytest.raises(ClosedError):
        plan.draw(theta, WORDS[:2], {"status": np.zeros((2, 4), int)}, Draws())


def test_an_estimator_that_solves_its_draws_one_by_one_is_refused():
    class OneByOne(IMLE):
        def draw(self, scores, solve, sampling):
            solve(scores.unsqueeze(1))
            return super().draw(scores, solve, sampling)

    plan = HostPlan(top_k(4, 2), estimator=OneByOne(), num_workers=0)
    with pytest.raises(TypeError, match="OneByOne: expected an estimator that solves all draws of a forward pass"):
        plan.draw(instances(plan.adapter)[0], WORDS[0], {}, Draws())


@pytest.mark.parametrize("mapped", [False, True])
def test_losses_are_those_of_a_layer(mapped):
    adapter = ShortestPathAdapter.grid(4, 5)
    theta, other = instances(adapter)
    truth = np.abs(other) + 0.1
    plan, layer = HostPlan(adapter, num_workers=0), SolverLayer(adapter, num_workers=0)
    label = plan.draw(truth, None, {}, Draws(perturb=False)).samples
    for make, others in ((FenchelYoungLoss, (label,)), (SPOPlusLoss, (truth,)), (SPOPlusLoss, (truth, label))):
        words = WORDS[:2] if make is FenchelYoungLoss else None
        arrays = [np.stack([each] * 2) if mapped else each for each in (theta, *others)]
        key = words if words is None or mapped else words[0]
        values, gradients = plan.losses(make(plan.layer, reduction="none"), arrays[0], tuple(arrays[1:]), key, {})
        for i in range(2 if mapped else 1):
            layer.generator = None if words is None else generator_of(words[i])
            leaf = torch.from_numpy(theta.copy()).requires_grad_()
            expected = make(layer, reduction="none")(leaf, *map(torch.from_numpy, others))
            expected.sum().backward()
            np.testing.assert_array_equal(values[i] if mapped else values, expected.detach().numpy())
            np.testing.assert_array_equal(gradients[i] if mapped else gradients, leaf.grad.numpy())


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("num_samples", [None, 3])
def test_diagnostics_are_those_of_a_layer(estimator, name, num_samples):
    adapter = ADAPTERS[name]()
    plan = HostPlan(adapter, estimator=ESTIMATORS[estimator](), num_workers=0)
    layer = SolverLayer(adapter, estimator=ESTIMATORS[estimator](), num_samples=num_samples, num_workers=0)
    for i in range(10):
        theta, dz = instances(adapter, seed=i)
        dz = spread_over(dz, num_samples)
        words = np.array([i, 1], np.uint32)
        state = plan.read_state() if plan.adapts else None
        drawn = plan.draw(theta, words, {}, Draws(num_samples), state, learning=True)
        _, after = plan.pull(theta, words, drawn.draws, drawn.marks, dz, {}, Draws(num_samples), state)
        if state is not None:
            write_state(plan.estimator, after)
        step_of_layer(layer, words, theta, dz)
    figures, expected = plan.layer.diagnostics(), layer.diagnostics()
    assert figures.keys() == expected.keys() and "nonzero_entries" in figures
    if expected.get("distinct_samples", 1.0) == 0:  # that they were solved once is not known any more
        for each in (figures, expected):
            del each["skipped_solves"]
            each.pop("clamped_costs")
    assert figures == pytest.approx(expected, rel=1e-6)


def test_it_warns_of_a_step_that_is_too_short_and_not_of_one_theta_for_all_instances():
    plan = HostPlan(top_k(6, 2), estimator=IMLE(target=Target(beta=1e-9)), num_workers=0)
    theta, dz = instances(plan.adapter)

    def train(steps):
        for i in range(steps):
            step_of_plan(plan, np.array([i], np.uint32), theta, dz)

    with pytest.warns(RuntimeWarning, match="the target's step is .* too short to change any"):
        train(8 + 3 * 64)
    plan = HostPlan(top_k(6, 2), num_workers=0)
    theta = np.repeat(theta[:1], 4, axis=0)
    train(8 + 3 * 64)


def test_all_words_of_a_key_count():
    first = [generator_of(np.array(words)).initial_seed() % 2**32 for words in ([0, 0], [0, 1], [1, 0], [0, 0, 0, 1])]
    assert len(set(first)) == 4


def test_the_users_torch_keeps_its_threads_and_its_numbers():
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = torch.get_rng_state()
        seen = []

        class Looks(Estimator):
            def draw(self, scores, solve, sampling):
                seen.append(torch.get_num_threads())
                other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
                other.start()
                other.join()
                solved = solve(scores.unsqueeze(1))
                return solved, ()

        plan = HostPlan(top_k(4, 2), estimator=Looks(), num_workers=0)
        theta, _ = instances(plan.adapter)
        plan.draw(theta, WORDS[0], {}, Draws())
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        openmp = "OpenMP" in torch.__config__.parallel_info().partition("parallel backend:")[2]
        assert seen == [1 if openmp else 2, 2] and torch.get_num_threads() == 2
        HostPlan(top_k(4, 2), num_workers=0).draw(theta, WORDS[0], {}, Draws())
        assert torch.equal(torch.get_rng_state(), before)
    finally:
        torch.set_num_threads(usual)
