"""Noise follows its law, where and how it is asked to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy
import torch

from imle_adapters import TopKAdapter
from imle_solvers import IMLE, Gumbel, Normal, SolverLayer, SumOfGamma
from imle_solvers.noise.distributions import resolve_noise
from tests.solvers import top_k

NOISES = [SumOfGamma(3.0, 5), SumOfGamma(15.6), SumOfGamma(15.6, method="gamma"), Gumbel(), Normal()]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_shape_dtype_and_finiteness(noise, dtype, generator):
    sample = noise.sample((50, 3, 4), generator=generator, dtype=dtype)
    assert sample.shape == (50, 3, 4)
    assert sample.dtype == dtype
    assert bool(sample.isfinite().all())
    assert noise.sample((), generator=generator).shape == ()
    assert noise.sample((0, 3), generator=generator).shape == (0, 3)


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_the_generator_decides(noise):
    def draw(seed):
        return noise.sample((100,), generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    torch.manual_seed(5)
    first = noise.sample((100,))
    torch.manual_seed(5)
    assert torch.equal(noise.sample((100,)), first)


@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_defaults_are_torchs(noise):
    sample = noise.sample((2,))
    assert (sample.dtype, sample.device) == (torch.get_default_dtype(), torch.get_default_device())


def sum_of_gamma_by_definition(k, terms, size, seed=1):
    rng = np.random.default_rng(seed)
    draws = sum(rng.gamma(1 / k, k / i, size) for i in range(1, terms + 1))
    return (draws - math.log(terms)) / k


@pytest.mark.parametrize("method", ["quantile", "gamma"])
@pytest.mark.parametrize(("k", "terms"), [(1.0, 1), (3.0, 5), (15.6, 10), (39.0, 100)])
def test_sum_of_gamma_has_its_moments_and_its_law(k, terms, method, generator):
    sample = SumOfGamma(k, terms, method).sample((100_000,), generator=generator, dtype=torch.float64).numpy()
    i = np.arange(1, terms + 1)
    mean, variance = ((1 / i).sum() - math.log(terms)) / k, (1 / i**2).sum() / k
    third = 2 * (1 / i**3).sum() / k
    assert sample.mean() == pytest.approx(mean, abs=5 * math.sqrt(variance / len(sample)))
    assert sample.var() == pytest.approx(variance, rel=0.1)
    assert ((sample - mean) ** 3).mean() == pytest.approx(third, rel=0.3)
    assert scipy.stats.ks_2samp(sample, sum_of_gamma_by_definition(k, terms, 100_000)).pvalue > 0.001


def test_k_draws_of_sum_of_gamma_make_a_gumbel(generator):
    sample = SumOfGamma(4.0, 300).sample((4, 40_000), generator=generator, dtype=torch.float64).sum(0)
    assert scipy.stats.kstest(sample.numpy(), scipy.stats.gumbel_r.cdf).pvalue > 0.001


@pytest.mark.parametrize(("noise", "law"), [(Gumbel(), "gumbel_r"), (Normal(), "norm")], ids=["gumbel", "normal"])
def test_gumbel_and_normal_follow_their_law(noise, law, generator):
    sample = noise.sample((40_000,), generator=generator, dtype=torch.float64).numpy()
    assert scipy.stats.kstest(sample, getattr(scipy.stats, law).cdf).pvalue > 0.001


def test_k_comes_from_the_adapter_where_it_is_left_to_it():
    theta = torch.zeros(3, 5)

    def sample(adapter, noise):
        generator = torch.Generator().manual_seed(0)
        return SolverLayer(adapter, estimator=IMLE(noise), num_workers=0, generator=generator).sample(theta, 9)

    expected = sample(TopKAdapter(5, 2), SumOfGamma(k=2, terms=7))
    assert torch.equal(sample(TopKAdapter(5, 2), SumOfGamma(terms=7)), expected)
    assert resolve_noise("auto", 1e9) == resolve_noise(SumOfGamma(), 1e9) == SumOfGamma(1e6)  # what tables are good for
    assert resolve_noise("auto", 0.0) == SumOfGamma(1.0)
    with pytest.raises(ValueError, match="this one does not, so give k"):
        sample(top_k(5, 2), SumOfGamma())
    with pytest.raises(ValueError, match="give k here"):
        SumOfGamma().sample((3,))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("noise", NOISES, ids=repr)
def test_a_cpu_generator_draws_the_same_for_cuda(noise):
    samples = [noise.sample((9,), generator=torch.Generator().manual_seed(1), device=d) for d in ("cpu", "cuda")]
    assert samples[1].is_cuda
    assert torch.equal(samples[0], samples[1].cpu())
