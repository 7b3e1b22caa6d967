"""Instances like those that the author gave, in which what goes wrong elsewhere shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

_PROBED = 6
"""Of so many given instances others are made."""


@dataclass(frozen=True)
class Probe:
    """An instance with the context of the given one that it was made of.

    Attributes:
        theta: (*instance_shape).
        of: which given instance.
        name: what it is called in messages.
        tied: whether many of its solutions are optimal.
    """

    theta: Tensor
    of: int
    name: str
    tied: bool = False


def probes(theta: Tensor, *, any_sign: bool) -> list[Probe]:
    """Instances in the neighbourhood of the given ones, (B, *instance_shape), as noise and steps make them.

    Args:
        theta: the given instances.
        any_sign: whether theta may have other signs than those given.
    """
    found: list[Probe] = []
    if theta[0].numel() == 0:
        return found
    generator = torch.Generator().manual_seed(0)
    for row, given in enumerate(theta[:_PROBED]):
        flat, name = given.flatten(), f"instance {row}"
        high, low = flat.max(), flat.min()
        variants = [
            (flat[torch.randperm(len(flat), generator=generator)], f"{name} with its entries shuffled", False),
            (torch.full_like(flat, float(high)), f"{name} with all entries at their largest", True),
            (torch.where(flat > flat.median(), high, low), f"{name} with each entry at the largest or smallest", True),
        ]
        if any_sign:
            noise = torch.randn(len(flat), generator=generator, dtype=flat.dtype)
            variants.append((flat + flat.abs().mean() * noise, f"{name} with noise", False))
            variants.append((-flat, f"{name} with all signs turned", False))
        found += [Probe(variant.reshape(given.shape), row, name, tied) for variant, name, tied in variants]
    return found


def more_probes(theta: Tensor, count: int) -> Iterator[Probe]:
    """So many instances more, of the given signs, to find what happens rarely."""
    generator = torch.Generator().manual_seed(1)
    for draw in range(count if theta[0].numel() else 0):
        row = draw % len(theta)
        flat = theta[row].flatten()
        shuffled = flat[torch.randperm(len(flat), generator=generator)]
        factors = _lognormal(flat, generator)
        variant = (shuffled * factors).reshape(theta[row].shape)
        yield Probe(variant, row, f"instance {row}, shuffled and scaled (draw {draw} of {count})")


def _lognormal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).exp()
