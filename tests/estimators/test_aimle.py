"""Adaptive I-MLE: the published numbers, its state, and what it does not repeat of earlier implementations."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import AIMLE, Normal, SolverLayer, Status
from tests.fixed import Fixed
from tests.solvers import StatusAdapter, function_adapter

RUNS = [f"aimle_{i}" for i in range(8)]


@pytest.mark.parametrize("name", RUNS)
def test_it_equals_the_published_implementation_step_by_step(reference, name):
    case = reference[name]
    grid = case["problem"] == "grid"
    adapter = ShortestPathAdapter.grid(6, 6) if grid else TopKAdapter(20, case["k"])
    sign = -1 if grid else 1
    estimator = AIMLE(
        symmetric=case["symmetric"],
        alpha=case["initial_alpha"],
        initial_beta=case["initial_beta"],
        initial_norm=case["initial_grad_norm"],
        target_norm=case["target_norm"],
        step=case["beta_update_step"],
        momentum=case["beta_update_momentum"],
        decay=case["grad_norm_decay_rate"],
        input_noise_temperature=case["theta_noise_temperature"],
        target_noise_temperature=case["target_noise_temperature"],
    )
    layer = SolverLayer(adapter, estimator=estimator, num_samples=case["nb_samples"])
    for step in range(6):
        estimator.noise = Fixed(case["noise"][step])
        theta = (sign * case["theta"][step]).requires_grad_()
        z = layer(theta)
        z.backward(case["dy"][step])
        torch.testing.assert_close(z, case["z"][step].to(z), rtol=0, atol=0)
        torch.testing.assert_close(sign * theta.grad, case["grad"][step], rtol=1e-6, atol=1e-6)
        assert float(estimator.beta) == pytest.approx(float(case["beta_after"][step]))


def make(num_samples=None, n=6, k=2, sense="max", **kwargs):
    published = {"initial_beta": 1.0, "target_norm": 1.0, "input_noise_temperature": 1.0}
    estimator = AIMLE(Normal(), **{**published, "step": 0.1, **kwargs})
    return SolverLayer(
        TopKAdapter(n, k, sense),
        estimator=estimator,
        num_samples=num_samples,
        generator=torch.Generator().manual_seed(0),
    )


def top2(scores):
    return torch.zeros_like(scores).scatter(-1, scores.topk(2).indices, 1.0)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("per_instance", [False, True])
@pytest.mark.parametrize("num_samples", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_step_is_divided_by_the_length_it_was_made_with(symmetric, per_instance, num_samples, dtype):
    """By hand, with S > 1 too, where the published code divided by a norm that is sqrt(S) off."""
    generator = torch.Generator().manual_seed(1)
    theta = torch.randn(3, 6, generator=generator, dtype=dtype)
    noise = torch.randn(3, num_samples, 6, generator=generator, dtype=dtype)
    dz = torch.randn(3, num_samples, 6, generator=generator, dtype=dtype)
    layer = make(num_samples, symmetric=symmetric, per_instance=per_instance, initial_beta=2.0)
    layer.estimator.noise = Fixed(noise)
    variable = theta.clone().requires_grad_()
    layer(variable).backward(dz)

    repeated = theta.unsqueeze(1).expand_as(dz)
    axes = (1, 2) if per_instance else (0, 1, 2)
    size = 2.0 * repeated.pow(2).sum(axes, keepdim=True).sqrt() / dz.pow(2).sum(axes, keepdim=True).sqrt()
    behind = top2(repeated - size * dz + noise)
    ahead = top2(repeated + size * dz + noise) if symmetric else top2(repeated + noise)
    expected = ((ahead - behind) / (2 * size if symmetric else size)).mean(1)
    torch.testing.assert_close(variable.grad, expected)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("num_samples", [None, 3])
def test_minimising_mirrors_maximising_bit_for_bit(symmetric, num_samples):
    grads = []
    for sense, sign in (("max", 1), ("min", -1)):
        layer = make(num_samples, sense=sense, symmetric=symmetric)
        torch.manual_seed(0)
        theta = (sign * torch.randn(5, 6)).requires_grad_()
        z = layer(theta)
        (z * torch.randn_like(z)).sum().backward()
        grads.append(sign * theta.grad)
    assert torch.equal(grads[0], grads[1])
    assert grads[0].abs().sum() > 0


def test_the_central_difference_is_one_batch():
    layer = make(3, symmetric=True)
    layer(torch.randn(4, 6, requires_grad=True)).sum().backward()
    assert (layer.stats().batches, layer.stats().instances) == (2, 12 + 24)


def backward(layer, dz, seed=0):
    torch.manual_seed(seed)
    theta = torch.randn(dz.shape[0], 6, requires_grad=True)
    layer(theta).backward(dz)
    return theta.grad


def test_beta_follows_the_number_of_nonzeros():
    """With aim 1, beta rises while gradients are all zero and falls when they have many entries."""
    layer = make(initial_beta=0.0, initial_norm=0.0, target_norm=1.0)
    assert backward(layer, torch.randn(5, 6)).abs().sum() == 0
    assert float(layer.estimator.beta) == pytest.approx(0.1)
    layer = make(initial_beta=50.0, initial_norm=0.0, target_norm=0.01)
    backward(layer, torch.randn(5, 6))
    assert float(layer.estimator.beta) == pytest.approx(49.9)


def test_beta_does_not_fall_below_zero():
    layer = make(initial_beta=0.05, initial_norm=9.0)
    backward(layer, torch.randn(5, 6))
    assert float(layer.estimator.beta) == 0.0


def test_momentum_repeats_the_last_move():
    layer = make(initial_beta=1.0, initial_norm=0.0, target_norm=100.0, momentum=0.5)
    for expected in (1.1, 1.25, 1.425):
        backward(layer, torch.randn(5, 6))
        assert float(layer.estimator.beta) == pytest.approx(expected)


@pytest.mark.parametrize("idle", [0.0, float("nan")])
@pytest.mark.parametrize("symmetric", [False, True])
def test_samples_without_a_gradient_do_not_move_the_state(idle, symmetric):
    """All of them: nothing moves. Some of them: the others get the gradient, and move the state, as if alone."""
    theta, noise, dz = torch.randn(6, 6), torch.randn(6, 1, 6), torch.randn(6, 6)
    dz[4:] = idle

    def run(rows):
        layer = make(initial_beta=3.0, per_instance=True, symmetric=symmetric)
        layer.estimator.noise = Fixed(noise[rows])
        variable = theta[rows].requires_grad_()
        layer(variable).backward(dz[rows])
        return variable.grad, layer.estimator.state_dict()

    assert run(slice(4, 6))[1] == make(initial_beta=3.0).estimator.state_dict()
    alone, mixed = run(slice(0, 4)), run(slice(0, 6))
    assert alone[1] == mixed[1]
    assert alone[0].abs().sum() > 0
    torch.testing.assert_close(mixed[0][:4], alone[0])
    assert mixed[0][4:].nan_to_num().abs().sum() == 0


def test_the_batchs_step_ignores_samples_that_are_not_finite():
    dz = torch.arange(24.0).view(4, 6).cos()
    dz[1] = float("inf")
    grad = backward(make(initial_beta=5.0), dz)
    assert grad[1].isnan().all()
    assert grad[[0, 2, 3]].isfinite().all()
    assert grad[[0, 2, 3]].abs().sum() > 0


def test_state_is_saved_copied_and_resumed():
    layer = make()
    backward(layer, torch.randn(5, 6))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    resumed, twin = make(), copy.deepcopy(layer)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    dz = torch.randn(5, 6)
    expected = backward(layer, dz)
    for other in (resumed, twin):
        assert torch.equal(backward(other, dz), expected)
        assert float(other.estimator.beta) == float(layer.estimator.beta)


@pytest.mark.parametrize("symmetric", [False, True])
def test_samples_that_failed_count_as_if_they_were_not_there(symmetric):
    def run(rows):
        estimator = AIMLE(None, per_instance=True, initial_beta=1.0, step=0.1, symmetric=symmetric)
        layer = SolverLayer(StatusAdapter(), estimator=estimator, num_workers=0, on_failure="zero_grad")
        theta = torch.tensor([[1.0, 2, 3], [3, 2, 1], [2, 1, 1]])[rows].requires_grad_()
        z = layer(theta, status=torch.tensor([0, int(Status.TIMEOUT), int(Status.INFEASIBLE)])[rows])
        z.backward(torch.tensor([[0.0, 1, 0], [1, 2, 3], [4, 5, 6]])[rows])
        return theta.grad, estimator.state_dict()

    (gradient, state), (alone, state_alone) = run(slice(0, 3)), run(slice(0, 1))
    assert torch.equal(gradient, torch.cat([alone, torch.zeros(2, 3)]))
    assert state == state_alone
    assert run(slice(1, 3))[1] == AIMLE(initial_beta=1.0).state_dict()


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_sample_that_failed_forward_has_no_gradient_though_its_targets_are_solved(symmetric):
    adapter = function_adapter(lambda theta: (theta, Status.TIMEOUT if theta[0] == 1 else Status.OPTIMAL))
    estimator = AIMLE(None, initial_beta=1.0, symmetric=symmetric)
    layer = SolverLayer(adapter, estimator=estimator, num_workers=0, on_failure="zero_grad")
    theta = torch.tensor([[1.0, 1], [2, 2]], requires_grad=True)
    layer(theta).sum().backward()
    assert theta.grad[0].abs().sum() == 0
    assert theta.grad[1].abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_casting_the_model_keeps_the_states_precision(dtype):
    layer = make(initial_beta=0.1234567).to(dtype)
    assert layer.estimator.beta.dtype == torch.float64
    assert float(layer.estimator.beta) == 0.1234567


def test_the_state_can_be_shared_and_made_on_the_meta_device():
    estimator = AIMLE()
    estimator.share_memory()
    assert estimator.beta.is_shared()
    state = AIMLE(initial_beta=3.0).state_dict()
    with torch.device("meta"):
        estimator = AIMLE()
    estimator.to_empty(device="cpu").load_state_dict(state)
    assert float(estimator.beta) == 3.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"initial_beta": -1.0}, "initial_beta must be finite and from 0.0 to inf, got -1.0"),
        ({"decay": 1.5}, "decay must be finite and from 0.0 to 1.0"),
        ({"step": float("nan")}, "step must be finite"),
        ({"input_noise_temperature": -1.0}, "AIMLE: input_noise_temperature must be finite"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        AIMLE(**kwargs)
