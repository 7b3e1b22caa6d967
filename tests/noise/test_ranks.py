"""Processes of torch.distributed draw noise of their own, from generators that are alike."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch.utils.checkpoint import checkpoint

from imle_adapters import TopKAdapter
from imle_solvers import (
    IMLE,
    FenchelYoungLoss,
    Gumbel,
    GumbelNoiseDistribution,
    Normal,
    PerturbedOptimizer,
    ScoreFunctionLoss,
    SolverLayer,
    SumOfGamma,
    imle,
)

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")


@pytest.fixture
def in_rank(monkeypatch):
    """Makes this process one of several, as far as it is told."""

    def be(rank, world=2):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)

    return be


def layer_of(estimator=None, seeded=True):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0) if seeded else None
    return SolverLayer(TopKAdapter(20, 5), estimator=estimator, generator=generator)


THETA = torch.zeros(4, 20)


@pytest.mark.parametrize("seeded", [True, False], ids=["a generator", "torch's own"])
@pytest.mark.parametrize("estimator", [IMLE(), IMLE(Normal()), IMLE(SumOfGamma(5, 3, "gamma")), PerturbedOptimizer()])
def test_ranks_with_one_seed_draw_different_noise(in_rank, seeded, estimator):
    samples = []
    for rank in range(3):
        in_rank(rank, 3)
        samples.append(layer_of(estimator, seeded)(THETA))
    assert not any(torch.equal(one, other) for one, other in ((samples[0], samples[1]), (samples[1], samples[2])))


def test_losses_and_decorated_solvers_draw_noise_of_their_rank_too(in_rank):
    drawn = {}
    for rank in range(2):
        in_rank(rank)
        layer = layer_of(IMLE(Normal()))
        torch.manual_seed(0)
        solver = imle(lambda thetas: (thetas > 0).to(thetas), noise_distribution=GumbelNoiseDistribution())
        seen = []
        ScoreFunctionLoss(layer, lambda z, seen=seen: seen.append(z) or z.sum(-1), num_samples=2)(THETA)
        drawn[rank] = [FenchelYoungLoss(layer)(THETA, THETA), solver(THETA), seen[0]]
    assert not any(torch.equal(one, other) for one, other in zip(drawn[0], drawn[1], strict=True))


@pytest.mark.parametrize("seeded", [True, False])
def test_generators_stay_in_step_whatever_each_rank_draws(in_rank, seeded):
    states = []
    for rank, batch in ((0, 4), (1, 3)):
        in_rank(rank)
        layer = layer_of(IMLE(Normal()), seeded)
        layer(torch.zeros(batch, 20))
        states.append(layer.generator.get_state() if seeded else torch.get_rng_state())
    assert torch.equal(*states)
    assert not torch.equal(states[0], torch.Generator().manual_seed(0).get_state())


def test_map_states_leave_the_generator_alone(in_rank):
    in_rank(1)
    layer = layer_of().eval()
    before = layer.generator.get_state()
    layer(THETA)
    layer_without_noise = SolverLayer(TopKAdapter(20, 5), estimator=IMLE(None), generator=layer.generator)
    layer_without_noise(THETA)
    assert torch.equal(layer.generator.get_state(), before)


def test_ranks_that_resume_from_one_state_go_on_as_they_would_have(in_rank):
    in_rank(0)
    layer = layer_of()
    layer(THETA)
    state = copy.deepcopy(layer.state_dict())  # as saved by rank 0 for all
    samples = []
    for rank in range(2):
        in_rank(rank)
        layer = layer_of()
        layer(THETA)
        expected = layer(THETA)
        resumed = layer_of()
        resumed.load_state_dict(state)
        samples.append(resumed(THETA))
        assert torch.equal(samples[-1], expected)
    assert not torch.equal(*samples)


def test_a_checkpointed_pass_repeats_the_noise_of_its_rank(in_rank):
    in_rank(1)
    results = []
    for checkpointed in (True, False):
        theta = THETA.clone().requires_grad_()
        layer = layer_of(seeded=False)
        z = checkpoint(layer, theta, use_reentrant=False) if checkpointed else layer(theta)
        (z * torch.arange(20)).sum().backward()
        results.append((z.detach(), theta.grad))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_ranks_that_hold_the_same_theta_may_share_noise(in_rank):
    samples = []
    for rank in range(2):
        in_rank(rank)
        layer = layer_of()
        layer.noise_rank = 7
        samples.append(copy.deepcopy(layer)(THETA))
    assert torch.equal(*samples)


def test_noise_of_many_ranks_is_independent(in_rank):
    rows = []
    for rank in range(40):
        in_rank(rank, 40)
        layer = layer_of(IMLE(Normal()))
        rows.append(layer.sampling(1).noise(Normal(), torch.zeros(50, 20)).flatten())
    rows = torch.stack(rows)
    correlation = torch.corrcoef(rows) - torch.eye(40)
    assert correlation.abs().max() < 0.16  # five standard deviations
    assert abs(rows.std() - 1) < 0.02 and abs(rows.mean()) < 0.02


@pytest.mark.parametrize("noise", [Normal(), Gumbel(), SumOfGamma(5)])
def test_a_process_alone_draws_what_it_draws_without_torch_distributed(noise):
    expected = layer_of(IMLE(noise))(THETA)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert torch.equal(layer_of(IMLE(noise))(THETA), expected)
    finally:
        torch.distributed.destroy_process_group()
