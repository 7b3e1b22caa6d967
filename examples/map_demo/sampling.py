"""Sampled paths, and what the gradient of a loss in them is made of."""

from __future__ import annotations

from torch import Generator, Tensor

from examples.map_demo.maps import hamming
from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, SolverLayer, SumOfGamma, Target

NOISE = SumOfGamma(k="auto", terms=100)
"""Sum-of-Gamma noise of the published demonstration; k is 1.3 times the side of the map."""


def make_layer(adapter: ShortestPathAdapter, temperature: float, target: float, beta: float, seed: int) -> SolverLayer:
    """A layer of I-MLE with noise of these temperatures; layers of one seed draw the same noise at all of them."""
    estimator = IMLE(NOISE, Target(beta=beta), input_noise_temperature=temperature, target_noise_temperature=target)
    # A path takes some microseconds: threads would only cost.
    return SolverLayer(adapter, estimator=estimator, num_workers=0, generator=Generator().manual_seed(seed))


def sample(
    adapter: ShortestPathAdapter,
    costs: Tensor,
    gold: Tensor,
    temperature: float,
    target: float,
    beta: float,
    *,
    count: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Draws paths, and for each the path of its target, to which the gradient of the Hamming loss points.

    Args:
        adapter: of paths.
        costs: (H, W).
        gold: (H, W), the path that the loss compares with.
        temperature, target: of the noise in either solve.
        beta: lambda, the step of the target.
        count: N.
        seed: of the noise.

    Returns:
        Paths and those of their targets, (N, H, W) each. The gradient in costs is the mean of the second minus the
        first (I-MLE paper, Algorithm 1; costs are minus the paper's theta).
    """
    with make_layer(adapter, temperature, target, beta, seed) as layer:
        theta = costs.expand(count, *costs.shape).clone().requires_grad_()
        paths = layer(theta)
        hamming(paths, gold).sum().backward()
    assert theta.grad is not None
    # The layer has solved for the targets, and gives the difference for each instance; each here has one sample.
    return paths.detach(), paths.detach() + theta.grad
