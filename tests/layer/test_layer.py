"""What the layer does: modes, seeds, copies, what it shows of itself."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from imle_adapters import TopKAdapter
from imle_solvers import (
    IMLE,
    Gumbel,
    SerialExecutor,
    SolverLayer,
    SumOfGamma,
    Target,
    ThreadExecutor,
)
from tests.layer.layers import DTYPES, make
from tests.solvers import function_adapter, top_k


def test_eval_is_the_map_and_train_perturbs(adapter):
    layer = make(adapter, num_samples=20)
    theta = torch.randn(4, 5)
    expected = torch.zeros(4, 5).scatter(-1, theta.topk(2).indices, 1.0)
    assert torch.equal(layer.map(theta), expected)
    assert not torch.equal(layer(theta), expected.unsqueeze(1).expand(-1, 20, -1))
    layer.eval()
    assert torch.equal(layer(theta), expected.unsqueeze(1).expand(-1, 20, -1))


def test_eval_solves_once_whatever_num_samples(adapter):
    layer = make(adapter, num_samples=7).eval()
    layer(torch.randn(4, 5))
    assert layer.stats().instances == 4


def test_sample_and_marginals_perturb_in_both_modes(adapter):
    theta = torch.zeros(2, 5)
    for layer in (make(adapter), make(adapter).eval()):
        samples = layer.sample(theta, 200)
        assert samples.shape == (2, 200, 5)
        assert samples.unique(dim=1).shape[1] > 5
    one, other = make(adapter), make(adapter).eval()
    torch.testing.assert_close(one.marginals(theta, 200), other.sample(theta, 200).mean(1))


def test_theta_is_left_as_it_was():
    def spoil(theta):
        theta[:] = 7
        return theta

    theta = torch.randn(3, 2)
    before = theta.clone()
    SolverLayer(function_adapter(spoil), num_workers=0).map(theta)
    assert torch.equal(theta, before)


def test_a_solver_on_tensors_stays_on_tensors():
    seen = []

    def solve(weights_batch):
        seen.append(weights_batch)
        return (weights_batch > 0).to(weights_batch)

    layer = SolverLayer(function_adapter(solve, n=3, batched=True), num_samples=2)
    assert layer(torch.randn(4, 3)).shape == (4, 2, 3)
    assert isinstance(seen[0], torch.Tensor)
    assert seen[0].shape == (8, 3)


def test_seeds_repeat(adapter):
    theta = torch.randn(4, 5)
    assert torch.equal(make(adapter)(theta), make(adapter)(theta))
    layer = SolverLayer(adapter, num_workers=0)
    torch.manual_seed(0)
    first = layer(theta)
    torch.manual_seed(0)
    assert torch.equal(layer(theta), first)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_go_on_alike_and_apart(clone):
    layer = make(top_k(5, 2), num_samples=3, on_failure="keep", num_workers=1)
    theta = torch.randn(4, 5)
    with layer:
        layer(theta)
        with clone(layer) as twin:
            assert torch.equal(layer(theta), twin(theta))
            assert (twin.num_samples, twin.on_failure) == (3, "keep")
            layer.close()
            assert twin(theta).shape == (4, 3, 5)


def test_state_dict_carries_the_generator(adapter):
    model = nn.Sequential(nn.Linear(3, 5), make(adapter))
    model(torch.randn(2, 3))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    x = torch.randn(4, 3)
    expected = model(x)
    resumed = nn.Sequential(nn.Linear(3, 5), make(adapter, generator=torch.Generator()))
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(resumed(x), expected)


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("resumed_seeded", [True, False])
def test_a_state_dict_holds_tensors_only_and_loads_with_and_without_a_generator(adapter, seeded, resumed_seeded):
    """What is copied or saved entry by entry, as safetensors does, must be tensors."""
    state = make(adapter, generator=torch.Generator().manual_seed(5) if seeded else None).state_dict()
    copied = {name: value.clone() for name, value in state.items()}
    resumed = make(adapter, generator=torch.Generator().manual_seed(6) if resumed_seeded else None)
    resumed.load_state_dict(copied)
    if resumed_seeded:
        assert resumed.generator.initial_seed() == (5 if seeded else 6)


def test_repr_says_what_it_is():
    text = repr(make(top_k(5, 2), num_samples=3, estimator=IMLE(SumOfGamma(2.0), Target(1.0, 5.0))))
    for part in ("EnumeratedAdapter", "SerialExecutor", "num_samples=3", "SumOfGamma(k=2.0", "beta=5.0"):
        assert part in text


def test_repr_shows_the_noise_that_auto_chose():
    assert "noise=SumOfGamma(k=2.0, terms=10, method='quantile')" in repr(make(TopKAdapter(5, 2)))
    assert "noise=Gumbel()" in repr(make(top_k(5, 2)))
    assert "SumOfGamma(k=2.0, terms=50" in repr(make(TopKAdapter(5, 2), estimator=IMLE(SumOfGamma(terms=50))))
    for estimator in (IMLE(SumOfGamma()), IMLE(None), IMLE(Gumbel())):  # nothing is chosen
        assert repr(make(top_k(5, 2), estimator=estimator)).count("noise=") == 1


def test_default_noise_follows_the_adapter():
    """Sum-of-Gamma with the adapter's number of ones; Gumbel where it does not know."""
    theta = torch.zeros(3, 5)
    for adapter, noise in ((TopKAdapter(5, 2), SumOfGamma(2.0)), (top_k(5, 2), Gumbel())):
        assert torch.equal(make(adapter).sample(theta, 9), make(adapter, estimator=IMLE(noise)).sample(theta, 9))


