"""What two processes of `torch.distributed` share in training, and what each has of its own.

All tests have the same two processes: to start them takes longer than what is tested.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import multiprocessing
import os
import pickle
import sys

import loky
import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import AIMLE, IMLE, CalibrationCallback, Normal, ProcessExecutor, SolverLayer
from tests.calibration.task import Task, settings
from tests.layer.model import Model, batches, loss_of
from tests.solvers import top_k

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
]


def as_rank(function, rank, folder):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    os.environ["LOCAL_WORLD_SIZE"] = "2"  # as torchrun sets it
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),  # if the other failed
    )
    try:
        # Tensors by value: otherwise they would be shared, as torch does it, and end with the process.
        return pickle.dumps(function(rank))
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        yield pool


@pytest.fixture
def on_ranks(processes, tmp_path):
    """Calls a function of the rank in both processes, and gives what it returned in each."""

    def call(function):
        # They meet before they work, so that neither process can take both.
        results = [processes.submit(as_rank, function, rank, str(tmp_path)) for rank in range(2)]
        return [pickle.loads(result.result()) for result in results]

    return call


def trained(rank):
    executor = ProcessExecutor()
    assert executor.num_workers == max(1, loky.cpu_count() // 2)
    model = Model(top_k(6, 2), estimator=AIMLE(Normal(), initial_beta=0.5, step=0.05), executor=executor)
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(parallel.parameters(), lr=0.05)
    for x, y in batches(20, seed=rank):
        optimizer.zero_grad()
        loss_of(parallel, x, y).backward()
        optimizer.step()
    workers = {process.pid for process in executor._pool.processes}
    executor.close()
    return model.state_dict(), workers


def test_distributed_data_parallel(on_ranks):
    (one, workers), (other, other_workers) = on_ranks(trained)
    assert torch.equal(one["linear.weight"], other["linear.weight"])
    assert one["layer.estimator.beta"] == other["layer.estimator.beta"]
    assert not torch.equal(one["linear.weight"], Model().linear.weight)
    assert not workers & other_workers


def drawn(rank):
    layer = SolverLayer(
        ShortestPathAdapter.grid(6, 6), num_workers=0, num_samples=5, generator=torch.Generator().manual_seed(0)
    )
    own = SolverLayer(TopKAdapter(20, 5))
    parallel = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(3, 20), own))
    # Rank 1 draws once more than rank 0: whoever waited for the other here would wait for ever.
    samples = [layer(torch.ones(2, 6, 6)) for _ in range(1 + rank)]
    z = parallel(torch.ones(2, 3))
    z.pow(2).sum().backward()
    return samples[0], z.detach()


def test_with_one_seed_they_draw_different_noise(on_ranks):
    assert not any(torch.equal(*pair) for pair in zip(*on_ranks(drawn), strict=True))


def adapted(rank):
    states = []
    for symmetric in (False, True):
        estimator = AIMLE(
            Normal(),
            input_noise_temperature=1.0,
            initial_beta=1.0,
            initial_norm=0.0,
            target_norm=0.9,
            step=0.1,
            symmetric=symmetric,
            decay=0.0,
        )
        layer = SolverLayer(TopKAdapter(6, 2), estimator=estimator, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(rank)
        # Rank 0 has a large downstream gradient and many non-zeros, rank 1 has none at all.
        dz = torch.full((40, 6), float(rank == 0)).cumsum(1)
        for _ in range(3):
            layer(torch.randn(40, 6, requires_grad=True)).backward(dz)
        states.append(estimator.state_dict())
    return states


def test_steps_adapt_together(on_ranks):
    one, other = on_ranks(adapted)
    assert one == other
    assert all(float(state["norm"]) > 0 for state in one)


def scales(rank):
    def layer():
        return SolverLayer(TopKAdapter(6, 2), estimator=IMLE(Normal()), generator=torch.Generator().manual_seed(0))

    def thetas(seed=rank):
        generator = torch.Generator().manual_seed(seed)
        return [(1 + 9 * seed) * torch.randn(5, 6, generator=generator) for _ in range(3)]

    def train(layer, batches, **options):
        torch.manual_seed(0)
        parallel = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(6, 6), layer), **options)
        seen = []
        for theta in batches:
            parallel(theta).square().sum().backward()
            seen.append(float(layer.estimator.theta_scale))
        return seen

    found = {"usual": train(layer(), thetas())}
    # Not each rank has a part in each layer: nobody may wait for another.
    alone = layer()
    if rank == 1:
        alone(thetas()[0].requires_grad_()).sum().backward()
    found["alone"] = float(alone.estimator.theta_scale)
    fixed = layer()
    fixed.estimator.fix_scale(thetas(seed=3)[0])
    found["without buffers"] = train(fixed, thetas(), broadcast_buffers=False)
    return found


def test_relative_temperatures_go_by_the_scale_of_rank_0(on_ranks):
    one, other = on_ranks(scales)
    first, *later = one["usual"]
    assert first != other["usual"][0], "in the first step each has that of its own batch"
    assert later == other["usual"][1:] == [first, first]
    assert one["alone"] == 0
    assert other["alone"] > 0
    assert one["without buffers"] == other["without buffers"]
    assert len(set(one["without buffers"])) == 1


def share_of(task, rank):
    task.x, task.labels = task.x[rank * 16 :][:16], task.labels[rank * 16 :][:16]
    return task


def calibrated(rank):
    task = share_of(Task(), rank)
    CalibrationCallback(task.layer, lambda task, batch: task.calibrate())(0, task, None)
    return settings(task.layer.estimator)


def test_settings_are_those_that_rank_0_has_found(on_ranks):
    one, other = on_ranks(calibrated)
    assert one == other
    task = share_of(Task(), 0)
    assert one["theta_scale"] == settings(task.calibrate().estimator_of(task.layer))["theta_scale"]
