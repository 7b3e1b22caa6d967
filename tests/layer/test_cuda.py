"""Theta on a GPU, solved on the CPU: the way there and back."""

from __future__ import annotations

import pytest
import torch

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import IMLE, Normal, SolverLayer
from imle_solvers.solving.transfer import to_device, to_host
from tests.solvers import top_k

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


@pytest.mark.parametrize("shape", [(1, 3), (70, 12, 12), (512, 900)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_there_and_back_nothing_changes(shape, dtype):
    theta = torch.randn(shape, dtype=dtype, device="cuda")
    host = to_host(theta)
    assert (host == theta.cpu().numpy()).all()
    assert torch.equal(to_device(host, theta), theta)
    assert (to_host(theta.transpose(0, 1)) == theta.cpu().numpy().swapaxes(0, 1)).all()


def test_theta_is_read_after_what_makes_it():
    """The copy waits for work that is queued on the stream of theta, and later work does not disturb it."""
    matrix = torch.randn(2000, 2000, device="cuda") / 50
    product = matrix
    for _ in range(20):
        product = product @ matrix
    expected = product.clone()
    host = to_host(product)
    product.zero_()
    assert (host == expected.cpu().numpy()).all()


def test_solutions_in_flight_are_not_overwritten():
    theta = torch.zeros(1, device="cuda")
    tensors = [to_device(torch.full((1000, 100), float(i)).numpy(), theta) for i in range(50)]
    for i, tensor in enumerate(tensors):
        assert (tensor == i).all()


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_every_executor_gives_what_the_cpu_gives(executor):
    results = []
    for device in ("cpu", "cuda"):
        generator = torch.Generator().manual_seed(0)  # on the CPU, so that the noise is the same
        layer = SolverLayer(
            ShortestPathAdapter.grid(6, 6),
            estimator=IMLE(Normal()),
            num_samples=3,
            executor=executor,
            num_workers=None if executor == "serial" else 2,
            generator=generator,
        )
        theta = torch.rand(8, 6, 6, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
        with layer:
            z = layer(theta)
            (z * torch.linspace(-1, 1, z.numel(), device=device).view_as(z)).sum().backward()
        results.append((z.detach().cpu(), theta.grad.cpu()))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_autocast_and_another_stream():
    layer = SolverLayer(top_k(6, 2), num_workers=0)
    linear = torch.nn.Linear(4, 6).cuda()
    x = torch.randn(5, 4, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()), torch.autocast("cuda", torch.float16):
        z = layer(linear(x))
        z.float().pow(2).sum().backward()
    torch.cuda.synchronize()
    assert z.dtype == torch.float16
    assert (z.sum(1) == 2).all()
    assert linear.weight.grad.isfinite().all()


def test_theta_that_is_not_finite_is_named():
    layer = SolverLayer(top_k(6, 2), num_workers=0)
    theta = torch.zeros(3, 6, device="cuda")
    theta[1, 2] = torch.nan
    with pytest.raises(ValueError, match="instance 1"):
        layer(theta)


def test_a_solver_on_the_device_moves_nothing():
    layer = SolverLayer(TopKAdapter(6, 2))
    z = layer(torch.randn(3, 6, device="cuda", requires_grad=True))
    z.sum().backward()
    assert z.is_cuda
    assert layer.stats().executors == {"device": 2}


@pytest.mark.parametrize("adapter", [TopKAdapter(6, 2), top_k(6, 2)], ids=["on tensors", "in process"])
def test_figures_are_those_of_the_cpu(adapter):
    figures = []
    for device in ("cpu", "cuda"):
        generator = torch.Generator().manual_seed(0)
        layer = SolverLayer(adapter, estimator=IMLE(Normal()), num_samples=3, num_workers=0, generator=generator)
        theta = torch.linspace(-1, 1, 48).view(8, 6).sin().to(device).requires_grad_()
        for _ in range(10):
            layer(theta).square().sum().backward()
        figures.append(layer.diagnostics())
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)
    assert "noise_changed" in figures[0]
