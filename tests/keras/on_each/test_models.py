"""Models with solvers in them: fitted, saved, loaded, asked for predictions."""

from __future__ import annotations

import copy
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest
import torch
from keras import ops

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import AIMLE, IMLE, Normal, ProcessExecutor, Relative, SolverLayer, Target
from imle_solvers.keras import FenchelYoungLoss, HammingLoss, Solver, SPOPlusLoss
from tests.host.estimators import ESTIMATORS
from tests.keras.on_each.conftest import BACKEND, numbers

ADAPTER = ShortestPathAdapter.grid(4, 5)
IMAGES = np.random.default_rng(0).random((20, 8)).astype(np.float32)


def theta_of(images):
    hidden = keras.layers.Dense(20, kernel_initializer=keras.initializers.GlorotUniform(0))(images)
    return ops.exp(keras.layers.Reshape((4, 5))(hidden))


def model_of(layer, **context):
    images = keras.Input((8,), name="images")
    given = {name: keras.Input((), name=name, dtype="int32") for name in context}
    return keras.Model({"images": images, **given}, layer(theta_of(images), **given))


def fitted(model, data=None, labels=None, loss="mae", epochs=2, rate=0.01):
    data = {"images": IMAGES} if data is None else data
    labels = np.ones((20, 4, 5), np.float32) if labels is None else labels
    model.compile(keras.optimizers.SGD(rate), loss)
    losses = model.fit(data, labels, batch_size=8, epochs=epochs, verbose=0, shuffle=False).history["loss"]
    assert np.isfinite(losses).all()
    return losses


def draws(model, data=None):
    return numbers(model({"images": ops.convert_to_tensor(IMAGES)} if data is None else data, training=True))


@pytest.mark.parametrize("num_samples", [None, 3])
@pytest.mark.parametrize("estimator", [IMLE, AIMLE])
def test_a_loaded_model_goes_on_where_it_was(tmp_path, estimator, num_samples):
    loud = estimator(input_noise_temperature=Relative(2.0))
    layer = Solver(ADAPTER, estimator=loud, num_samples=num_samples, seed=5)
    model = model_of(layer)
    axes = () if num_samples is None else (num_samples,)
    assert model.output_shape == (None, *axes, 4, 5)
    before = numbers(model.weights[0].value).copy()
    fitted(model, labels=np.ones((20, *axes, 4, 5), np.float32))
    assert (numbers(model.weights[0].value) != before).any()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.layers[-1]
    for name, value in layer.estimator.named_buffers():
        assert dict(again.estimator.named_buffers())[name].item() == value.item() != 0
    assert loaded.predict({"images": IMAGES}, verbose=0).shape == (20, *axes, 4, 5)
    np.testing.assert_array_equal(
        loaded.predict({"images": IMAGES}, verbose=0), model.predict({"images": IMAGES}, verbose=0)
    )
    first, second = draws(model), draws(model)
    assert (first != second).any()
    np.testing.assert_array_equal(draws(loaded), first)
    np.testing.assert_array_equal(draws(loaded), second)


