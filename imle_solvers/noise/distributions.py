"""Noise that perturbs theta. Any object with this `sample` method will do."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from imle_solvers.arguments import explain_arguments, is_finite
from imle_solvers.noise.quantiles import CELLS, K_RANGE, MOST_TERMS, OCTAVES, quantile_table
from imle_solvers.pytorch.blocks import rows_at_once
from imle_solvers.pytorch.graph_break import graph_break

TABLES = 64
"""Tables of quantiles that are kept, 0.4 MB each in float32: as many as there are layers of different sizes beside each
other, such as one for each length of a sentence."""


class Noise(Protocol):
    """A distribution of noise, at temperature one.

    Where it has a number as `std`, its standard deviation, temperatures in units of theta go by that, else by 1.
    """

    def sample(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draws a tensor of independent noise.

        Args:
            shape: shape of the result.
            generator: where the randomness comes from; None: torch's default.
            device, dtype: of the result; None: torch's defaults.
        """
        ...


class _TorchNoise:
    """What the distributions below share: they fill a tensor, this makes it where it can be filled."""

    def _fill(self, noise: Tensor, generator: Generator | None) -> None:
        raise NotImplementedError

    def sample(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draws a tensor of independent noise, see `Noise.sample`.

        A generator draws on its own device only, and what it drew is moved: with a CPU generator, a layer on the GPU
        sees the same noise as one on the CPU. Half precision is drawn in float32.
        """
        dtype = dtype or torch.get_default_dtype()
        device = torch.device(device) if device is not None else torch.get_default_device()
        noise = torch.empty(
            tuple(shape),
            device=device if generator is None else generator.device,
            dtype=dtype if dtype == torch.float64 else torch.float32,
        )
        self._fill(noise, generator)
        return noise.to(device=device, dtype=dtype)


@explain_arguments()
@dataclass(frozen=True)
class SumOfGamma(_TorchNoise):
    """Sum-of-Gamma noise (I-MLE paper, section 4.1): the sum of k independent draws tends to a Gumbel(0, 1).

    SoG(k, s) = (sum_{i=1..s} Gamma(shape 1/k, scale k/i) - log s) / k, with mean (H_s - log s) / k, where H_s is the
    s-th harmonic number, and variance (sum_{i=1..s} 1/i^2) / k.

    Args:
        k: about the number of ones in a solution; positive, need not be whole. "auto": what the layer's adapter says.
        terms: s, the number of Gamma terms; more come closer to the limit, and cost nothing with "quantile".
        method: "quantile" looks a uniform number up in a table of quantiles, which is made once for each (k, terms),
            in some hundredths of a second, see `imle_solvers.noise.quantiles`; its distribution function is exact to
            2e-5. On the CPU a compiled kernel does it, with random bits of its own, for which torch's generator gives
            the key. "gamma" draws every term. The two give different noise for one seed.

    Raises:
        ValueError: `k` not positive and finite, `terms` not a whole number of at least one, another `method`, or k
            outside 1e-4 to 1e6 or more than a million terms with "quantile". When sampling: "auto" outside a layer,
            or in one whose adapter does not know.
    """

    k: float | Literal["auto"] = "auto"
    terms: int = 10
    method: Literal["quantile", "gamma"] = "quantile"

    def __post_init__(self) -> None:
        if self.k != "auto" and (isinstance(self.k, str) or not (math.isfinite(self.k) and self.k > 0)):
            raise ValueError(f'SumOfGamma: k must be positive and finite, or "auto", got {self.k!r}')
        if not isinstance(self.terms, int) or self.terms < 1:
            raise ValueError(f"SumOfGamma: terms must be a whole number of at least 1, got {self.terms}")
        if self.method not in ("quantile", "gamma"):
            raise ValueError(f'SumOfGamma: method must be "quantile" or "gamma", got {self.method!r}')
        k_in_range = isinstance(self.k, str) or K_RANGE[0] <= self.k <= K_RANGE[1]
        if self.method == "quantile" and not (k_in_range and self.terms <= MOST_TERMS):
            raise ValueError(
                f"SumOfGamma: quantiles are for k from {K_RANGE[0]:g} to {K_RANGE[1]:g} and at most {MOST_TERMS} "
                f'terms, got k={self.k!r}, terms={self.terms}; method="gamma" takes any'
            )

    @property
    def std(self) -> float:
        """The standard deviation; 1 while k is "auto"."""
        return 1.0 if isinstance(self.k, str) else math.sqrt(_inverse_squares(self.terms) / self.k)

    def _fill(self, noise: Tensor, generator: Generator | None) -> None:
        if isinstance(self.k, str):
            raise ValueError('SumOfGamma: k="auto" is for a layer, whose adapter knows the number of ones; give k here')
        if self.method == "quantile":
            _fill_by_quantiles(noise, generator, float(self.k), self.terms)
        else:
            _fill_by_gammas(noise, generator, self.k, self.terms)


@functools.cache
def _inverse_squares(terms: int) -> float:
    return math.fsum(1 / i**2 for i in range(1, terms + 1))


def _fill_by_quantiles(noise: Tensor, generator: Generator | None, k: float, terms: int) -> None:
    if noise.device.type == "cpu":
        _fill_by_kernel(noise, generator, k, terms)
        return
    table = _table_on(noise.device, noise.dtype, k, terms)
    for part in noise.view(-1).uniform_(generator=generator).split(rows_at_once(noise)):
        _look_up(part, table)


@graph_break
def _fill_by_kernel(noise: Tensor, generator: Generator | None, k: float, terms: int) -> None:
    from imle_solvers.noise import kernels  # here, as Numba takes a while to import

    array = noise.view(-1).numpy()
    # From torch's generator comes only where the kernel's own numbers start.
    key, stream = torch.empty(2, dtype=torch.int64, device=noise.device).random_(generator=generator).tolist()
    fill = kernels.fill_float64 if noise.dtype == torch.float64 else kernels.fill_float32
    fill(key, stream, _table(array.dtype, k, terms), array)


@functools.lru_cache(maxsize=TABLES)
def _table(dtype: Any, k: float, terms: int) -> Any:
    return quantile_table(k, terms).astype(dtype)


@functools.lru_cache(maxsize=TABLES)
@torch.inference_mode(False)  # a table first needed in inference mode serves training, too
def _table_on(device: torch.device, dtype: torch.dtype, k: float, terms: int) -> Tensor:
    return torch.from_numpy(quantile_table(k, terms)).to(device, dtype)


def _look_up(uniform: Tensor, table: Tensor) -> None:
    """Turns uniform numbers into quantiles, as the kernels do, by operations that every device has."""
    bits, bias, integer = (52, 1023, torch.int64) if uniform.dtype == torch.float64 else (23, 127, torch.int32)
    within = bits - (CELLS.bit_length() - 1)
    upper = uniform > 0.5
    # Twice the tail's probability. A uniform number can be 0, and 1 by rounding; eps makes the least of its steps of
    # them.
    torch.minimum(uniform, 1 - uniform, out=uniform).mul_(2).clamp_(min=torch.finfo(uniform.dtype).eps)
    shape = uniform.view(integer)
    cell = (shape >> within).sub_((bias - OCTAVES) * CELLS).add_(upper, alpha=table.shape[1])
    weight = shape.bitwise_and((1 << within) - 1).to(uniform.dtype).mul_(2.0**-within)
    flat = table.view(-1)
    torch.lerp(flat.index_select(0, cell), flat[1:].index_select(0, cell), weight, out=uniform)


def _fill_by_gammas(noise: Tensor, generator: Generator | None, k: float, terms: int) -> None:
    concentration = torch.full_like(noise, 1.0 / k)
    noise.fill_(-math.log(terms) / k)
    for i in range(1, terms + 1):
        # Gamma(shape, scale k/i) / k is Gamma(shape, 1) / i. torch.distributions.Gamma, built on this function, takes
        # no generator.
        noise.add_(torch._standard_gamma(concentration, generator=generator), alpha=1.0 / i)


@explain_arguments()
@dataclass(frozen=True)
class Gumbel(_TorchNoise):
    """Standard Gumbel noise, location 0 and scale 1: mean 0.5772, variance pi^2 / 6."""

    std: ClassVar[float] = math.pi / math.sqrt(6)

    def score(self, noise: Tensor) -> Tensor:
        """Minus the gradient of the log density."""
        return 1 - torch.exp(-noise)

    def _fill(self, noise: Tensor, generator: Generator | None) -> None:
        # -log E with E exponential; E = 0 would be an infinite draw.
        noise.exponential_(generator=generator).clamp_(min=torch.finfo(noise.dtype).tiny).log_().neg_()


@explain_arguments()
@dataclass(frozen=True)
class Normal(_TorchNoise):
    """Standard normal noise: mean 0, variance 1."""

    std: ClassVar[float] = 1.0

    def score(self, noise: Tensor) -> Tensor:
        """Minus the gradient of the log density."""
        return noise

    def _fill(self, noise: Tensor, generator: Generator | None) -> None:
        noise.normal_(generator=generator)


@runtime_checkable
class ScoredNoise(Noise, Protocol):
    """Noise with a smooth density, as score-function estimators need it. Sum-of-Gamma has none in closed form."""

    def score(self, noise: Tensor) -> Tensor:
        """Minus the gradient of the log density in `noise`, of any shape."""
        ...


def deviation(noise: Noise) -> float:
    """The standard deviation of a distribution, 1 where it does not say."""
    std = getattr(noise, "std", 1.0)
    return float(std) if is_finite(std) and std > 0 else 1.0


def is_own(noise: Noise) -> bool:
    """Whether a distribution is of this package, so that nobody else holds on to what it draws."""
    return isinstance(noise, _TorchNoise)


def resolve_noise(noise: Noise | Literal["auto"], num_ones: float | None) -> Noise:
    """Fills in what depends on the number of ones in a solution.

    Args:
        noise: "auto" becomes Sum-of-Gamma where the number is known, as the I-MLE paper advises, else Gumbel.
        num_ones: as the adapter says; None: unknown.

    Raises:
        ValueError: `SumOfGamma(k="auto")`, and the number is unknown.
    """
    k = None if num_ones is None else min(max(num_ones, 1.0), K_RANGE[1])
    if noise == "auto":
        return Gumbel() if k is None else SumOfGamma(k)
    assert not isinstance(noise, str)
    if isinstance(noise, SumOfGamma) and noise.k == "auto":
        if k is None:
            raise ValueError(
                'SumOfGamma: k="auto" needs an adapter that knows the number of ones in a solution (num_ones); this '
                "one does not, so give k"
            )
        return replace(noise, k=k)
    return noise
