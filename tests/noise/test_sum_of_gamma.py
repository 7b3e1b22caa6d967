"""The tables of Sum-of-Gamma quantiles against closed forms and the definition."""

from __future__ import annotations

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy
import torch

from imle_solvers import IMLE, SolverLayer, SumOfGamma
from imle_solvers.noise.distributions import _look_up, _table, _table_on
from imle_solvers.noise.kernels import fill_float32, fill_float64, random_bits
from imle_solvers.noise.quantiles import K_RANGE, MOST_TERMS, quantile_table, tail_probabilities
from tests.solvers import top_k

# With unbounded densities (k > terms), with terms whose sum is all but normal (k << 1), and with all but certain draws.
SETTINGS = [(1.0, 1), (5.0, 1), (1000.0, 1), (1.0, 10), (15.6, 10), (21.0, 10), (300.0, 10), (39.0, 100), (1.0, 1000)]
SETTINGS += [(0.3, 3), (0.01, 50), (1000.0, 1000), (2.5, 10**5)]


CPU = torch.device("cpu")


def logits():
    p = tail_probabilities()[:-1]
    lower = np.log(p) - np.log1p(-p)
    return np.concatenate([lower, -lower[-2::-1]])


def quantiles(k, terms):
    """Both tails in one, ascending, at `logits()`."""
    lower, upper = quantile_table(k, terms)
    return np.concatenate([lower[:-1], upper[-3::-1]])


def at_entries_and_midway(values):
    return np.concatenate([values, (values[1:] + values[:-1]) / 2])


def law(k, terms):
    """Draws and probabilities: the middle of each cell with the probability of the cell."""
    table, z = quantiles(k, terms), logits()
    # In the upper half from the survival function, which resolves it.
    p = np.where(z[1:] <= 0, np.diff(1 / (1 + np.exp(-z))), -np.diff(1 / (1 + np.exp(z))))
    return (table[1:] + table[:-1]) / 2, p


@pytest.mark.parametrize("k", [0.01, 0.3, 1.0, 2.0, 5.0, 39.0, 300.0, 1000.0])
def test_one_term_is_a_gamma(k):
    x, z = at_entries_and_midway(quantiles(k, 1))[::7], at_entries_and_midway(logits())[::7]
    resolved = x > 1e-290  # where float64 can tell quantiles from zero
    gamma = scipy.stats.gamma(1 / k)
    assert np.abs(gamma.cdf(x) - 1 / (1 + np.exp(-z)))[resolved].max() < 2e-5
    # Midway between entries survival is interpolated by the chord of an exponential.
    assert gamma.sf(x)[resolved] == pytest.approx(1 / (1 + np.exp(z))[resolved], rel=1e-3)


@pytest.mark.parametrize("terms", [1, 2, 8, 9, 10, 100, 1000, 10**5])
def test_k_of_one_is_the_largest_of_exponentials(terms):
    x = at_entries_and_midway(quantiles(1.0, terms)) + math.log(terms)
    z = at_entries_and_midway(logits())
    log_cdf = terms * np.log(-np.expm1(-x))
    assert np.abs(np.exp(log_cdf) - 1 / (1 + np.exp(-z))).max() < 2e-6
    lower = z < 0
    assert log_cdf[lower] == pytest.approx(-np.log1p(np.exp(-z[lower])), abs=1e-3)


@pytest.mark.parametrize(("k", "terms"), SETTINGS)
def test_mean_variance_and_skewness_are_those_of_the_closed_forms(k, terms):
    x, p = law(k, terms)
    i = np.arange(1, terms + 1)
    mean, variance, third = ((1 / i).sum() - math.log(terms)) / k, (1 / i**2).sum() / k, 2 * (1 / i**3).sum() / k
    assert p @ x == pytest.approx(mean, rel=1e-4, abs=1e-4 * math.sqrt(variance))
    assert p @ (x - mean) ** 2 == pytest.approx(variance, rel=1e-4)
    assert p @ (x - mean) ** 3 == pytest.approx(third, rel=1e-4)


