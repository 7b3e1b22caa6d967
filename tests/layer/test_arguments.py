"""Arguments that a class does not take: the message says where they belong."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

import imle_solvers
from imle_adapters import TopKAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    FenchelYoungLoss,
    FunctionAdapter,
    Gumbel,
    HammingTarget,
    Identity,
    Normal,
    PerturbedOptimizer,
    SolverLayer,
    StraightThrough,
    SumOfGamma,
    Target,
)
from imle_solvers.arguments import _PLACES

ADAPTER = TopKAdapter(4, 2)


@pytest.mark.parametrize(
    ("cls", "name", "advice"),
    [
        (IMLE, "beta", "write target=Target(beta=2.0)"),
        (IMLE, "lambda_", "write target=Target(beta=2.0)"),
        (IMLE, "alpha", "write target=Target(alpha=2.0)"),
        (IMLE, "temperature", "write input_noise_temperature=2.0, target_noise_temperature=2.0"),
        (IMLE, "noise_temperature", "write input_noise_temperature=2.0, target_noise_temperature=2.0"),
        (IMLE, "theta_noise_temperature", "write input_noise_temperature=2.0"),
        (IMLE, "k", "write noise=SumOfGamma(k=2.0)"),
        (IMLE, "nb_samples", "SolverLayer(adapter, num_samples=2.0) takes it"),
        (IMLE, "symmetric_perturbation", "AIMLE(symmetric=2.0) takes it"),
        (AIMLE, "beta", "write initial_beta=2.0"),
        (AIMLE, "target", "IMLE(target=2.0) takes it"),
        (Blackbox, "beta", "write lam=2.0"),
        (Blackbox, "lambda_", "write lam=2.0"),
        (StraightThrough, "temperature", "write noise_temperature=2.0"),
        (Identity, "input_noise_temperature", "write noise_temperature=2.0"),
        (Identity, "beta", "IMLE(target=Target(beta=2.0)) takes it"),
        (PerturbedOptimizer, "temperature", "write sigma=2.0"),
        (Target, "lambda_", "write beta=2.0"),
        (HammingTarget, "beta", "IMLE(target=Target(beta=2.0)) takes it"),
        (SumOfGamma, "kappa", "write k=2.0"),
        (SumOfGamma, "nb_iterations", "write terms=2.0"),
        (Gumbel, "scale", "IMLE(input_noise_temperature=2.0, target_noise_temperature=2.0) takes it"),
        (Normal, "mean", "it takes no arguments"),
        (IMLE, "skip_know", "did you mean skip_known? It takes noise, target, input_noise_temperature, "),
    ],
)
def test_where_an_argument_belongs(cls, name, advice):
    with pytest.raises(TypeError, match=re.escape(f"{cls.__name__}: unexpected argument {name}=2.0; {advice}")):
        cls(**{name: 2.0})


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"beta": 10.0}, "write estimator=IMLE(target=Target(beta=10.0))"),
        ({"noise": Gumbel()}, "write estimator=IMLE(noise=Gumbel())"),
        ({"temperature": 0.1}, "write estimator=IMLE(input_noise_temperature=0.1, target_noise_temperature=0.1)"),
        ({"symmetric": True}, "write estimator=AIMLE(symmetric=True)"),
        ({"seed": 3}, "write generator=torch.Generator().manual_seed(3)"),
        ({"n_jobs": 4}, "write num_workers=4"),
        ({"nb_samples": 4}, "write num_samples=4"),
        ({"timeout": 2}, "write executor=ProcessExecutor(timeout=2)"),
        ({"time_limit": 2}, "write executor=ProcessExecutor(timeout=2)"),
        ({"sense": "min"}, 'FunctionAdapter(fn, sense="min", ...) takes it'),
        ({"on_failures": "keep"}, "did you mean on_failure? It takes adapter, estimator, "),
    ],
)
def test_what_belongs_into_a_layer_and_where(options, advice):
    with pytest.raises(TypeError, match=re.escape(advice)):
        SolverLayer(ADAPTER, **options)


def test_a_function_that_minimises():
    with pytest.raises(TypeError, match='minimize=True; write sense="min" for costs, sense="max" for scores'):
        FunctionAdapter(len, minimize=True, instance_shape=3)


def test_arguments_of_a_loss_that_are_its_layers():
    with pytest.raises(TypeError, match=r"noise=Normal\(\); IMLE\(noise=Normal\(\)\) takes it"):
        FenchelYoungLoss(SolverLayer(ADAPTER), noise=Normal())


def test_arguments_without_a_name():
    with pytest.raises(
        TypeError, match=r"no more than 1 argument without a name \(adapter\), got 2; name the others: est"
    ):
        SolverLayer(ADAPTER, IMLE())


def test_every_advice_can_be_followed():
    """What it says to write is an argument that somebody takes, with the class that is named."""
    for place in _PLACES:
        for advice in (*place.arguments, place.elsewhere):
            for name, arguments in re.findall(r"(\w+)\(((?:[^()]|\([^()]*\))*)\)", advice):
                if hasattr(imle_solvers, name):
                    known = inspect.signature(getattr(imle_solvers, name)).parameters
                    assert set(re.findall(r"(?:^|, )(\w+)=", arguments)) <= set(known), advice


@pytest.mark.parametrize("made", [IMLE(), Target(), SumOfGamma(3.0), SolverLayer(ADAPTER)], ids=lambda made: type(made))
def test_explained_classes_keep_their_signature_and_copy(made):
    assert "options" not in str(inspect.signature(type(made)))
    assert repr(copy.deepcopy(made)) == repr(pickle.loads(pickle.dumps(made))) == repr(made)


def test_subclasses_have_arguments_of_their_own():
    class Mine(IMLE):
        def __init__(self, beta, **options):
            super().__init__(target=Target(beta=beta), **options)

    assert Mine(beta=3.0).target == Target(beta=3.0)
    with pytest.raises(TypeError, match="IMLE: unexpected argument alpha=1; write target"):
        Mine(beta=3.0, alpha=1)
