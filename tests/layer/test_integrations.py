"""The layer inside what people train with: the real thing each time."""

from __future__ import annotations

import copy
import io
import os

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch.utils.checkpoint import checkpoint

from imle_adapters import ShortestPathAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    FunctionAdapter,
    Normal,
    SolverLayer,
)
from tests.layer.model import Model, accuracy, batches, loss_of, train
from tests.solvers import top_k


def test_plain_training_learns():
    model = Model()
    before = accuracy(model)
    train(model, 200)
    assert accuracy(model) > before + 0.4


def test_autocast_to_bfloat16():
    model = Model()
    x, y = next(batches(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = model(x)
        loss = (z - y).pow(2).mean()
    assert z.dtype == torch.bfloat16
    loss.backward()
    assert model.linear.weight.grad.dtype == torch.float32
    assert model.linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_leaves_solvers_on_tensors_alone(compiled):
    """Rounded forward and not backward, solutions would differ where dL/dz is zero."""
    torch.manual_seed(0)
    solutions = torch.randn(50, 30)

    def solve(thetas):
        return solutions[(thetas @ solutions.T).argmax(1)]

    adapter = FunctionAdapter(solve, sense="max", instance_shape=(30,), batched=True)
    layer = SolverLayer(adapter, estimator=IMLE(None))
    theta = torch.randn(200, 30, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = (torch.compile(layer, backend="eager") if compiled else layer)(theta)
    z.backward(torch.zeros_like(z))
    assert torch.equal(z, solve(theta))
    assert theta.grad.abs().sum() == 0


def test_a_gradient_scaler_skips_steps_that_overflow():
    """A downstream gradient that overflows reaches the scaler as such, which skips the step and goes on."""
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    x, y = next(batches(1))
    before = copy.deepcopy(model.linear.state_dict())
    scaler.scale(loss_of(model, x, y) * 1e4).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(before[key], value) for key, value in model.linear.state_dict().items())
    assert scaler.get_scale() < 2.0**127
    optimizer.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(loss_of(model, x, y)).backward()
    scaler.step(optimizer)
    assert not torch.equal(before["weight"], model.linear.weight)


def test_gradient_checkpointing_recomputes_the_same_samples():
    """Checkpointing restores torch's default generator, so that is the one to draw from."""
    grads = []
    for checkpointed in (False, True):
        model = Model()
        model.layer.generator = None
        torch.manual_seed(3)
        x, y = next(batches(1))
        z = checkpoint(model, x, use_reentrant=False) if checkpointed else model(x)
        (z - y).pow(2).sum().backward()
        grads.append(model.linear.weight.grad)
    assert torch.equal(grads[0], grads[1])
    assert grads[0].abs().sum() > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lightning_training_loop(tmp_path):
    pl = pytest.importorskip("pytorch_lightning")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Model(top_k(6, 2), num_workers=0)

        def training_step(self, batch, index):
            return loss_of(self.model, *batch)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.05)

    data = [(x, y) for x, y in batches(100)]
    module = Module()
    before = accuracy(module.model)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    assert accuracy(module.model) > before + 0.3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_accelerate_training_loop():
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = Model(top_k(6, 2), num_workers=0)
    before = accuracy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = torch.utils.data.DataLoader(list(batches(100)), batch_size=None)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            accelerator.backward(loss_of(model, x, y))
            optimizer.step()
    assert accuracy(accelerator.unwrap_model(model)) > before + 0.3


@pytest.mark.parametrize("estimator", [IMLE, AIMLE], ids=["imle", "aimle"])
@pytest.mark.parametrize("way", ["torch.save", "deepcopy"])
def test_a_run_stopped_in_the_middle_resumes_bit_for_bit(estimator, way):
    def fresh():
        kwargs = {"initial_beta": 1.0, "step": 0.1} if estimator is AIMLE else {}
        return Model(estimator=estimator(Normal(), **kwargs), num_samples=None)

    whole = fresh()
    train(whole, 20)
    first = fresh()
    optimizer = train(first, 10)
    if way == "deepcopy":
        second = copy.deepcopy(first)
        resumed = torch.optim.Adam(second.parameters(), lr=0.05)
        resumed.load_state_dict(optimizer.state_dict())
    else:
        file = io.BytesIO()
        torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)
        second = fresh()
        second.load_state_dict(saved["model"])
        resumed = torch.optim.Adam(second.parameters(), lr=0.05)
        resumed.load_state_dict(saved["optimizer"])
    train(second, 20, resumed, start=10)
    for key, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key


def test_a_whole_model_is_saved_and_loaded():
    model = Model(top_k(6, 2), num_workers=0)
    train(model, 5)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    x, _ = next(batches(1))
    assert torch.equal(loaded(x), model(x))


def test_a_data_loader_with_workers_may_hold_a_layer():
    """Solving in the workers of a DataLoader, which are forks: in-process, or with workers of their own."""

    class Paths(torch.utils.data.Dataset):
        layer = SolverLayer(ShortestPathAdapter.grid(3, 3), num_workers=0).eval()

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return self.layer(torch.rand(3, 3, generator=torch.Generator().manual_seed(index)))

    expected = torch.stack([Paths()[i] for i in range(4)])
    loader = torch.utils.data.DataLoader(Paths(), batch_size=4, num_workers=2)
    assert torch.equal(next(iter(loader)), expected)


def test_fork_in_the_middle_of_training(tmp_path):
    """A forked child, as in evaluation jobs, uses the parent's layer with workers of its own."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    layer = SolverLayer(top_k(6, 2), num_workers=2).eval()
    theta = torch.randn(4, 6)
    expected = layer(theta)
    context = torch.multiprocessing.get_context("fork")
    child = context.Process(target=lambda: torch.save(layer(theta), tmp_path / "z"))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert torch.equal(torch.load(tmp_path / "z", weights_only=True), expected)
    assert torch.equal(layer(theta), expected)
    layer.close()
