"""What goes wrong is said, on every backend."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from imle_adapters import ShortestPathAdapter
from imle_solvers import AIMLE, Blackbox, ClosedError, FunctionAdapter, SolveError, Status
from imle_solvers.keras import FenchelYoungLoss, HammingLoss, Solver, SPOPlusLoss
from tests.keras.on_each.conftest import BACKEND, numbers

ADAPTER = ShortestPathAdapter.grid(4, 5)
THETA = np.ones((2, 4, 5), np.float32)


def breaks(theta):
    raise RuntimeError("no such luck")


def unsolved(theta):
    return theta, Status.INFEASIBLE


def of(function, **options):
    return Solver(FunctionAdapter(function, sense="min", instance_shape=(4, 5)), executor="serial", **options)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"adapter": 3}, TypeError, "expected a SolverAdapter, got int"),
        ({"adapter": {"name": "tpk"}}, ValueError, "Did you mean 'top_k'"),
        ({"adapter": {"named": "top_k"}}, ValueError, '{"name": ..., "kwargs"'),
        ({"estimator": 3}, TypeError, "expected an Estimator"),
        ({"num_samples": 0}, ValueError, "num_samples must be at least 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 2**31}, ValueError, "seed must be below"),
        ({"generator": 3}, ValueError, "generator"),
    ],
)
def test_arguments(options, error, said):
    with pytest.raises(error, match=said):
        Solver(**{"adapter": ADAPTER, **options})


@pytest.mark.parametrize(
    ("theta", "context", "error", "said"),
    [
        (THETA[:, :3], {}, ValueError, r"expected shape \(B, 4, 5\)"),
        (THETA.astype(np.int32), {}, TypeError, "floating dtype"),
        (THETA, {"tarjet": 3}, ValueError, "does not take tarjet"),
        (THETA, {"target": None}, TypeError, "leave it out"),
        (THETA, {"target": np.arange(3)}, ValueError, "target"),
        (keras.KerasTensor((None, 3, 5)), {}, ValueError, r"expected shape \(B, 4, 5\)"),
        (keras.KerasTensor((None, 4, 5)), {"tarjet": 3}, ValueError, "does not take tarjet"),
    ],
)
def test_calls(theta, context, error, said):
    with pytest.raises(error, match=said):
        Solver(ADAPTER, seed=1)(theta, training=True, **context)


def test_values():
    with pytest.raises(Exception, match=r"expected finite values, got nan in instance 0 at \(0, 0\)"):
        Solver(ADAPTER)(THETA * np.nan)
    with pytest.raises(Exception, match="no such luck"):
        of(breaks)(THETA)


def test_failed_solves():
    with pytest.raises(Exception, match="instance 0, sample 0 ended INFEASIBLE") as failure:
        of(unsolved)(THETA, training=True)
    if BACKEND != "jax":  # which makes errors of its own of all
        assert isinstance(failure.value, SolveError) and len(failure.value.failures) == 2
    layer = of(unsolved, on_failure="zero_grad")
    assert (numbers(layer(THETA, training=True)) == 0).all()
    assert layer.stats().statuses[Status.INFEASIBLE] == 2


def test_a_closed_solver():
    with Solver(ADAPTER, num_workers=0) as layer:
        losses = FenchelYoungLoss(layer), SPOPlusLoss(layer)
        source = keras.Input((4, 5))
        model = keras.Model(source, layer(keras.layers.Dense(5, activation="exponential")(source)))
        model.compile("sgd", HammingLoss(layer))
        model.fit(THETA, THETA, verbose=0)
    for call in (
        layer,
        lambda theta: layer(theta, training=True),
        layer.map,
        *(lambda t, of=of: of(t, t) for of in losses),
    ):
        with pytest.raises(ClosedError, match=r"ShortestPathAdapter.*closed.*; make a new solver"):
            call(THETA)
    with pytest.raises(Exception, match="make a new solver"):
        model.fit(THETA, THETA, verbose=0)


def test_in_fit():
    source = keras.Input((4, 5))
    model = keras.Model(source, of(breaks)(keras.layers.Dense(5)(source)))
    model.compile("sgd", "mae")
    with pytest.raises(Exception, match="no such luck"):
        model.fit(THETA, THETA, verbose=0)


def test_losses():
    with pytest.raises(TypeError, match="expected a Solver"):
        SPOPlusLoss(ADAPTER)
    with pytest.raises(TypeError, match="which has no noise"):
        FenchelYoungLoss(Solver(ADAPTER, estimator=Blackbox()))
    with pytest.raises(ValueError, match=r"y_true: expected theta's shape \(B, 4, 5\)"):
        FenchelYoungLoss(Solver(ADAPTER))(THETA[:, :3], THETA)
    with pytest.raises(TypeError, match="HammingLoss: expected a Solver"):
        HammingLoss(ADAPTER)
    with pytest.raises(ValueError, match=r"HammingLoss: expected y_true of the solutions' shape \(2, 4, 5\), or"):
        HammingLoss(Solver(ADAPTER))(THETA[:, :3], THETA)
    with pytest.raises(ValueError, match=r"expected solutions of shape \(B, 4, 5\), or .* got \(2, 4, 4\)"):
        HammingLoss(Solver(ADAPTER))(THETA, THETA[..., :4])


def test_shapes_of_hamming_loss_in_fit():
    source = keras.Input((4, 5))
    layer = Solver(ADAPTER)
    model = keras.Model(source, layer(source))
    model.compile("sgd", HammingLoss(layer))
    with pytest.raises(ValueError, match=r"HammingLoss: expected y_true of the solutions' shape"):
        model.fit(THETA, THETA[..., :4], verbose=0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_be_saved(tmp_path):
    source = keras.Input((4, 5))
    layer = of(breaks, estimator=AIMLE())
    model = keras.Model(source, layer(source))
    with pytest.raises(ValueError, match=r"register_adapter\(name\)"):
        model.save(tmp_path / "model.keras")
    layer.estimator.beta.fill_(5.0)
    model.save_weights(tmp_path / "model.weights.h5")
    layer.estimator.beta.fill_(1.0)
    model.load_weights(tmp_path / "model.weights.h5")
    assert float(layer.estimator.beta) == 5.0
    other = keras.Model(source, of(breaks, estimator=Blackbox())(source))
    with pytest.raises(ValueError, match=r"another estimator's|could not be loaded"):
        other.load_weights(tmp_path / "model.weights.h5")