@pytest.mark.parametrize(("k", "terms"), SETTINGS)
def test_the_laplace_transform_is_that_of_the_closed_form(k, terms):
    """It determines the law; large t look at the lower tail, also where the density is unbounded."""
    x, p = law(k, terms)
    i = np.arange(1, terms + 1)
    for t in 10.0 ** np.arange(-3, 10):
        expected = np.exp(-np.log1p(t / i).sum() / k)
        assert p @ np.exp(-t * (x + math.log(terms) / k)) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("k", [*K_RANGE, 0.5, 7.3])
@pytest.mark.parametrize("terms", [1, 7, 8, 9, 5000, MOST_TERMS])
def test_quantiles_ascend_and_are_finite(k, terms):
    table = quantiles(k, terms)
    assert np.isfinite(table).all()
    assert (np.diff(table) >= 0).all()
    assert table[0] < table[-1]


@pytest.mark.parametrize(
    ("k", "terms"),
    [(5, 1), (1, 10), (15.6, 10), (21, 10), (300, 10), pytest.param(39, 100, marks=pytest.mark.slow)],
)
def test_a_million_draws_of_the_definition_are_of_the_same_law(k, terms, generator):
    rng = np.random.default_rng(1)
    expected = (sum(rng.gamma(1 / k, k / i, 10**6) for i in range(1, terms + 1)) - math.log(terms)) / k
    sample = SumOfGamma(k, terms).sample((10**6,), generator=generator, dtype=torch.float64).numpy()
    # With k = 300, a quarter of the draws is as close to -log(terms) / k as rounding errors are to each other.
    assert scipy.stats.ks_2samp(sample.round(12), expected.round(12)).pvalue > 0.001


def test_random_bits_are_those_of_philox():
    """The known answers that Random123, its authors' library, comes with."""
    known = {
        (0, 0, 0): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        (2**64 - 1, 2**64 - 1, 2**64 - 1): "408f276d 41c83b0e a20bc7c6 6d5451fd",
        (0x299F31D0A4093822, 0x0370734413198A2E, 0x85A308D3243F6A88): "d16cfe09 94fdcceb 5001e420 24126ea1",
    }
    bits = np.zeros(4, np.uint32)
    for arguments, expected in known.items():
        random_bits(*map(np.uint64, arguments), bits)
        assert " ".join(f"{number:08x}" for number in bits) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("k", "terms"), [(1.0, 1), (0.01, 50), (21.0, 10), (39.0, 100)])
def test_kernels_and_operations_of_torch_look_up_the_same(k, terms, dtype):
    key, stream, blocks = 2**62 + 1, 2**61 + 3, 5
    bits = np.zeros(4 * 1024, np.uint32)
    numbers = []
    for block in range(blocks):
        random_bits(key, stream, block * 1024, bits)
        numbers.append(bits.copy().view(np.uint32 if dtype is torch.float32 else np.uint64))
    number, digits = np.concatenate(numbers), 32
    if dtype is torch.float64:
        number, digits = number >> np.uint64(12), 52
    upper, digits = (number >> number.dtype.type(digits - 1)).astype(bool), digits - 1
    tail = ((number & number.dtype.type(2**digits - 1)).astype(float) + 0.5) / 2 ** (digits + 1)
    expected = torch.from_numpy(np.where(upper, 1 - tail, tail))
    _look_up(expected, _table_on(CPU, torch.float64, k, terms))
    noise = np.zeros(len(tail) - 7, torch.empty(0, dtype=dtype).numpy().dtype)
    fill = fill_float32 if dtype is torch.float32 else fill_float64
    fill(key, stream, _table(noise.dtype, k, terms), noise)
    assert noise == pytest.approx(expected.numpy()[:-7], rel=1e-5 if dtype is torch.float32 else 1e-12, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("k", "terms"), [(1.0, 1), (0.01, 50), (21.0, 10), (39.0, 100)])