def test_the_step_of_aimle_moves_once_a_step_of_fit(tmp_path):
    theta = np.random.default_rng(0).random((6, 4, 5)).astype(np.float32) + 0.1
    labels = np.zeros((6, 4, 5), np.float32)
    layer, expected = Solver(ADAPTER, estimator=AIMLE(), seed=1), SolverLayer(ADAPTER, estimator=AIMLE())
    source = keras.Input((4, 5))
    model = keras.Model(source, layer(keras.layers.Dense(5, kernel_initializer="identity")(source)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    for i in range(6):
        expected.generator = layer.generator()
        model.fit(theta, labels, batch_size=6, shuffle=False, verbose=0)
        leaf = torch.tensor(theta, requires_grad=True)
        (expected(leaf) ** 2).mean().backward()
        assert float(layer.estimator.beta) == float(expected.estimator.beta) != 2.0
        if i == 2:
            model.evaluate(theta, labels, verbose=0)
            model.predict(theta, verbose=0)
            model.test_on_batch(theta, labels)
            model.save(tmp_path / "model.keras")  # in the midst
            model = keras.saving.load_model(tmp_path / "model.keras")
            layer = model.layers[-1]


def test_steps_of_one_fit_draw_noise_of_their_own():
    theta = np.ones((6, 4, 5), np.float32)
    layer = Solver(ADAPTER, estimator=IMLE(Normal(), Target(beta=1.0), input_noise_temperature=1.0), seed=5)
    seen = []
    layer.adapter.__dict__["check"] = lambda thetas, context: seen.append(thetas.copy())
    try:
        source = keras.Input((4, 5))
        model = keras.Model(source, layer(keras.layers.Dense(5, kernel_initializer="identity")(source)))
        model.compile(keras.optimizers.SGD(0.0), "mae")
        model.fit(theta, theta, batch_size=2, epochs=2, verbose=0)
    finally:
        del layer.adapter.__dict__["check"]
    drawn = {each.tobytes() for each in seen if len(each) == 2 and (each != 1).any()}
    assert len(drawn) >= 6  # two epochs of three steps; and their targets


def test_context(tmp_path):
    layer = Solver(ADAPTER, seed=1)
    data = {"images": IMAGES, "target": np.full(20, 12)}
    model = model_of(layer, target=None)
    fitted(model, data)
    paths = model.predict(data, verbose=0)
    assert (paths[:, 2, 2] == 1).all() and (paths[:, 3] == 0).any()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict(data, verbose=0), paths)


def test_context_of_numbers_beside_tensors(tmp_path):
    layer, theta = Solver(ADAPTER, seed=1), keras.Input((4, 5))
    blocked = np.zeros((2, 4, 5), bool)
    data = np.random.default_rng(0).random((2, 4, 5)).astype(np.float32)
    expected = numbers(layer(data, target=np.full(2, 12)))
    np.testing.assert_array_equal(numbers(layer(data, target=12, blocked=blocked)), expected)
    np.testing.assert_array_equal(numbers(layer(data, target=[12, 12], blocked=blocked)), expected)
    given = keras.Input((4, 5), dtype="bool")
    model = keras.Model([theta, given], layer(theta, target=12, blocked=given))
    np.testing.assert_array_equal(model.predict([data, blocked], verbose=0), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict([data, blocked], verbose=0), expected)


@pytest.mark.parametrize("loss", ["fenchel-young", "spo+"])
def test_losses_in_compile(tmp_path, loss):
    images = keras.Input((8,))
    model = keras.Model(images, theta_of(images))
    solver = Solver(ADAPTER, seed=1)
    costs = np.random.default_rng(1).random((20, 4, 5)).astype(np.float32)
    made = FenchelYoungLoss(solver, seed=3) if loss == "fenchel-young" else SPOPlusLoss(solver)
    labels = numbers(solver.map(costs)) if loss == "fenchel-young" else costs
    losses = fitted(model, IMAGES, labels, made, epochs=8, rate=0.1)
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    once = model.evaluate(IMAGES, labels, verbose=0)
    assert loaded.evaluate(IMAGES, labels, verbose=0) == once
    assert (model.evaluate(IMAGES, labels, verbose=0) != once) == (loss == "fenchel-young")


@pytest.mark.parametrize("num_samples", [None, 4])
def test_hamming_loss_in_compile(tmp_path, num_samples):
    layer = Solver(ADAPTER, num_samples=num_samples, seed=1)
    model = model_of(layer)
    labels = numbers(layer.map(np.random.default_rng(1).random((1, 4, 5)).astype(np.float32)))
    labels = np.repeat(labels, 20, 0)
    losses = fitted(model, labels=labels, loss=HammingLoss(layer), epochs=8, rate=0.1)
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    data, flipped = {"images": IMAGES}, 1 - labels
    paths = model.predict(data, verbose=0)
    wrong = np.abs(paths - (flipped[:, None] if num_samples else flipped)).sum((-2, -1))
    assert loaded.evaluate(data, flipped, verbose=0) == pytest.approx(wrong.mean())
    weights = np.arange(20.0)[:, None] if num_samples else np.arange(20.0)  # of instances
    weighted = loaded.evaluate(data, flipped, sample_weight=weights, verbose=0)
    assert weighted == pytest.approx((wrong * weights).mean())


def test_a_loss_on_the_solver_of_the_model_is_saved_with_it(tmp_path):
    layer = Solver(ADAPTER, estimator=AIMLE(), seed=1)
    images = keras.Input((8,))
    theta = theta_of(images)
    model = keras.Model(images, [theta, layer(theta)])
    labels = numbers(layer.map(np.random.default_rng(1).random((20, 4, 5)).astype(np.float32)))
    losses = [FenchelYoungLoss(layer, 4, seed=3), HammingLoss(layer)]
    fitted(model, IMAGES, [labels, labels], losses)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [value.item() for value in loaded.layers[-1].estimator.buffers()] == [
        value.item() for value in layer.estimator.buffers()
    ]
    assert float(layer.estimator.beta) != 2.0
    assert loaded.evaluate(IMAGES, [labels, labels], verbose=0) == model.evaluate(IMAGES, [labels, labels], verbose=0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        layer = Solver(ADAPTER, seed=1)
        fitted(model_of(layer))
        assert keras.backend.standardize_dtype(layer(np.ones((2, 4, 5))).dtype) == policy.removeprefix("mixed_")
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_compiled_programs():
    layer = Solver(ADAPTER, seed=1)
    assert layer.supports_jit == (BACKEND != "tensorflow")
    model = model_of(layer)
    if BACKEND == "jax":
        model.compile("sgd", "mae", jit_compile=True)
        model.fit({"images": IMAGES}, np.ones((20, 4, 5)), verbose=0)
    else:
        fitted(model)
        assert not model.jit_compile


def test_shapes():
    layer = Solver(ADAPTER, num_samples=2)
    assert layer(keras.Input((4, 5))).shape == (None, 2, 4, 5)
    assert layer(keras.Input((4, 5), batch_size=7)).shape == (7, 2, 4, 5)
    for training in (False, True):
        assert tuple(layer(ops.zeros((0, 4, 5)), training=training).shape) == (0, 2, 4, 5)
        assert tuple(layer(np.ones((4, 5), np.float32), training=training).shape) == (2, 4, 5)
    layer = keras.Sequential([keras.layers.Dense(6), Solver({"name": "top_k", "kwargs": {"n": 6, "k": 2}})])
    assert numbers(layer(IMAGES)).sum() == 40


def test_sides_that_are_not_known_yet():
    theta = keras.Input((None, None))
    z = Solver(ADAPTER, seed=1)(theta, blocked=keras.Input((None, 5), dtype="bool"))
    assert z.shape == (None, 4, 5)
    model = keras.Model(theta, Solver(ADAPTER, seed=1)(ops.exp(theta)))
    model.compile("sgd", "mse")
    assert model.predict(np.ones((3, 4, 5), np.float32), verbose=0).shape == (3, 4, 5)
    with pytest.raises(Exception, match=r"expected shape \(B, 4, 5\) .*got \(3, 4, 4\)"):
        model.predict(np.ones((3, 4, 4), np.float32), verbose=0)


def test_labels_for_several_samples():
    theta = np.random.default_rng(0).random((4, 4, 5)).astype(np.float32)
    labels = numbers(Solver(ADAPTER).map(np.ones((4, 4, 5), np.float32)))
    source = keras.Input((4, 5))
    model = keras.Model(source, Solver(ADAPTER, num_samples=4, seed=1)(source))
    model.compile("sgd", "mse")
    z = model.predict(theta, verbose=0)
    value = model.evaluate(theta, labels[:, None], verbose=0)
    np.testing.assert_allclose(value, np.mean((z - labels[:, None]) ** 2), rtol=1e-6)


def test_one_solver_in_several_places():
    layer, dense = Solver(ADAPTER, seed=1), keras.layers.Dense(5, activation="exponential")
    source = keras.Input((4, 5))
    model = keras.Model(source, [layer(dense(source)), layer(dense(source))])
    other = keras.Model(source, layer(source))
    data = np.ones((6, 4, 5), np.float32)
    model.compile("sgd", ["mse", "mse"])
    model.fit(data, [data, data], verbose=0)
    other.compile("sgd", "mse")
    other.evaluate(data, data, verbose=0)
    one, two = (numbers(each) for each in model(data, training=True))
    assert (one != two).any()  # noise of their own
    assert layer.stats().batches >= 7


def test_in_time_distributed(tmp_path):
    source = keras.Input((3, 4, 5))
    layer = keras.layers.TimeDistributed(Solver(ADAPTER, seed=1))
    model = keras.Model(source, layer(source))
    data = np.ones((2, 3, 4, 5), np.float32)
    z = numbers(model(data, training=True))
    assert model.output_shape == (None, 3, 4, 5) and (z[:, 0] != z[:, 1]).any()
    model.compile("sgd", "mse")
    model.evaluate(data, data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_a_frozen_solver_passes_gradients():
    layer = Solver(ADAPTER, seed=1, trainable=False)
    model = model_of(layer)
    before = numbers(model.weights[0].value).copy()
    fitted(model)
    assert not layer.trainable and (numbers(model.weights[0].value) != before).any()


def test_single_batches():
    model = model_of(Solver(ADAPTER, seed=1))
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert "Solver" in "".join(lines)
    data, labels = {"images": IMAGES}, np.ones((20, 4, 5), np.float32)
    model.compile("sgd", "mse", run_eagerly=BACKEND != "jax")
    assert np.isfinite(model.train_on_batch(data, labels)) and np.isfinite(model.test_on_batch(data, labels))
    assert model.predict_on_batch(data).shape == (20, 4, 5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="with a tape of TensorFlow's")
def test_a_training_step_of_ones_own():
    import tensorflow as tf

    class Model(keras.Model):
        def train_step(self, data):
            theta, labels = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=labels, y_pred=self(theta, training=True))
            self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            return {"loss": loss}

    source = keras.Input((8,))
    model = Model(source, Solver(ADAPTER, seed=1)(theta_of(source)))
    before = numbers(model.weights[0].value).copy()
    fitted(model, IMAGES)
    assert (numbers(model.weights[0].value) != before).any()


def test_masks_of_entries_and_of_sequences():
    layer = Solver(TopKAdapter(6, 2))
    mask = np.array([[True] * 3 + [False] * 3] * 20)
    z = numbers(layer(np.ones((20, 6), np.float32), training=True, mask=mask))
    assert (z.sum(1) == 2).all() and (z[:, 3:] == 0).all()


def test_workers_and_their_executor():
    with ProcessExecutor(1) as executor, Solver(ADAPTER, seed=1, executor=executor) as layer:
        fitted(model_of(layer), epochs=1)
        assert layer.stats().instances >= 40
        assert layer.get_config()["executor"] is None


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_descriptions(estimator):
    layer = Solver(ADAPTER, estimator=ESTIMATORS[estimator](), num_samples=3, seed=4, on_failure="zero_grad")
    config = json.loads(json.dumps(layer.get_config()))
    again = Solver.from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    assert repr(again.estimator) == repr(layer.estimator) and repr(again.adapter) == repr(ADAPTER)


def test_an_adapter_by_its_name(tmp_path):
    made = {"name": "shortest_path_grid", "kwargs": {"height": 4, "width": 5, "target": (3, 3)}}
    model = model_of(Solver(made, seed=1))
    model.save(tmp_path / "model.keras")
    saved = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))
    assert "__tuple__" in json.dumps(saved)
    assert keras.saving.load_model(tmp_path / "model.keras").layers[-1].adapter.target == 18


