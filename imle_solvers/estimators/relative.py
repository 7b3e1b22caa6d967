"""Steps and temperatures in units of theta, so that what is learned depends on the scale of neither theta nor loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from imle_solvers.arguments import is_finite


class Relative(float):
    """A number in units of theta: `Target(beta=Relative(2.0))`, `input_noise_temperature=Relative(0.3)`.

    As a target's beta: each sample's step is so many times as long as theta, lambda = beta * ||theta|| / ||dL/dz||.
    As a temperature: the standard deviation of the noise is so many times that of the entries of theta, as it is, on
        average, in the first batch that is differentiated. The estimator keeps that in a buffer, `theta_scale`: from
        then on theta may outgrow the noise, as far as solutions are certain.
    As AIMLE's `target_norm`: so many non-zeros for each that a sample has.

    So the same is learned for any scale of theta and of the loss, for steps in any batch and for any number of samples.
    Where all entries of theta are zero, they count as of magnitude one: any scale is as good. Where all are the same,
    their magnitude takes the place of their standard deviation.

    Args:
        share: finite and not negative.

    Raises:
        ValueError: another number.
    """

    def __new__(cls, share: float) -> Relative:
        if not (is_finite(share) and share >= 0):
            raise ValueError(f"Relative: share must be finite and not negative, got {share!r}")
        return super().__new__(cls, share)

    def __repr__(self) -> str:
        return f"Relative({float(self)!r})"

    __str__ = __repr__


def magnitude(tensor: Tensor, axes: int) -> Tensor:
    """The root mean square over all but the leading axes, kept as axes of one; 1 where all is zero.

    Args:
        tensor: of any shape.
        axes: how many lead.
    """
    largest = _largest(tensor, axes)
    return largest * _nonzero(_root_mean_square(tensor / largest, axes))


def spread(tensor: Tensor, axes: int) -> Tensor:
    """The standard deviation over all but the leading axes, see `magnitude`, which it is where all are the same."""
    largest = _largest(tensor, axes)
    within = tensor / largest
    entries = list(range(axes, tensor.ndim))
    centered = within - within.mean(entries, keepdim=True) if entries else torch.zeros_like(within)
    deviation = _root_mean_square(centered, axes)
    apart = deviation > 8 * torch.finfo(tensor.dtype).eps  # not by rounding alone
    return largest * torch.where(apart, deviation, _nonzero(_root_mean_square(within, axes)))


def direction(tensor: Tensor, axes: int) -> Tensor:
    """The tensor over its `magnitude`: zero where all is zero; NaN where an entry is not finite."""
    within = tensor / _largest(tensor, axes)
    return within.div_(_nonzero(_root_mean_square(within, axes)))


def _largest(tensor: Tensor, axes: int) -> Tensor:
    """The largest absolute entry, 1 where that is 0: squares of shares of it neither overflow nor vanish."""
    return _nonzero(_norm(tensor, axes, math.inf)) if tensor.numel() else tensor.new_ones(_kept(tensor, axes))


def _root_mean_square(tensor: Tensor, axes: int) -> Tensor:
    return _norm(tensor, axes, 2) / math.sqrt(max(math.prod(tensor.shape[axes:]), 1))


def _norm(tensor: Tensor, axes: int, order: float) -> Tensor:
    rows = tensor.reshape(*tensor.shape[:axes], math.prod(tensor.shape[axes:]))
    norms: Tensor = torch.linalg.vector_norm(rows, order, dim=-1)
    return norms.reshape(_kept(tensor, axes))


def _kept(tensor: Tensor, axes: int) -> list[int]:
    return [*tensor.shape[:axes], *(1 for _ in tensor.shape[axes:])]


def _nonzero(sizes: Tensor) -> Tensor:
    return torch.where(sizes == 0, 1.0, sizes)
