"""What `calibrate` recommends, that it changes nothing else, and what it says of wrong input."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn

from imle_adapters import TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    Calibration,
    CalibrationCallback,
    ClosedError,
    HammingTarget,
    Identity,
    PerturbedOptimizer,
    Relative,
    SolverLayer,
    StraightThrough,
    Target,
    calibrate,
)
from imle_solvers.calibration.settings import Setting, Units
from imle_solvers.calibration.trial import Trial
from tests.calibration.task import GRID, Task, settings


@pytest.mark.parametrize(
    "estimator",
    [IMLE(target=Target(beta=scale), input_noise_temperature=1 / scale) for scale in (1e-4, 1.0, 1e4)],
    ids=["1e-4", "1", "1e4"],
)
def test_wherever_settings_start_the_same_is_recommended_and_learns(estimator):
    task = Task(estimator)
    found = task.calibrate(apply=True)
    expected = Task(IMLE(target=Target(beta=3.0), input_noise_temperature=2.0)).calibrate()
    assert [trial.losses for trial in found.trials] == [trial.losses for trial in expected.trials]
    assert settings(task.layer.estimator) == settings(expected.estimator_of(task.layer))
    assert task.train() < 0.2 * found.before


def test_a_trial_is_what_moving_by_hand_gives():
    """By the network's Jacobian, which is (x, 1) for each entry of theta; every other instance is judged."""
    task = Task(IMLE(noise=None))
    (trial,) = task.calibrate(betas=2.0).trials
    theta = start = task.net(task.x).detach()
    inputs = torch.cat([task.x, torch.ones(32, 1)], 1)
    layer = SolverLayer(TopKAdapter(8, 3), estimator=IMLE(noise=None, target=Target(beta=Relative(2.0))))
    losses, own = [], []
    for length in (0.8, 0.8 * 2 / 3, 0.8 / 3):
        leaf = theta.clone().requires_grad_()
        task.loss(layer(leaf)).backward()
        leaf.grad[1::2] = 0
        move = inputs @ inputs.T @ leaf.grad
        theta = theta - length * start.std(1, correction=0).mean() * 16 / move.norm() * move
        judged = layer.map(start).detach()
        judged[1::2] = layer.map(theta).detach()[1::2]
        losses.append(float(task.loss(judged)))
        learned = layer.map(start).detach()
        learned[::2] = layer.map(theta).detach()[::2]
        own.append(float(task.loss(learned)))
    assert trial.losses == pytest.approx(losses, rel=1e-5)
    assert trial.own_losses == pytest.approx(own, rel=1e-5)
    assert trial.loss == pytest.approx(sum(losses[1:]) / 2, rel=1e-5)


def test_instances_that_share_no_parameters_are_judged_by_what_they_learn_themselves():
    task = Task(IMLE(noise=None))
    theta = task.net(task.x).detach().requires_grad_()
    found = calibrate(task.layer, theta, task.loss, **GRID)
    assert found.best is not None
    assert found.best.loss < 0.5 * found.before


def test_neighbours_on_the_grid_count_by_half():
    losses = {(0.1, 1.0): 6.0, (0.1, 2.0): 6.0, (0.1, 4.0): 3.9, (0.5, 1.0): 4.0, (0.5, 2.0): 9.0, (0.5, 4.0): 9.0}
    trials = [Trial(Setting(beta, t), (loss, loss), (9.0, 9.0), {}) for (t, beta), loss in losses.items()]
    task = Task()
    found = Calibration(10.0, trials, task.layer, Units(1.0, 1.0, None))
    assert found.best is trials[3]  # (4 + 3 + 4.5 + 1.5) / 2.25 is the least
    assert found.others


def test_where_nothing_is_learned_about_others_what_is_learned_itself_decides():
    """Each instance has an input of its own, so that the network says nothing new of others."""
    task = Task()
    network = nn.Linear(32, 8, bias=False)
    calm = 1e-6 * torch.ones(32, 32)  # so that others move at all
    found = calibrate(task.layer, network(torch.eye(32) + calm), task.loss, **GRID)
    assert not found.others
    assert found.best.own_loss < 0.98 * found.before
    assert "that of instances it did not learn from does not" in str(found)