@keras.saving.register_keras_serializable("tests")
def halfway(scores, dz):
    return scores - 0.5 * dz


def test_parts_of_ones_own(tmp_path):
    layer = Solver(ADAPTER, estimator=IMLE(target=halfway, input_noise_temperature=Relative(0.5)), seed=1)
    assert Solver.from_config(layer.get_config()).estimator.target is halfway
    layer = Solver(ADAPTER, estimator=IMLE(target=lambda scores, dz: scores - dz))
    with pytest.raises(ValueError, match=r"estimator.target: .* cannot be saved .*register_keras_serializable"):
        layer.get_config()


def test_a_pickled_model_goes_on_where_it_was():
    model = model_of(Solver(ADAPTER, seed=1))
    model({"images": ops.convert_to_tensor(IMAGES)}, training=True)
    np.testing.assert_array_equal(draws(pickle.loads(pickle.dumps(model))), draws(model))


def test_copies():
    layer = Solver(ADAPTER, seed=1)
    layer(np.ones((2, 4, 5), np.float32), training=True)
    again = copy.deepcopy(layer)
    assert again.generator().initial_seed() == layer.generator().initial_seed()
    cloned = keras.models.clone_model(model_of(layer))
    assert cloned.layers[-1].generator().initial_seed() == Solver(ADAPTER, seed=1).generator().initial_seed()
