"""What goes wrong is said, on every backend."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest
from keras import ops

from imle_adapters import ShortestPathAdapter
from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    ClosedError,
    FunctionAdapter,
    Normal,
    SolveError,
    Status,
    Target,
    registry,
)
from imle_solvers.keras import FenchelYoungLoss, HammingLoss, Solver, SPOPlusLoss
from tests.keras.on_each.conftest import BACKEND, gradient_of, numbers
from tests.solvers import StatusAdapter

KEEPS = 'on_failure="keep" keeps solutions that end FEASIBLE, and here there is none'

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
        ({"dtype": "int32"}, TypeError, "expected dtype to be a floating one, got int32"),
        ({"adapter": {"name": "nonesuch"}}, ValueError, "Known adapters: .*Import what registers one of your own"),
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
        (THETA[0, 0], {}, ValueError, r"expected shape \(B, 4, 5\)"),
        (THETA[None], {}, ValueError, r"expected shape \(B, 4, 5\)"),
        (THETA.astype(np.int32), {}, TypeError, "got int32; convert it with keras.ops.cast"),
        (THETA > 0, {}, TypeError, "got bool; convert it with keras.ops.cast"),
        (None, {}, TypeError, "theta: expected a tensor, or an array of numbers, got None"),
        (THETA, {"tarjet": 3}, ValueError, "does not take tarjet"),
        (THETA, {"target": None}, TypeError, "leave it out"),
        (THETA, {"target": np.arange(3)}, ValueError, "target"),
        (THETA, {"mask": THETA}, ValueError, "does not take mask"),
        (keras.KerasTensor((None, 4, 5)), {"target": None}, TypeError, "leave it out"),
        (keras.KerasTensor((None, 3, 5)), {}, ValueError, r"expected shape \(B, 4, 5\) .*got \(None, 3, 5\)"),
        (keras.KerasTensor((None,)), {}, ValueError, r"expected shape \(B, 4, 5\) .*got \(None,\)"),
        (keras.KerasTensor((None, 4, 5), "int32"), {}, TypeError, "got int32; convert it with keras.ops.cast"),
        (keras.KerasTensor((None, 4, 5)), {"target": keras.KerasTensor((None, 3))}, ValueError, "context 'target'"),
        (keras.KerasTensor((7, 4, 5)), {"target": keras.KerasTensor((8,))}, ValueError, r"shape \(7,\).*got \(8,\)"),
        (keras.KerasTensor((None, 4, 5)), {"target": keras.KerasTensor((None,), "string")}, TypeError, "of numbers"),
        (keras.KerasTensor((None, 4, 5)), {"tarjet": 3}, ValueError, "does not take tarjet"),
    ],
)
def test_calls(theta, context, error, said):
    with pytest.raises(error, match=said):
        Solver(ADAPTER, seed=1)(theta, training=True, **context)


@pytest.mark.parametrize("theta", [THETA, keras.KerasTensor((None, 4, 5))], ids=["values", "none yet"])
def test_context_goes_by_its_name(theta):
    with pytest.raises(TypeError, match="all else by keyword, got 2 arguments; context of .* is source, target"):
        Solver(ADAPTER)(theta, ops.convert_to_tensor(np.full(2, 12)))


def test_training_is_known_when_a_call_is_traced():
    layer = Solver(ADAPTER, seed=1)
    for training in (None, False, np.bool_(False), ops.convert_to_tensor(False)):
        assert np.isin(numbers(layer(THETA, training=training)), [0, 1]).all()
    before = layer.generator().initial_seed()
    layer(THETA, training=ops.convert_to_tensor(True))
    assert layer.generator().initial_seed() != before
    if BACKEND != "torch":  # where a tensor has a value
        with keras.StatelessScope(), pytest.raises(TypeError, match="training: expected True, False or None, got"):
            traced(lambda training: layer(THETA, training=training), True)


def traced(function, *arguments):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)(*arguments)
    import tensorflow as tf

    return tf.function(function)(*map(tf.constant, arguments))


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


def statuses_in(mode, on_failure, statuses):
    """A batch whose instances end so: solved eagerly, by a model's `predict`, or in its `fit`."""
    layer = Solver(StatusAdapter(), executor="serial", on_failure=on_failure)
    data = {"theta": np.ones((3, 3), np.float32), "status": np.array(statuses)}
    if mode == "eager":
        return numbers(layer(data["theta"], training=True, status=data["status"]))
    theta, status = keras.Input((3,), name="theta"), keras.Input((), name="status", dtype="int32")
    model = keras.Model({"theta": theta, "status": status}, layer(keras.layers.Dense(3)(theta), status=status))
    if mode == "predict":
        return model.predict(data, verbose=0)
    model.compile("sgd", "mse")
    return model.fit(data, np.ones((3, 3)), shuffle=False, verbose=0)


