"""Each warning of docs/troubleshooting.md, from the mistake that it names, and none where training is well."""

from __future__ import annotations

import contextlib
import copy
import re
import warnings

import numpy as np
import pytest
import torch

from imle_adapters import AssignmentAdapter, ILPAdapter, ILPSpec, ShortestPathAdapter, TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    FunctionAdapter,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    StraightThrough,
    Target,
)
from imle_solvers.solving.symptoms import SYMPTOMS
from tests.conftest import ROOT
from tests.layer.layers import make
from tests.solvers import top_k

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
B, N, K = 64, 10, 3


class Task:
    """The best three of ten, by scores that are linear in features; a model to learn it, and a layer on top."""

    def __init__(self, layer, scale=1.0, rate=0.05, bias=False):
        generator = torch.Generator().manual_seed(7)
        self.layer = layer
        self.scale = scale
        self.features = torch.randn(B, 5, generator=generator)
        truth = torch.randn(5, N, generator=generator)
        self.labels = torch.zeros(B, N).scatter(1, (self.features @ truth).topk(K).indices, 1.0)
        self.weight = torch.randn(5, N, generator=generator).mul(0.3).requires_grad_()
        self.optimizer = torch.optim.Adam([self.weight], lr=rate)
        self.reduce = torch.sum

    def theta(self):
        return self.scale * (self.features @ self.weight)

    def loss(self, z):
        return self.reduce((z - self.labels).abs())

    def train(self, steps):
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = self.loss(self.layer(self.theta()))
            loss.backward()
            self.optimizer.step()
        return self

    def error(self):
        with torch.no_grad():
            return float((self.layer.map(self.theta()) - self.labels).abs().mean())


@contextlib.contextmanager
def heard():
    """A list of what has been said, at the end."""
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    assert all(each.category is RuntimeWarning for each in caught)
    assert all(each.filename == __file__ for each in caught), "it is the caller's line that is named"
    said.extend(str(each.message) for each in caught)


def warned_of(task, steps):
    with heard() as said:
        task.train(steps)
    return said


def short_step():
    task = Task(make(top_k(N, K), estimator=IMLE(Normal(), Target(beta=1e-3))))
    task.reduce = torch.mean
    return task, 150


def long_step():
    # A loss of a wrong scale, whose gradient never says that a solution is right.
    task = Task(make(top_k(N, K), estimator=IMLE(Normal(), Target(beta=1e6), input_noise_temperature=0.1)))
    task.loss = lambda z: (z * (2 * z.detach() - 1)).sum()
    return task, 9 + 9 * 64


def wrong_sense():
    def largest(theta):
        z = torch.zeros(N)
        z[torch.as_tensor(theta).topk(K).indices] = 1
        return z.numpy()

    adapter = FunctionAdapter(largest, sense="min", instance_shape=(N,))
    return Task(make(adapter, estimator=IMLE(Normal(), Target(beta=1.0)))), 9


def no_optimum():
    rng = np.random.default_rng(0)
    adapter = FunctionAdapter(lambda theta: (rng.permutation(N) < K).astype(float), sense="max", instance_shape=(N,))
    return Task(make(adapter)), 9


def constant_solver():
    adapter = FunctionAdapter(lambda theta: torch.eye(N)[3].numpy(), sense="max", instance_shape=(N,))
    return Task(make(adapter)), 9


def constant_theta():
    task = Task(make(top_k(N, K), estimator=IMLE(Normal(), Target(beta=1.0))))
    task.features = torch.ones(B, 5)
    return task, 150


def silent_noise():
    estimator = IMLE(Normal(), Target(beta=1.0), input_noise_temperature=1e-6, target_noise_temperature=1e-6)
    return Task(make(top_k(N, K), estimator=estimator)), 9 + 7 * 64


def loud_noise():
    estimator = IMLE(Normal(), Target(beta=1e4), input_noise_temperature=1e4, target_noise_temperature=1e4)
    adapter = AssignmentAdapter(N, N, "max")
    task = Task(make(adapter, estimator=estimator))
    task.labels = torch.eye(N).expand(B, N, N)
    task.theta = lambda: (task.features @ task.weight).unsqueeze(2) * torch.linspace(-1, 1, N)
    return task, 9 + 7 * 64


