"""The code of the READMEs of torch-imle and torch-adaptive-imle runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from imle_solvers import (
    AdaptiveTargetDistribution,
    SumOfGammaNoiseDistribution,
    TargetDistribution,
    aimle,
    imle,
)


def test_the_code_of_torch_imles_readme_runs():
    """Its blocks, with the import lines changed, and the names that it leaves to the reader."""
    k, input_noise_temperature, target_noise_temperature = 5, 1.0, 1.0

    def solver(w):
        return (w > np.median(w)).astype(np.float32)

    def torch_solver(weights_batch: Tensor) -> Tensor:
        weights_batch = weights_batch.detach().cpu().numpy()
        y_batch = np.asarray([solver(w) for w in list(weights_batch)])
        return torch.tensor(y_batch, requires_grad=False)

    target_distribution = TargetDistribution(alpha=0.0, beta=10.0)
    noise_distribution = SumOfGammaNoiseDistribution(k=k, nb_iterations=100)

    imle_solver = imle(
        torch_solver,
        target_distribution=target_distribution,
        noise_distribution=noise_distribution,
        nb_samples=10,
        input_noise_temperature=input_noise_temperature,
        target_noise_temperature=target_noise_temperature,
    )

    @imle(
        target_distribution=target_distribution,
        noise_distribution=noise_distribution,
        nb_samples=10,
        input_noise_temperature=input_noise_temperature,
        target_noise_temperature=target_noise_temperature,
    )
    def decorated(weights_batch: Tensor) -> Tensor:
        return torch_solver(weights_batch)

    for differentiable in (imle_solver, decorated):
        theta = torch.randn(3, 10, requires_grad=True)
        z = differentiable(theta)
        assert z.shape == (30, 10)
        z.sum().backward()
        assert theta.grad.abs().sum() > 0


def test_the_code_of_torch_adaptive_imles_readme_runs():
    def solver(w):
        return (w > np.median(w)).astype(np.float32)

    target_distribution = AdaptiveTargetDistribution(initial_alpha=1.0, initial_beta=0.0)

    def batched_solver(weights_batch: Tensor) -> Tensor:
        weights_batch = weights_batch.detach().cpu().numpy()
        y_batch = np.asarray([solver(w) for w in list(weights_batch)])
        return torch.tensor(y_batch, requires_grad=False)

    @aimle(target_distribution=target_distribution)
    def differentiable_solver(weights_batch: Tensor) -> Tensor:
        return batched_solver(weights_batch)

    theta = torch.randn(3, 10, requires_grad=True)
    differentiable_solver(theta).sum().backward()
    assert target_distribution.beta == pytest.approx(1e-4)