def test_extreme_uniform_numbers_make_finite_noise_in_order(k, terms, dtype):
    step = torch.finfo(dtype).eps / 2
    noise = torch.tensor([0.0, step, 2 * step, 0.5, 1 - 2 * step, 1 - step, 1.0], dtype=dtype)
    _look_up(noise, _table_on(CPU, dtype, k, terms))
    assert bool(noise.isfinite().all())
    assert bool((noise.diff() >= 0).all())
    assert bool((noise[3:6].diff() > 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("k", "terms"), [(1.0, 1), (21.0, 10), (39.0, 100)])
def test_the_operations_of_torch_make_the_same_law(k, terms, dtype, generator):
    """Those that draw on other devices than the CPU."""
    sample = torch.empty(200_000, dtype=dtype).uniform_(generator=generator)
    _look_up(sample, _table_on(CPU, dtype, k, terms))
    expected = SumOfGamma(k, terms).sample((200_000,), generator=generator, dtype=dtype)
    # In float32 the least draws of k = 21 lie too close together to be told apart.
    assert scipy.stats.ks_2samp(sample.numpy().round(6), expected.numpy().round(6)).pvalue > 0.001


def test_float64_noise_has_the_resolution_of_float64(generator):
    """With the 24 bits of float32 some 30 000 of a million draws would come twice."""
    noise = SumOfGamma(2.0, 10).sample((10**6,), generator=generator, dtype=torch.float64)
    assert len(noise.unique()) == 10**6


def test_noise_is_not_a_view_of_the_table():
    noise = SumOfGamma(3.0, 4)
    first = noise.sample((50,), generator=torch.Generator().manual_seed(1))
    kept = first.clone()
    first.zero_()
    assert torch.equal(noise.sample((50,), generator=torch.Generator().manual_seed(1)), kept)


def test_noise_does_not_depend_on_where_its_table_was_first_needed():
    def draw():
        generator = torch.Generator().manual_seed(0)
        return SumOfGamma(3.25, 6).sample((30,), generator=generator, device="cpu", dtype=torch.float32)

    expected = draw()
    _table.cache_clear()
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"), torch.inference_mode():
            assert torch.equal(draw(), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(draw(), expected)


def test_a_layer_learns_after_noise_was_first_drawn_in_inference_mode():
    _table.cache_clear()
    layer = SolverLayer(top_k(5, 2), estimator=IMLE(SumOfGamma(2.125)), num_workers=0)
    theta = torch.zeros(3, 5, requires_grad=True)
    with torch.inference_mode():
        layer.sample(theta, 2)
    layer.sample(theta, 2)[..., 0].sum().backward()
    assert theta.grad.abs().sum() > 0


def test_threads_draw_the_same():
    def draw(_):
        return SumOfGamma(4.75, 8).sample((1000,), generator=torch.Generator().manual_seed(2))

    _table.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        samples = list(pool.map(draw, range(12)))
    assert all(torch.equal(sample, samples[0]) for sample in samples)


def test_the_noise_stays_a_value():
    noise = SumOfGamma(3.5, 20)
    noise.sample((3,))
    for other in (copy.deepcopy(noise), pickle.loads(pickle.dumps(noise))):
        assert other == noise
        assert hash(other) == hash(noise)
    assert noise != SumOfGamma(3.5, 20, "gamma")
    assert len(pickle.dumps(noise)) < 1000


@pytest.mark.parametrize(
    "arguments", [(K_RANGE[0] / 2,), (K_RANGE[1] * 2,), (3.0, MOST_TERMS + 1), ("auto", MOST_TERMS + 1)]
)
def test_what_tables_are_not_good_for_is_refused_and_left_to_gamma_draws(arguments):
    with pytest.raises(ValueError, match='method="gamma" takes any'):
        SumOfGamma(*arguments)
    assert SumOfGamma(*arguments, method="gamma").k == arguments[0]


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match='method must be "quantile" or "gamma", got \'exact\''):
        SumOfGamma(3.0, method="exact")