def detached_theta():
    task = Task(make(top_k(N, K)))
    theta = task.theta
    task.theta = lambda: theta().detach()
    loss = task.loss
    task.loss = lambda z: loss(z) + task.weight.square().sum()  # so that there is something to differentiate
    return task, 40


MISTAKES = {
    "no gradient": short_step,
    "long step": long_step,
    "wrong sense": wrong_sense,
    "no optimum": no_optimum,
    "constant solver": constant_solver,
    "constant theta": constant_theta,
    "silent noise": silent_noise,
    "loud noise": loud_noise,
    "detached theta": detached_theta,
}


def beginnings():
    """By the names in the code, what warnings begin with, up to the first number."""
    rows = re.findall(r"^\| .* \| `(.*?)` \|", PAGE, re.MULTILINE)  # that of clamping goes on, and has its tests
    assert len(rows) == len(SYMPTOMS)
    return dict(zip(SYMPTOMS, rows, strict=True))


@pytest.mark.parametrize("name", SYMPTOMS)
def test_a_mistake_is_told_of_once_in_the_words_of_the_docs(name):
    said = warned_of(*MISTAKES[name]())
    assert len(said) == 1, said
    pattern = re.escape(beginnings()[name]).replace(r"\.\.\.", ".*")
    assert re.match(f"SolverLayer: {pattern}", said[0]), said
    assert said[0].endswith("See docs/troubleshooting.md")


def test_what_is_suggested_for_a_short_step_learns():
    task, steps = short_step()
    (said,) = warned_of(task, steps)
    before = task.error()
    task.layer.estimator.target = Target(beta=float(re.search(r"Target\(beta=(\S+)\)", said)[1]))
    task.train(150)
    assert task.error() < before / 3


def test_a_wrong_sense_shows_without_noise_where_the_loss_has_a_direction():
    task, _ = wrong_sense()
    task.layer.estimator = Blackbox(1.0)
    task.loss = lambda z: (z * torch.linspace(-1, 1, N)).sum()
    (said,) = warned_of(task, 250)
    assert "the wrong way round" in said


@pytest.mark.parametrize("estimator", [None, IMLE(None), Blackbox(1.0), Identity(), AIMLE()], ids=repr)
def test_a_wrong_sense_shows_in_nine_steps_whatever_the_estimator(estimator):
    task, steps = wrong_sense()
    task.layer.estimator = copy.deepcopy(estimator) or IMLE()
    (said,) = warned_of(task, steps)
    assert "the wrong way round" in said


def test_one_solution_for_all_is_left_alone_where_all_instances_have_it_at_last():
    task = Task(make(TopKAdapter(N, K)), rate=0.2)
    task.features = torch.cat([torch.ones(B, 1), 0.3 * task.features[:, 1:]], 1)
    task.labels = task.labels[:1].expand(B, N)
    y = task.labels
    task.loss = lambda z: (z * (1 - y) + (1 - z) * y).sum()  # its gradient is never zero
    assert warned_of(task, 300) == []
    assert task.error() < 0.02


def test_solutions_of_other_rows_go_against_theta():
    def flipped(theta):
        return torch.zeros_like(theta).scatter(1, theta.topk(K).indices, 1.0).flip(0)

    adapter = FunctionAdapter(flipped, sense="max", instance_shape=(N,), batched=True)
    (said,) = warned_of(Task(make(adapter)), 9)
    assert "go against" in said


@pytest.mark.parametrize("sense", ["min", "max"])
def test_prices_that_theta_does_not_have_are_no_mistake(sense):
    """One of two facilities has a price of its own, so that the solution of another instance may have better theta."""
    sign = 1 if sense == "min" else -1
    spec = ILPSpec(
        sense=sense,
        A_ub=[[1, 0, -1, 0], [0, 1, 0, -1]],
        b_ub=[0, 0],
        A_eq=[[1, 1, 0, 0]],
        b_eq=[1],
        ub=1,
        integrality=True,
        theta_index=[0, 1],
        fixed_cost=[0, 0, sign * 5.0, 0],
    )
    layer = make(ILPAdapter(spec))
    rng = torch.Generator().manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            layer((20 * torch.rand(16, 2, generator=rng)).requires_grad_()).square().sum().backward()
    figures = layer._diagnostics._records[-1].read()
    assert figures["_outdone"] > 0 and figures["_contrary"] == 0


