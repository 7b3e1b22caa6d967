"""Gradients as each estimator of the package estimates them, many independent ones at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from examples.common import methods
from examples.noise_study.problem import Problem
from imle_adapters import TopKAdapter
from imle_solvers import AIMLE, Gumbel, ScoreFunctionLoss, SolverLayer, SumOfGamma

METHODS = tuple(method for method in methods.METHODS if method != "fenchel-young")
"""What is compared; the Fenchel-Young loss has its own objective, and needs to know the best subset."""

EXACT = "exact"
"""In place of a method: the exact gradient, by enumeration."""

ADAPTING = ("aimle", "aimle-central")
"""Methods that find the step lambda themselves, in units of theta."""

STEPPING = ("imle", "blackbox", *ADAPTING)
"""Methods with a step lambda; their gradients are finite differences, divided by it."""

NOISELESS = ("blackbox", "identity")
"""Methods that solve theta as it is, so that all samples are the same."""

DENSE = ("perturbed", "score")
"""Methods whose noise must have a density: Gumbel's. The others have Sum-of-Gamma noise, or none."""


@dataclass(frozen=True)
class Setting:
    """How a method estimates a gradient.

    Attributes:
        method: one of `METHODS`.
        step: lambda, by which dL/dz is multiplied; None: the method has none, or finds it itself.
        temperature: of the noise, in solves and targets alike.
        samples: S, over which gradients are averaged; of "perturbed" M, of which it averages the solutions.
    """

    method: str
    step: float | None = None
    temperature: float = 1.0
    samples: int = 1


class Estimates:
    """Called with theta, estimates the gradient of the problem's expected loss in each of its rows.

    Args:
        problem: whose loss it is.
        setting: how.
        generator: of the noise.
        adapting: by how much AIMLE's beta moves at a call, if the setting has no step.
        apart: whether AIMLE's lambda goes by the length of each row's theta, not by that of the batch, as published.
    """

    def __init__(
        self, problem: Problem, setting: Setting, generator: Generator, adapting: float = 1e-3, apart: bool = False
    ) -> None:
        self.problem, self.setting = problem, setting
        estimator = methods.make_estimator(
            setting.method,
            beta=setting.step or 1.0,
            temperature=setting.temperature,
            noise=SumOfGamma(k="auto"),
            aimle={"step": adapting, "per_instance": apart},
            density=Gumbel(),
            density_samples=setting.samples,
        )
        alike = setting.method in NOISELESS or setting.method == "perturbed"
        self.layer = SolverLayer(
            TopKAdapter(len(problem.theta), problem.k),
            estimator=estimator,
            num_samples=None if alike else setting.samples,
            generator=generator,
        )

    def __call__(self, theta: Tensor) -> Tensor:
        """Independent estimates, (B, n), for theta, (B, n)."""
        theta = theta.detach().requires_grad_()
        method, samples = self.setting.method, self.setting.samples
        if method == "score":
            expected = ScoreFunctionLoss(self.layer, self.problem.loss, samples, baseline=samples > 1)
            loss = len(theta) * expected(theta)  # which is a mean over the batch
        else:
            z = self.layer(theta)
            loss = self.problem.loss(z).sum()
            self._fix_step(theta, z)
        gradient = torch.autograd.grad(loss, theta)[0]
        if method == "ste":
            return gradient / samples  # it adds them up
        if method == "imle":
            return gradient / (self.setting.step or 1.0)  # it is a difference of solutions; the others divide it
        return gradient

    def _fix_step(self, theta: Tensor, z: Tensor) -> None:
        """Gives AIMLE, between its passes, the beta that makes its lambda the setting's step."""
        estimator = self.layer.estimator
        if isinstance(estimator, AIMLE) and self.setting.step is not None:
            estimator.beta.fill_(1.0)
            estimator.beta.copy_(self.setting.step / self._step_size(estimator, theta, z))

    def _step_size(self, estimator: AIMLE, theta: Tensor, z: Tensor) -> Tensor:
        dz = 2 * (z.detach() - self.problem.b)
        return estimator.step_size(theta.detach().unsqueeze(1).expand_as(dz), dz).mean()

    @property
    def solves(self) -> int:
        """Instances that were solved so far, forward and backward."""
        return self.layer.stats().instances

    def find_step(self, theta: Tensor, calls: int = 60) -> float:
        """The lambda that AIMLE comes to at this theta, (B, n): the mean over the last calls of many."""
        estimator = self.layer.estimator
        assert isinstance(estimator, AIMLE)
        sizes = []
        for call in range(calls):
            self(theta)
            if call >= calls * 3 // 4:
                with torch.no_grad():
                    sizes.append(float(self._step_size(estimator, theta, self.layer(theta))))
        return sum(sizes) / len(sizes)