@pytest.mark.parametrize("mode", ["eager", "predict", "fit"])
def test_what_becomes_of_instances_without_a_solution(mode):
    for on_failure, status, said in (
        ("raise", Status.INFEASIBLE, "instance 1, sample 0 ended INFEASIBLE: .*zero_grad"),
        ("raise", Status.FEASIBLE, 'instance 1, sample 0 ended FEASIBLE: .*on_failure="keep"'),
        ("keep", Status.INFEASIBLE, f"instance 1, sample 0 ended INFEASIBLE: .*zero_grad.*; {KEEPS}"),
        ("keep", Status.TIMEOUT, f"instance 1, sample 0 ended TIMEOUT: .*{KEEPS}"),
    ):
        with pytest.raises(Exception, match=said):
            statuses_in(mode, on_failure, [0, status, 0])
    for on_failure, status in (("zero_grad", Status.INFEASIBLE), ("keep", Status.FEASIBLE)):
        z = statuses_in(mode, on_failure, [0, status, 0])
        if mode != "fit":
            assert z.any(1).tolist() == [True, on_failure == "keep", True]


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
        with pytest.raises(ClosedError, match=r"ShortestPathAdapter.*closed.*; make a new layer, or solver"):
            call(THETA)
    with pytest.raises(Exception, match="make a new layer, or solver"):
        model.fit(THETA, THETA, verbose=0)


def test_theta_that_is_not_finite_in_fit():
    theta = keras.Input((4, 5))
    model = keras.Model(theta, Solver(ADAPTER)(keras.layers.Dense(5)(theta)))
    model.compile("sgd", "mse")
    data = THETA.copy()
    data[1] = np.nan
    with pytest.raises(Exception, match="expected finite values, got nan in instance 1"):
        model.fit(data, THETA, shuffle=False, verbose=0)


def test_context_asks_for_a_gradient():
    layer = Solver(ShortestPathAdapter.grid(4, 5))
    target = np.full(2, 12.0, np.float32)
    if BACKEND == "tensorflow":  # which cannot tell, and gives none
        import tensorflow as tf

        target = tf.constant(target)
        with tf.GradientTape() as tape:
            tape.watch(target)
            value = ops.sum(layer(THETA, target=target))
        assert tape.gradient(value, target) is None
    else:
        with pytest.raises(ValueError, match="context 'target' asks for a gradient, but"):
            gradient_of(lambda target: ops.sum(layer(THETA, target=target)), target)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="is of TensorFlow's XLA")
def test_xla_is_refused_in_words():
    import tensorflow as tf

    theta = keras.Input((4, 5))
    model = keras.Model(theta, keras.layers.Dense(5, activation="exponential")(theta))
    model.compile("sgd", FenchelYoungLoss(Solver(ADAPTER), 2), jit_compile=True)
    with pytest.raises(ValueError, match="XLA refuses calls to the host.* jit_compile=False to model.compile"):
        model.fit(THETA, THETA, verbose=0)
    model.compile("sgd", FenchelYoungLoss(Solver(ADAPTER), 2), jit_compile=False)
    model.fit(THETA, THETA, verbose=0)
    layer = Solver(ADAPTER)
    within = tf.function(lambda t: tf.cond(t[0, 0, 0] > 0, lambda: layer(t), lambda: t), jit_compile=True)
    with pytest.raises(ValueError, match="XLA refuses calls to the host"):
        within(tf.constant(THETA))


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
    for copied in (lambda: model.save(tmp_path / "model.keras"), layer.get_config, lambda: copy.deepcopy(layer)):
        with pytest.raises(ValueError, match=r"cannot be saved or copied as it is, .*register_adapter\(name\)"):
            copied()
    layer.estimator.beta.fill_(5.0)
    model.save_weights(tmp_path / "model.weights.h5")
    layer.estimator.beta.fill_(1.0)
    model.load_weights(tmp_path / "model.weights.h5")
    assert float(layer.estimator.beta) == 5.0
    other = keras.Model(source, of(breaks, estimator=Blackbox())(source))
    with pytest.raises(ValueError, match=r"another estimator's|could not be loaded"):
        other.load_weights(tmp_path / "model.weights.h5")


def test_an_adapter_that_is_not_registered_where_it_is_loaded(tmp_path, monkeypatch):
    known = dict(registry._registered)
    monkeypatch.setattr(registry, "_registered", {**known, "everything": lambda: of(lambda theta: theta).adapter})
    source = keras.Input((4, 5))
    keras.Model(source, Solver({"name": "everything"})(source)).save(tmp_path / "model.keras")
    monkeypatch.setattr(registry, "_registered", known)
    with pytest.raises(ValueError, match="unknown adapter 'everything'.* Import what registers one of your own before"):
        keras.saving.load_model(tmp_path / "model.keras")


class Loud(Normal):
    def get_config(self):
        return {}


class Whole(Loud):
    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Nearer(Target):
    pass


class Other(IMLE):
    pass


def test_parts_that_are_not_registered():
    for estimator, said in (
        (IMLE(target=Nearer(1.0)), "estimator.target: Nearer"),
        (IMLE(Whole()), "estimator.noise: Whole"),
        (Other(), "estimator: Other"),
    ):
        with pytest.raises(ValueError, match=f"{said}.* cannot be saved as it is; decorate it with"):
            Solver(ADAPTER, estimator=estimator).get_config()
    for kind in (Loud, Whole):
        keras.saving.register_keras_serializable("tests")(kind)
    with pytest.raises(ValueError, match=r"methods, too: get_config, .* and from_config\(cls, config\)"):
        Solver(ADAPTER, estimator=IMLE(Loud())).get_config()
    layer = Solver.from_config(Solver(ADAPTER, estimator=IMLE(Whole())).get_config())
    assert type(layer.estimator.noise) is Whole