def test_noise_that_goes_by_a_warm_up_of_nothing_may_vanish_in_theta():
    task = Task(make(top_k(N, K)))
    task.layer(torch.full((4, N), 1e-9, requires_grad=True)).sum().backward()
    (said,) = warned_of(task, 90)
    assert "no sample differed" in said and "estimator.fix_scale(theta)" in said
    task.layer.estimator.fix_scale(task.theta())
    task.layer.diagnostics(reset=True)
    assert warned_of(task, 200) == []
    assert task.layer.diagnostics()["noise_changed"] > 0


def test_a_short_step_may_vanish_in_theta():
    task = Task(make(top_k(N, K), estimator=IMLE(Normal(), Target(beta=1e-12))))
    (said,) = warned_of(task, 150)
    assert "Target(beta=" in said


def test_a_warning_made_an_error_comes_before_any_work_and_once():
    task, steps = short_step()
    with pytest.raises(RuntimeWarning, match="the gradient was zero"):
        task.train(steps)
    batches = task.layer.stats().batches
    assert batches % 2 == 0, "it was not raised between the passes"
    task.train(steps)


@pytest.mark.parametrize(
    "estimator",
    [
        IMLE(Normal(), Target(beta=2.0), input_noise_temperature=0.3, target_noise_temperature=0.3),
        IMLE(Normal(), Target(beta=2.0)),
        IMLE(Normal(), Target(beta=30.0)),
        IMLE(Normal(), Target(alpha=0.0, beta=1.0)),
        IMLE(Normal(), HammingTarget(), input_noise_temperature=0.3, target_noise_temperature=0.3),
        IMLE(None, Target(beta=2.0)),
        AIMLE(Normal(), initial_beta=1.0),
        AIMLE(Normal(), initial_beta=1.0, symmetric=True),
        Blackbox(2.0),
        Identity(),
        StraightThrough(Normal()),
        PerturbedOptimizer(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("loss", ["sum", "hamming", "regret"])
def test_training_that_goes_well_is_left_alone(estimator, loss):
    """Until long after it has converged."""
    task = Task(make(TopKAdapter(N, K), estimator=copy.deepcopy(estimator)), rate=0.02)
    y = task.labels
    if loss == "hamming":
        task.loss = lambda z: (z * (1 - y) + (1 - z) * y).sum()
    elif loss == "regret":
        task.loss = lambda z: -(z * (y + 0.3 * torch.linspace(0, 1, N))).sum()
    assert warned_of(task, 300) == []


def test_theta_that_is_meant_to_be_one_for_all_is_left_alone():
    layer = make(TopKAdapter(N, K), estimator=IMLE(Normal(), Target(beta=1.0)))
    theta = torch.zeros(N, requires_grad=True)
    with heard() as said:
        for _ in range(150):
            (layer(theta.expand(B, N)) * torch.linspace(0, 1, N)).sum().backward()
    assert said == []
    assert theta.grad.any()


def test_solving_without_training_is_left_alone():
    layer = make(TopKAdapter(N, K))
    theta = torch.rand(4, N)
    with heard() as said:
        for _ in range(100):
            with torch.no_grad():
                layer(theta)
            layer.sample(theta, 2)
            layer.map(theta)
        layer.eval()
        for _ in range(100):
            layer(theta)
    assert said == []


def test_costs_of_paths_of_no_ambiguity_are_left_alone():
    """Confident and right: no gradient, since none is needed."""
    layer = make(
        ShortestPathAdapter.grid(4, 4), estimator=IMLE(Normal(), Target(beta=20.0), input_noise_temperature=0.01)
    )
    theta = (torch.rand(B, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.5).requires_grad_()
    labels = layer.map(theta).detach()
    with heard() as said:
        for _ in range(150):
            (layer(theta) - labels).abs().sum().backward()
    assert said == []
