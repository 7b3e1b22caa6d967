"""I-MLE as its paper states it, written down plainly (Niepert, Minervini and Franceschi, NeurIPS 2021).

One core, a class of autograd in each call, noise by a loop over its Gamma draws, and both solves for every sample.
With other noise and other solvers it is also what the loops of `loops` are trained by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import Gamma

from comparison.loops import Solver

Draw = Callable[[tuple[int, ...]], Tensor]


def gamma_loop(k: float, terms: int) -> Draw:
    """Sum-of-Gamma noise by its definition (section 4.1), one draw for each term."""

    def draw(shape: tuple[int, ...]) -> Tensor:
        total = torch.zeros(shape)
        for i in range(1, terms + 1):
            total += Gamma(torch.tensor(1 / k), torch.tensor(i / k)).sample(shape)
        return (total - math.log(terms)) / k

    return draw


def imle(solve: Solver, draw: Draw, samples: int, *, maximise: bool, beta: float = 1.0) -> Callable[[Tensor], Tensor]:
    """A differentiable solver by Algorithm 1, with temperatures of one.

    Args:
        solve: (N, *shape) costs or scores -> solutions.
        draw: the noise.
        samples: S.
        maximise: whether theta are scores.
        beta: the target's step.

    Returns:
        (B, *shape) -> (B, S, *shape).
    """
    sign = 1.0 if maximise else -1.0

    def maximisers(scores: Tensor) -> Tensor:
        batch = (sign * scores).flatten(0, 1).numpy()
        return torch.from_numpy(np.ascontiguousarray(solve(batch))).reshape(scores.shape)

    def sample(theta: Tensor) -> Tensor:
        class Sample(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, scores: Tensor) -> Tensor:
                ctx.noise = draw((len(scores), samples, *scores.shape[1:]))
                solutions = maximisers(scores.unsqueeze(1) + ctx.noise)
                ctx.scores, ctx.solutions = scores, solutions
                return solutions.clone()

            @staticmethod
            @once_differentiable
            def backward(ctx: Any, dz: Tensor) -> Tensor:
                targets = ctx.scores.unsqueeze(1) - beta * dz
                gradient: Tensor = (ctx.solutions - maximisers(targets + ctx.noise)).mean(1)
                return gradient

        solutions: Tensor = Sample.apply(sign * theta)  # type: ignore[no-untyped-call]
        return solutions

    return sample