def test_moves_that_are_known_from_another_setting_change_nothing():
    together = Task().calibrate(betas=(3.0, 30.0, 300.0)).trials
    alone = [trial for beta in (3.0, 30.0, 300.0) for trial in Task().calibrate(betas=(beta,)).trials]
    assert sorted(map(str, together)) == sorted(map(str, alone))


@pytest.mark.parametrize("num_samples", [None, 3])
def test_nothing_changes_but_what_is_applied(num_samples):
    task = Task(num_samples=num_samples, generator=torch.Generator().manual_seed(1))
    task.layer(task.net(task.x)).sum().backward()
    for parameter in task.net.parameters():
        parameter.grad = None

    def state():
        return str(
            (
                settings(task.layer.estimator),
                [parameter.tolist() for parameter in task.net.parameters()],
                str(task.layer.stats()),
                task.layer.diagnostics(),
                task.layer.generator.get_state().tolist(),
                torch.get_rng_state().tolist(),
                random.getstate(),
                np.random.get_state()[1].tolist(),
            )
        )

    before = state()
    theta = task.net(task.x)
    calibrate(task.layer, theta, task.loss, **GRID)
    assert state() == before
    assert all(parameter.grad is None for parameter in task.net.parameters())
    task.loss(task.layer(theta)).backward()  # the graph is still there


@pytest.mark.parametrize(
    ("estimator", "changed"),
    [
        (IMLE(), {"target", "input_noise_temperature", "target_noise_temperature", "theta_scale"}),
        (IMLE(noise=None), {"target"}),
        (IMLE(target=HammingTarget()), {"input_noise_temperature", "target_noise_temperature", "theta_scale"}),
        (IMLE(input_noise_temperature=9.0, target_noise_temperature=0), {"target", "input_noise_temperature"}),
        (AIMLE(), {"beta", "input_noise_temperature", "target_noise_temperature", "theta_scale"}),
        (AIMLE(symmetric=True, noise=None), {"beta"}),
        (Blackbox(), {"target"}),
        (StraightThrough(), {"input_noise_temperature", "target_noise_temperature", "theta_scale"}),
        (PerturbedOptimizer(num_marginal_samples=3), {"sigma"}),
        (PerturbedOptimizer(num_marginal_samples=3, multiplicative=True), {"sigma"}),
    ],
    ids=lambda value: str(value).replace("'", "")[:60] if not isinstance(value, set) else "",
)
def test_what_an_estimator_has_is_set(estimator, changed):
    task = Task(estimator)
    before = settings(estimator)
    found = task.calibrate(betas=(0.7, 7.0), temperatures=(0.7,), apply=True)
    after = settings(estimator)
    assert {name for name in after if after[name] != before[name]} == changed
    assert after == settings(found.estimator_of(task.layer))
    said = str(found).splitlines()[-1]
    words = {"beta": "initial_beta", "theta_scale": "Relative"} | {
        name: name.removeprefix("input_").removeprefix("target_")
        for name in ("input_noise_temperature", "target_noise_temperature")
    }
    words["target"] = "lam" if isinstance(estimator, Blackbox) else "target"
    assert all(words.get(name, name) in said for name in changed)


def test_the_ratio_of_temperatures_stays():
    task = Task(IMLE(input_noise_temperature=Relative(1.0), target_noise_temperature=Relative(0.5)))
    task.calibrate(temperatures=(0.6,), apply=True)
    assert task.layer.estimator.input_noise_temperature == Relative(0.6)
    assert task.layer.estimator.target_noise_temperature == Relative(0.3)


def test_a_temperature_that_is_a_number_is_one_afterwards_and_means_the_same():
    losses = {}
    for estimator in (IMLE(), IMLE(input_noise_temperature=1.0)):
        task = Task(estimator)
        losses[task.calibrate(temperatures=(0.5,), apply=True).trials[1].losses] = task.layer.estimator
    (estimator,) = losses.values()  # both learned the same
    assert type(estimator.input_noise_temperature) is float


