"""The Warcraft example goes on where it was saved."""

import pytest
import torch

from examples.warcraft.generator import generate
from examples.warcraft.model import SolverModel
from examples.warcraft.training import Budget, Training

pytestmark = pytest.mark.slow

TINY = ("--train-maps", 20, "--test-maps", 5, "--batch-size", 10, "--no-baseline")


def state_of(file):
    return torch.load(file, weights_only=True)


def test_a_resumed_training_goes_on_with_the_same_numbers(tmp_path):
    maps = generate(25, 12, seed=0)
    train, val = maps[:20], maps[20:]

    def new():
        torch.manual_seed(0)
        return Training(
            SolverModel(12, samples=2, beta=3.0, temperature=0.1, workers=0, seed=0),
            device=torch.device("cpu"),
            lr=1e-3,
            schedule="cycle",
            batch_size=10,
            seed=0,
            settings={"size": 12},
        )

    class OneEpoch(Budget):
        """Ends after an epoch, but schedules the learning rate as for two: a run that was interrupted."""

        def share(self, epochs, seconds):
            return 1.0 if epochs == 1 else epochs / self.epochs

    straight, first, second = new(), new(), new()
    straight.fit(train, val, Budget(2), title="straight", save=tmp_path / "straight.pt")
    first.fit(train, val, OneEpoch(2), title="first", save=tmp_path / "first.pt")
    torch.manual_seed(123)  # of no consequence
    second.resume(tmp_path / "first.pt")
    assert [point.epochs for point in second.history] == [0, 1]
    second.fit(train, val, Budget(2), title="second", save=tmp_path / "second.pt")

    one, other = state_of(tmp_path / "straight.pt"), state_of(tmp_path / "second.pt")
    assert one["model"].keys() == other["model"].keys()
    assert "layer._extra_state" in one["model"]  # the state of the noise
    for name, tensor in one["model"].items():
        assert torch.equal(tensor, other["model"][name]), name
    assert torch.equal(one["order"], other["order"])
    changed = [
        name
        for name, tensor in state_of(tmp_path / "first.pt")["model"].items()
        if not torch.equal(tensor, one["model"][name])
    ]
    assert len(changed) > 10
    assert [(point["epochs"], point["exact"], point["optimal"]) for point in one["history"]] == [
        (point["epochs"], point["exact"], point["optimal"]) for point in other["history"]
    ]


def test_a_file_of_other_settings_is_refused(call, tmp_path):
    file = tmp_path / "saved" / "state.pt"
    assert call("warcraft", *TINY, "--epochs", 1, "--save", file)[0] == 0
    code, _, errors = call("warcraft", *TINY, "--size", 18, "--lr", "0.1", "--resume", file)
    assert code == 2
    assert len(errors) == 1
    assert "was saved with size = 12, lr = 0.002, this run has size = 18, lr = 0.1" in errors[0]
    code, printed, _ = call("warcraft", *TINY, "--epochs", 1, "--resume", file)
    assert code == 0
    assert any("resumed: exact match" in line for line in printed)


def test_a_file_of_something_else_is_refused(call, tmp_path):
    (tmp_path / "state.pt").write_text("something else")
    code, _, errors = call("warcraft", *TINY, "--resume", tmp_path / "state.pt")
    assert code == 2
    assert len(errors) == 1
    assert "state.pt is not a file saved by --save" in errors[0]
