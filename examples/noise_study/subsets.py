"""Distributions over the subsets of k of n entries, by enumeration: all is exact, and in float64."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def enumerate_subsets(n: int, k: int) -> Tensor:
    """All subsets of k of n entries as rows of zeros and ones, (C, n), where C is n over k."""
    chosen = torch.tensor(list(itertools.combinations(range(n), k)))
    return torch.zeros(len(chosen), n, dtype=torch.float64).scatter_(1, chosen, 1.0)


def probabilities(theta: Tensor, subsets: Tensor, temperature: float = 1.0) -> Tensor:
    """The Gibbs distribution, the I-MLE paper's exponential family: p(z) ~ exp(<z, theta> / temperature).

    Args:
        theta: (..., n).
        subsets: (C, n), see `enumerate_subsets`.
        temperature: above 0.

    Returns:
        (..., C).
    """
    return (theta @ subsets.T / temperature).softmax(-1)


def exact_gradient(theta: Tensor, subsets: Tensor, losses: Tensor, temperature: float = 1.0) -> Tensor:
    """The gradient in theta, (..., n), of the expected loss: the covariance of loss and subset over the temperature.

    Args:
        theta, subsets, temperature: see `probabilities`.
        losses: (C,), the loss of each subset.
    """
    weights = probabilities(theta, subsets, temperature)
    advantages = losses - (weights @ losses).unsqueeze(-1)
    return (weights * advantages) @ subsets / temperature


def gumbel_probabilities(theta: Tensor, subsets: Tensor, temperature: float = 1.0) -> Tensor:
    """How probable each subset is as MAP(theta + temperature * eps), with a Gumbel eps for each entry; differentiable.

    The k best perturbed entries are k draws without replacement (Yellott 1977): a subset is drawn in any order, entry i
    after those of the mask m with probability w_i / (1 - w(m)), w = softmax(theta / temperature). All orders are summed
    by a walk over the 2^n masks, one size at a time.

    Args:
        theta: (n,).
        subsets: (C, n), see `enumerate_subsets`; all of one size.
        temperature: above 0.

    Returns:
        (C,), which sum to one.
    """
    n = len(theta)
    bits = 2 ** torch.arange(n)
    masks = torch.arange(2**n)
    free = (masks.unsqueeze(1) & bits == 0).double()  # (2^n, n): entries that a mask has not yet
    weights = (theta / temperature).softmax(0)
    left = (free @ weights).clamp(min=torch.finfo(torch.float64).tiny)
    after = (masks.unsqueeze(1) | bits).flatten()
    reached = torch.zeros(2**n, dtype=torch.float64).index_fill(0, torch.tensor([0]), 1.0)
    for _ in range(int(subsets[0].sum())):
        steps = (reached / left).unsqueeze(1) * free * weights
        reached = torch.zeros_like(reached).index_add(0, after, steps.flatten())
    return reached[(subsets @ bits.double()).long()]