def test_workers_default_to_the_cores_there_are(monkeypatch):
    monkeypatch.setattr("imle_solvers.executors.cpus.available_cpus", lambda: 3)
    monkeypatch.setattr("imle_solvers.executors.by_name.available_cpus", lambda: 3)
    assert "AutoExecutor(num_workers=3)" in repr(SolverLayer(top_k(3, 1)))
    monkeypatch.setattr("imle_solvers.executors.by_name.available_cpus", lambda: 1)
    assert "SerialExecutor" in repr(SolverLayer(top_k(3, 1)))


@pytest.mark.parametrize("executor", [SerialExecutor(), ThreadExecutor(2)])
def test_layers_share_an_executor_and_never_close_it(executor):
    with executor:
        one, two = SolverLayer(top_k(5, 2), executor=executor), SolverLayer(top_k(4, 1, "min"), executor=executor)
        one.close()
        assert one.map(torch.randn(3, 5)).sum() == 6
        assert two.map(torch.randn(3, 4)).sum() == 3


def test_training_learns(generator):
    """The whole loop: logits that start wrong end at the target's MAP."""
    goal = torch.tensor([[0.0, 1, 0, 1, 0]])
    theta = nn.Parameter(torch.tensor([[1.0, -1, 1, -1, 0]]))
    layer = SolverLayer(TopKAdapter(5, 2), num_samples=8, generator=generator)
    optimizer = torch.optim.SGD([theta], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        (layer(theta) - goal.unsqueeze(1)).pow(2).mean().backward()
        optimizer.step()
    assert torch.equal(layer.map(theta), goal)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", DTYPES)
def test_on_cuda_the_layer_does_what_it_does_on_the_cpu(adapter, dtype):
    theta = torch.randn(6, 5).to(dtype)
    weights = torch.randn(6, 3, 5).to(dtype)
    results = []
    for device in ("cpu", "cuda"):
        layer = make(adapter, num_samples=3).to(device)
        variable = theta.to(device).requires_grad_()
        z = layer(variable)
        assert z.device.type == device
        (z * weights.to(device)).sum().backward()
        results.append((z.detach().cpu(), variable.grad.cpu()))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])