def test_on_trial_is_called_with_each_in_turn():
    seen = []
    found = Task().calibrate(on_trial=seen.append)
    assert seen == found.trials
    assert [(each.setting.beta, each.setting.temperature) for each in seen] == [
        (beta, temperature) for temperature in GRID["temperatures"] for beta in GRID["betas"]
    ]
    assert all("nonzero_entries" in trial.figures for trial in seen)


def test_a_batch_that_is_solved_already_leaves_everything_as_it_is():
    task = Task()
    task.labels = task.layer.map(task.net(task.x)).detach()
    found = task.calibrate()
    assert found.best is None
    before = settings(task.layer.estimator)
    with pytest.warns(RuntimeWarning, match="no setting lowers the loss of 0 by 2 %") as warned:
        found.apply()
    assert warned[0].filename == __file__
    assert settings(task.layer.estimator) == before
    assert "nothing is recommended" in str(found)


def test_a_loss_that_is_not_finite_after_a_move_is_named():
    task = Task()

    def loss(z):
        return task.loss(z) if z.requires_grad else task.loss(z) * torch.nan

    nothing = calibrate(task.layer, task.net(task.x), loss, betas=10.0, temperatures=0.5, moves=2)
    assert nothing.best is None
    assert "the loss is not finite after a move with any setting" in str(nothing)


def test_a_copy_that_was_pickled_is_applied_to_a_layer_that_is_given():
    task = Task()
    found = task.calibrate()
    copy = pickle.loads(pickle.dumps(found))
    assert str(copy) == str(found)
    with pytest.raises(ValueError, match="apply: expected a layer"):
        copy.apply()
    other = Task()
    copy.apply(other.layer)
    found.apply()
    assert settings(other.layer.estimator) == settings(task.layer.estimator)
    with pytest.raises(TypeError, match="expected an estimator like the one that was calibrated"):
        copy.apply(Task(Identity()).layer)


def test_an_estimator_that_took_the_place_of_another_is_set():
    task = Task()
    found = task.calibrate()
    task.layer.estimator = IMLE()
    found.apply()
    assert settings(task.layer.estimator) == settings(found.estimator_of(task.layer))
    assert settings(task.layer.estimator) != settings(IMLE())


def test_a_closed_layer_is_refused_as_it_is_elsewhere():
    task = Task()
    theta = task.net(task.x)
    task.layer.close()
    with pytest.raises(ClosedError, match="make a new layer"):
        calibrate(task.layer, theta, task.loss)


def test_it_is_printed_as_a_table_and_drawn():
    pytest.importorskip("matplotlib")
    found = Task().calibrate()
    lines = str(found).splitlines()
    assert len(lines) == 8
    assert lines[0].split()[:4] == ["beta", "temperature", "falls", "by"]
    assert sum(line.endswith("best") for line in lines) == 1
    assert "recommended: target=Target(" in lines[-1]
    axes = found.plot()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "1", "10"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "0.5"]


