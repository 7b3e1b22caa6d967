"""A training goes on from its checkpoint, bit for bit, and only from its own."""

import pytest
import torch

from examples.common.checkpoints import Checkpoint
from examples.common.stopping import EarlyStopping
from examples.warcraft.generator import generate
from examples.warcraft.learning import Budget
from examples.warcraft.model import SolverModel
from examples.warcraft.training import Training

TINY = ("--train-maps", 20, "--test-maps", 5, "--batch-size", 10, "--no-baseline")


def state_of(file):
    return torch.load(file, weights_only=True)


@pytest.mark.slow
def test_a_resumed_training_goes_on_with_the_same_numbers(tmp_path):
    maps = generate(25, 12, seed=0)
    train, val = maps[:20], maps[20:]

    def new(name, resume=False):
        torch.manual_seed(0)
        return Training(
            SolverModel(12, samples=2, beta=3.0, temperature=0.1, workers=0, seed=0),
            device=torch.device("cpu"),
            lr=1e-3,
            schedule="cycle",
            batch_size=10,
            seed=0,
            checkpoint=Checkpoint(tmp_path / name, {"size": 12}, resume=resume),
        )

    class OneEpoch(Budget):
        """Ends after an epoch, but schedules the learning rate as for two: a run that was interrupted."""

        def share(self, epochs, seconds):
            return 1.0 if epochs == 1 else epochs / self.epochs

    new("straight.pt").fit(train, val, Budget(2), title="straight")
    new("first.pt").fit(train, val, OneEpoch(2), title="first")
    before = state_of(tmp_path / "first.pt")
    second = new("first.pt", resume=True)
    torch.manual_seed(123)  # of no consequence
    second.fit(train, val, Budget(2), title="second")

    one, other = state_of(tmp_path / "straight.pt"), state_of(tmp_path / "first.pt")
    assert one["parts"]["model"].keys() == other["parts"]["model"].keys()
    assert "layer._extra_state" in one["parts"]["model"]  # the state of the noise
    for name, tensor in one["parts"]["model"].items():
        assert torch.equal(tensor, other["parts"]["model"][name]), name
    assert torch.equal(one["parts"]["order"], other["parts"]["order"])
    changed = [
        name
        for name, tensor in before["parts"]["model"].items()
        if not torch.equal(tensor, one["parts"]["model"][name])
    ]
    assert len(changed) > 10
    assert [(point["epochs"], point["exact"], point["optimal"]) for point in one["values"]["history"]] == [
        (point["epochs"], point["exact"], point["optimal"]) for point in other["values"]["history"]
    ]


@pytest.mark.slow
def test_a_run_of_other_settings_is_refused_and_one_of_more_epochs_is_not(call, tmp_path):
    assert call("warcraft", *TINY, "--epochs", 1)[0] == 0
    code, _, errors = call("warcraft", *TINY, "--size", 18, "--lr", "0.1", "--resume")
    assert code == 2
    assert len(errors) == 1
    assert "results.json was saved with" in errors[0]
    assert "lr = 0.002" in errors[0]
    assert "this run has" in errors[0]
    assert "size = 18" in errors[0]
    (tmp_path / "out" / "results.json").unlink()  # as if interrupted before the end of the first training
    code, _, errors = call("warcraft", *TINY, "--lr", "0.1", "--resume")
    assert code == 2
    assert len(errors) == 1
    assert "imle-0.pt was saved with lr = 0.002, this run has lr = 0.1; give the same options" in errors[0]
    assert call("warcraft", *TINY, "--epochs", 2, "--resume")[0] == 0
    state = state_of(tmp_path / "out" / "checkpoints" / "imle-0.pt")
    assert [point["epochs"] for point in state["values"]["history"]] == [0, 1, 2]


def test_a_file_of_something_else_is_refused(call, tmp_path):
    folder = tmp_path / "out" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "imle-0.pt").write_text("something else")
    code, _, errors = call("warcraft", *TINY, "--resume")
    assert code == 2
    assert len(errors) == 1
    assert "imle-0.pt is not a checkpoint of this program; remove it" in errors[0]
    assert (folder / "imle-0.pt").read_text() == "something else"


def test_a_save_that_is_interrupted_leaves_the_last_one(monkeypatch, tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.pt", {"lr": 0.1}, resume=True)
    order = torch.Generator().manual_seed(3)
    checkpoint.save({"order": order}, epoch=1)
    expected = torch.rand(3)

    def half(state, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save({"order": order}, epoch=2)
    other = torch.Generator()
    assert checkpoint.restore({"order": other}) == {"epoch": 1}
    assert torch.equal(other.get_state(), order.get_state())
    assert torch.equal(torch.rand(3), expected)  # torch's own generator goes on, too


def test_early_stopping_waits_keeps_the_best_weights_and_is_resumed(tmp_path):
    model, stopping = torch.nn.Linear(1, 1), EarlyStopping(patience=2)
    for value, loss in ((1.0, 3.0), (2.0, 1.0), (3.0, float("nan"))):
        torch.nn.init.constant_(model.weight, value)
        stopping.update(loss, model)
        assert not stopping.stop
    checkpoint = Checkpoint(tmp_path / "state.pt", {}, resume=True)
    checkpoint.save({"model": model, "stopping": stopping})
    model, stopping = torch.nn.Linear(1, 1), EarlyStopping(patience=2)
    checkpoint.restore({"model": model, "stopping": stopping})
    assert model.weight.item() == 3
    stopping.update(1.0, model)
    assert stopping.stop
    stopping.restore(model)
    assert model.weight.item() == 2
    assert not EarlyStopping(patience=None).stop
