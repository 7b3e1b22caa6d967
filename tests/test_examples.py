"""The examples run, say what is wrong with their arguments in one line, and go on where they were saved."""

import importlib
import os
import re
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def load():
    """Imports a module of the examples."""
    return lambda name: importlib.import_module(f"examples.{name}")


@pytest.fixture
def call(load, monkeypatch, capsys, tmp_path):
    """Runs an example in this process: (name, *arguments) -> (exit code, printed lines, lines of errors)."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path / "out"), *map(str, arguments)])
        try:
            load(f"{name}.main").main()
            code = 0
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return run


# --- Whole programs ---


def run_quick(name, out, *arguments):
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), "--quick", "--out", str(out), *arguments],
        cwd=out,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    picture = (out / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
    assert "100%|" in run.stderr
    return run.stdout


def test_warcraft(tmp_path):
    printed = run_quick("warcraft", tmp_path, "--train-maps", "60", "--test-maps", "30")
    for title in (r"ResNet18 front \+ solver layer \(imle\)", "plain ResNet18"):
        for when in ("before", "after"):
            assert re.search(rf"{title}, {when} training: exact match [\d.]+%, cost-optimal [\d.]+%\n", printed)


def test_every_method_trains_and_is_compared(call, load, tmp_path):
    code, printed, _ = call(
        "warcraft", "--compare", "all", "--seeds", 2, "--epochs", 1, "--train-maps", 8, "--test-maps", 4, "--workers", 0
    )
    assert code == 0
    methods = (*load("warcraft.model").METHODS, "none")
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in printed if line.startswith("| ")}
    assert tuple(rows)[1:] == methods
    solves = {method: int(cells[3]) for method, cells in list(rows.items())[1:]}
    assert solves == {
        **dict.fromkeys(("imle", "aimle", "blackbox"), 16),
        "aimle-central": 24,
        **dict.fromkeys(("identity", "ste", "fenchel-young"), 8),
        "perturbed": 80,
        "none": 0,
    }
    assert (tmp_path / "out" / "compare.md").read_text().splitlines() == [line for line in printed if line[0] == "|"]
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000


def test_road_network(tmp_path):
    printed = run_quick("road_network", tmp_path)
    optimal = {
        when: float(re.search(rf"{when} training: exact match [\d.]+%, cost-optimal ([\d.]+)%", printed)[1])
        for when in ("before", "after")
    }
    assert optimal["after"] > optimal["before"] + 30
    assert float(re.search(r"after training: .* rank correlation ([\d.]+)", printed)[1]) > 0.4


def test_custom_solver(tmp_path):
    printed = run_quick("custom_solver", tmp_path)
    values = [float(value) for value in re.findall(r"value (-?[\d.]+)% of the best", printed)]
    assert len(values) == 2
    assert values[1] > values[0]


def test_real_roads(call, data_folder):
    code, printed, _ = call(
        "road_network", "--tntp", data_folder / "roads_tntp" / "SiouxFalls_net.tntp", "--epochs", 1, "--routes", 40
    )
    assert code == 0
    assert printed[0].startswith("SiouxFalls: 24 nodes, 76 roads")


def test_written_maps_can_be_read_again(call, tmp_path):
    few = ("--train-maps", 4, "--test-maps", 3)
    assert call("warcraft", *few, "--write", tmp_path / "maps") == (0, [f"maps: {tmp_path / 'maps' / '12x12'}"], [])
    code, printed, _ = call("warcraft", "--data", tmp_path / "maps", "--epochs", 1, "--no-baseline", *few)
    assert code == 0
    assert printed[0] == "4 maps of 12x12 to train on, 3 held out to test on"


@pytest.mark.parametrize("name", ["warcraft", "road_network", "custom_solver"])
def test_help(call, name):
    code, printed, _ = call(name, "--help")
    assert code == 0
    text = "\n".join(printed)
    for option in ("--seed", "--out", "--quick"):
        assert option in text


# --- Bad arguments ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", 13], r"invalid choice: '?13'? \(choose from '?12"),
        (["--epochs", 0], "--epochs: expected a whole number of at least 1, got '0'"),
        (["--samples", "x"], "--samples: expected a whole number of at least 1, got 'x'"),
        (["--lr", -1], "--lr: expected a number above 0, got '-1'"),
        (["--quick", "--save", "."], "--save: expected a file, got the folder ."),
        (["--seed", -1], "--seed: expected a whole number from 0 to .*, got '-1'"),
        (["--quick", "--beta", 0], "beta must be positive and finite, got 0.0"),
        (["--quick", "--workers", -2], "num_workers must be 0 .* got -2"),
        (["--device", "abacus"], "--device abacus: "),
        (["--data", "nowhere"], "expected nowhere/12x12, .* found in nowhere: no such folder"),
        (["--write", "a", "--data", "b"], "leave out --data"),
        (["--compare", "imle,magic"], "--compare: unknown method 'magic'; expected all, or some of imle,aimle,"),
        (["--compare", "all", "--save", "x"], "leave out --save and --resume"),
        (["--quick", "--resume", "nothing.pt"], "expected a file saved by --save, found nothing at nothing.pt"),
    ],
)
def test_warcraft_says_what_is_wrong(call, arguments, message):
    code, _, errors = call("warcraft", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tntp", "nowhere_net.tntp"], "expected a network file NAME_net.tntp, found none at nowhere_net.tntp"),
        (["--beta", 0], "beta must be positive and finite, got 0.0"),
        (["--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["--seed", 2**63], "--seed: expected a whole number from 0 to"),
        (["--places", 2], "--places: expected at least 4, got 2"),
        (["--routes", 0], "--routes: expected a whole number of at least 1, got '0'"),
    ],
)
def test_road_network_says_what_is_wrong(call, arguments, message):
    code, _, errors = call("road_network", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


def test_a_folder_that_cannot_be_made_is_found_before_the_training(call, tmp_path):
    (tmp_path / "file").touch()
    code, _, errors = call("custom_solver", "--out", tmp_path / "file")
    assert code == 2
    assert len(errors) == 1
    assert "--out: cannot make the folder" in errors[0]


def test_a_folder_that_cannot_be_written_to_is_found_before_the_training(call, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    code, _, errors = call("custom_solver")
    assert code == 2
    assert len(errors) == 1
    assert "--out: cannot write to the folder" in errors[0]


@pytest.mark.parametrize("method", ["imle", "none"])
def test_the_last_batch_may_be_a_single_map(call, method):
    code, _, errors = call(
        "warcraft", "--train-maps", 3, "--test-maps", 1, "--batch-size", 2, "--epochs", 1, "--method", method
    )
    assert code == 0, errors


# --- Saving and resuming ---


TINY = ("--train-maps", 20, "--test-maps", 5, "--batch-size", 10, "--no-baseline")


def state_of(file):
    return torch.load(file, weights_only=True)


def test_a_resumed_training_goes_on_with_the_same_numbers(load, tmp_path):
    data, model, training = (load(f"warcraft.{name}") for name in ("data", "model", "training"))
    maps = data.generate(25, 12, seed=0)
    train, val = maps[:20], maps[20:]

    def new():
        torch.manual_seed(0)
        return training.Training(
            model.SolverModel(12, samples=2, beta=3.0, temperature=0.1, workers=0, seed=0),
            device=torch.device("cpu"),
            lr=1e-3,
            schedule="cycle",
            batch_size=10,
            seed=0,
            settings={"size": 12},
        )

    class OneEpoch(training.Budget):
        """Ends after an epoch, but schedules the learning rate as for two: a run that was interrupted."""

        def share(self, epochs, seconds):
            return 1.0 if epochs == 1 else epochs / self.epochs

    straight, first, second = new(), new(), new()
    straight.fit(train, val, training.Budget(2), title="straight", save=tmp_path / "straight.pt")
    first.fit(train, val, OneEpoch(2), title="first", save=tmp_path / "first.pt")
    torch.manual_seed(123)  # of no consequence
    second.resume(tmp_path / "first.pt")
    assert [point.epochs for point in second.history] == [0, 1]
    second.fit(train, val, training.Budget(2), title="second", save=tmp_path / "second.pt")

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


# --- Evaluation ---


def test_the_network_has_the_layers_of_a_resnet18(load):
    model = load("warcraft.model")
    plain = model.PlainModel(12)
    convolutions = [module for module in plain.network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 20  # 17 and the 3 of shortcuts
    assert (
        sum(parameter.numel() for parameter in plain.network.parameters()) == 11_176_512
    )  # torchvision's, without head


@pytest.mark.parametrize("size", [12, 30])
def test_evaluation_does_not_depend_on_the_batch(load, size):
    model = load("warcraft.model")
    torch.manual_seed(0)
    network = model.SolverModel(size, samples=1, beta=1.0, temperature=0.1, workers=0, seed=0)
    images = torch.rand(3, 3, 8 * size, 8 * size)
    network.train()
    network.costs(images)  # moves the running means
    network.eval()
    with torch.no_grad():
        costs, paths = network.costs(images), network(images)
        assert costs.shape == paths.shape == (3, size, size)
        assert (costs >= 0).all()
        torch.testing.assert_close(network.costs(images[:1]), costs[:1])
        assert torch.equal(network(images), paths)