def test_rich_prints_the_same_table():
    console = pytest.importorskip("rich.console")
    with (screen := console.Console(width=140)).capture() as shown:
        screen.print(Task().calibrate())
    assert shown.get().count("best") == 1
    assert "recommended: target=" in " ".join(shown.get().split())


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"theta": torch.zeros(4, 8)}, ValueError, "theta: expected it as the network has made it"),
        ({"theta": torch.zeros(8, requires_grad=True)}, ValueError, "theta: expected a batch of instances, got shape"),
        ({"theta": torch.zeros(0, 8, requires_grad=True)}, ValueError, "theta: expected a batch of instances, got"),
        ({"loss_fn": torch.tensor(1.0)}, TypeError, "loss_fn: expected a function of solutions, got Tensor"),
        ({"loss_fn": lambda z: z.detach().sum()}, ValueError, "expected a scalar that depends on .* one that does not"),
        ({"theta": torch.zeros(4, 7, requires_grad=True)}, ValueError, "7"),
        ({"loss_fn": lambda z: z}, ValueError, "loss_fn: expected a scalar that depends on the solutions"),
        ({"loss_fn": lambda z: torch.tensor(1.0)}, ValueError, "loss_fn: expected a scalar that depends"),
        ({"loss_fn": lambda z: z.sum() * torch.nan}, ValueError, "loss_fn: expected a finite loss, got nan"),
        ({"layer": TopKAdapter(8, 3)}, TypeError, "layer: expected a SolverLayer, got"),
        ({"layer": SolverLayer(TopKAdapter(8, 3), estimator=Identity())}, TypeError, "a step or noise that can be set"),
        ({"betas": ()}, ValueError, "betas: expected at least one"),
        ({"betas": (1.0, 0.0)}, ValueError, "betas: expected positive numbers, got 0.0"),
        (
            {"layer": SolverLayer(TopKAdapter(8, 3), estimator=PerturbedOptimizer()), "temperatures": 0},
            ValueError,
            "temperatures: expected at least one above 0, got 0",
        ),
        ({"temperatures": (-1.0,)}, ValueError, "temperatures: expected positive numbers, or 0, got -1.0"),
        ({"moves": 0}, ValueError, "moves"),
        ({"colour": torch.zeros(4)}, (TypeError, ValueError), "colour"),
    ],
)
def test_wrong_input_is_refused(wrong, error, message):
    task = Task()
    given = {"layer": task.layer, "theta": task.net(task.x), "loss_fn": task.loss, **wrong}
    with pytest.raises(error, match=message):
        calibrate(**given)


def test_a_loop_calibrates_at_its_steps():
    task = Task(IMLE(target=Target(beta=1e-4)))
    callback = CalibrationCallback(task.layer, lambda task, batch: task.calibrate(), steps=(0, 2))
    found = [callback(step, task, None) for step in (0, 1, 1, 2, 2)]
    assert [each is not None for each in found] == [True, False, False, True, False]
    assert callback.calibrations == {0: found[0], 2: found[3]}
    assert isinstance(task.layer.estimator.target.beta, Relative)
    with pytest.raises(TypeError, match="run: expected what calibrate"):
        CalibrationCallback(task.layer, lambda model, batch: None, steps=0)(0, task, None)
    with pytest.raises(TypeError, match="layer: expected a SolverLayer"):
        CalibrationCallback(task.calibrate, (0,))
    resumed = Task(IMLE(target=Target(beta=1e-4)))
    again = CalibrationCallback(resumed.layer, lambda task, batch: task.calibrate(), steps=(0, 2))
    again.load_state_dict(callback.state_dict())
    assert settings(resumed.layer.estimator) == settings(task.layer.estimator)
    assert str(again.calibrations) == str(callback.calibrations)
    assert again(2, resumed, None) is None


@pytest.mark.filterwarnings("ignore")
def test_lightning_calibrates_at_its_steps(tmp_path):
    pl = pytest.importorskip("pytorch_lightning")
    task = Task(IMLE(target=Target(beta=1e-4)))

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = task.net

        def training_step(self, batch, index):
            return task.hamming(task.layer(self.net(batch[0])), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.05)

    def run(module, batch):
        return calibrate(task.layer, module.net(batch[0]), lambda z: task.hamming(z, batch[1]), **GRID)

    callback = CalibrationCallback(task.layer, run, steps=(0, 3))
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[callback.lightning()],
    )
    data = [(task.x, task.labels)] * 5
    trainer.fit(Module(), torch.utils.data.DataLoader(data, batch_size=None))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert list(callback.calibrations) == [0, 3]
    resumed = Task(IMLE(target=Target(beta=1e-4)))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=False)["callbacks"]
    (state,) = [state for state in saved.values() if "calibrations" in state]
    CalibrationCallback(resumed.layer, run).load_state_dict(state)
    assert settings(resumed.layer.estimator) == settings(task.layer.estimator)
    assert isinstance(callback.calibrations[0], Calibration)
    assert isinstance(task.layer.estimator.target.beta, Relative)
