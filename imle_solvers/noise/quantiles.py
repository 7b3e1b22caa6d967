"""Quantiles of Sum-of-Gamma noise, in tables.

Y = sum_{i=1..s} Gamma(shape a, scale 1/i), a = 1/k, has the Laplace transform L(t) = prod_{i=1..s} (1 + t/i)^-a. The
Bromwich integral of e^(ty) L(t) / t is the distribution function where it passes the pole in 0 on the right, and minus
the survival function where it passes on the left, so that both tails have small relative errors. It is taken with the
trapezoidal rule along parabolas around the cut of L, as in Weideman and Trefethen, "Parabolic and hyperbolic contours
for computing the Bromwich integral" (2007). Unlike a Fourier inversion it does not mind a density that is unbounded in
0, as it is for s < k.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

CELLS = 1024
"""Cells of a table for each octave, in which a tail's probability doubles."""

OCTAVES = 52
"""Octaves of each tail, from 2^-53, the least probability that float64 uniforms have, to one half."""

K_RANGE = (1e-4, 1e6)
"""Values of k for which tables are good: beyond, rounding errors spoil the moments."""

MOST_TERMS = 10**6
"""Likewise."""

_LARGEST_LOGIT = 37  # in the table, rounded up
_POINTS = 256  # where the distribution is inverted
_NODES = 64  # of the quadrature; half as many leave errors of 1e-5 in F
_BLOCK = 2048  # entries of a table that are made at a time
_HEAD = 8  # factors of L that are multiplied out; Stirling's series is good for the others

Floats = NDArray[np.float64]
Numbers = TypeVar("Numbers", NDArray[np.float64], NDArray[np.complex128])


def quantile_table(k: float, terms: int) -> Floats:
    """Quantiles of SoG(k, terms), see `imle_solvers.noise.distributions.SumOfGamma`.

    Interpolated linearly, they give a distribution function with an error of at most 2e-5, also where the density is
    unbounded, and mostly far below.

    Args:
        k: in K_RANGE.
        terms: from 1 to MOST_TERMS.

    Returns:
        (2, OCTAVES * CELLS + 2): what noise is below, and what it is above, with the `tail_probabilities()`.
    """
    a = 1.0 / k
    points = _invert(a, terms)
    p = tail_probabilities()
    quantiles = np.empty((2, len(p)))
    for start in range(0, len(p), _BLOCK):
        part = slice(start, start + _BLOCK)
        lower = np.log(p[part]) - np.log1p(-p[part])
        for row, z in zip(quantiles, (lower, -lower), strict=True):
            row[part] = np.exp(_interpolate(z, *points, a * terms)) - a * math.log(terms)
    return quantiles


def _interpolate(z: Floats, log_y: Floats, logit: Floats, slope: Floats, log_cdf: Floats, power: float) -> Floats:
    """Log y where logit F(y) is z, from what `_invert` returns, by a cubic through values and derivatives."""
    left = np.searchsorted(logit, z).clip(1, len(logit) - 1) - 1
    right = left + 1
    width = logit[right] - logit[left]
    t = (z - logit[left]) / width
    from_left = (1 + 2 * t) * log_y[left] + t * width * slope[left]
    from_right = (3 - 2 * t) * log_y[right] + (t - 1) * width * slope[right]
    log_quantile: Floats = (1 - t) ** 2 * from_left + t**2 * from_right
    # Below the first point, F(y) is proportional to y^power.
    below = z < logit[0]
    log_quantile[below] = log_y[0] - (np.log1p(np.exp(-z[below])) + log_cdf[0]) / power
    return log_quantile


def tail_probabilities() -> Floats:
    """The probabilities at the edges of a table's cells, up to one half and one cell more.

    Twice such a probability has the bits of a float, exponent and mantissa, cut off below a cell: from the bits of a
    float follow its cell and how far in it lies.
    """
    octave, cell = np.divmod(np.arange(OCTAVES * CELLS + 2), CELLS)
    probabilities: Floats = np.ldexp(1 + cell / CELLS, octave - OCTAVES - 1)
    return probabilities


def _invert(a: float, terms: int) -> tuple[Floats, Floats, Floats, Floats]:
    """At ascending points: log y, logit F(y), its inverse's derivative d log y / d logit F(y), and log F(y)."""
    saddle, y = _saddle_points(a, terms)
    spread = 1 / np.sqrt(y)  # of e^(ty) along the parabola
    # Beyond the saddle point by as much as keeps the quadrature away from the cut where a is small, and off the pole.
    p = np.sqrt(1 + saddle + 4 * spread**2)
    right = p > 1
    p = np.where(right, np.maximum(p, 1 + 0.35 * spread), np.minimum(p, 1 - 0.35 * spread))
    step = (6 / _NODES * spread)[:, None]
    root = p[:, None] + 1j * (np.arange(_NODES) + 0.5) * step
    t = root * root - 1
    integrand = np.exp(t * y[:, None] + a * _log_transform(t, terms)) * root * (2 / math.pi) * step
    pdf = integrand.real.sum(1)
    mass = np.abs((integrand / t).real.sum(1))
    log_mass, log_rest = np.log(mass), np.log1p(-mass)
    log_cdf, log_sf = np.where(right, log_mass, log_rest), np.where(right, log_rest, log_mass)
    return np.log(y), log_cdf - log_sf, np.exp(log_cdf + log_sf) / (y * pdf), log_cdf


def _saddle_points(a: float, terms: int) -> tuple[Floats, Floats]:
    """Saddle points t of e^(ty) L(t) on the real line, descending, and about their y, as far as the table goes."""
    head = min(terms, _HEAD)

    def location(t: Floats) -> Floats:
        """-d log L / dt, where the sum over the terms after the head is an integral."""
        first = sum(1 / (i + t) for i in range(1, head + 1))
        return a * (first + np.log((t + terms + 0.5) / (t + head + 0.5)))

    logs = np.linspace(math.log(1e6 * terms), math.log(1e-4 * min(a, 1.0)), 1000)
    t = np.expm1(logs)
    # Chernoff's bound on F(y) for t > 0, and on 1 - F(y) for t < 0.
    needed = logs[t * location(t) + a * _log_transform(t, terms) > -_LARGEST_LOGIT - 8]
    t = np.expm1(np.linspace(needed[0], needed[-1], _POINTS))
    return t, location(t)


def _log_transform(t: Numbers, terms: int) -> Numbers:
    """Log L(t) / a, for t outside (-inf, -1]."""
    head = min(terms, _HEAD)
    result = np.zeros_like(t)
    for i in range(1, head + 1):
        result -= np.log(1 + t / i)
    if terms > head:
        result += _stirling(t + head + 1) - _stirling(t + terms + 1) + math.lgamma(terms + 1) - math.lgamma(head + 1)
    return result


def _stirling(z: Numbers) -> Numbers:
    """Log Gamma(z), less log(2 pi) / 2, for z far from (-inf, 0]."""
    inverse = 1 / z
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    return (z - 0.5) * np.log(z) - z + series
