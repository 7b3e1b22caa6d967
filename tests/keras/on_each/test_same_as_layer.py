"""Solutions, gradients and losses in Keras are those of `SolverLayer`, bit for bit."""

from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest
import torch
from keras import ops

from imle_adapters import ShortestPathAdapter, TopKAdapter
from imle_solvers import AIMLE, FenchelYoungLoss, HammingLoss, SolverLayer, SPOPlusLoss
from imle_solvers import keras as front_end
from imle_solvers.host.seeds import generator_of
from tests.host.estimators import ESTIMATORS
from tests.keras.on_each.conftest import BACKEND, gradient_of, numbers
from tests.solvers import top_k

ADAPTERS = {
    "min": lambda: ShortestPathAdapter.grid(4, 5),
    "max": lambda: top_k(6, 2),
    "on tensors": lambda: TopKAdapter(6, 2),
}
SETTINGS = [("float32", None), ("float32", 3), ("float64", None), ("float64", 1), ("float16", 3)]


def batch(adapter, dtype, num_samples, seed):
    rng = np.random.default_rng(seed)
    axes = () if num_samples is None else (num_samples,)
    theta = (rng.random((4, *adapter.instance_shape)) + 0.1).astype(dtype)
    return theta, (rng.random((4, *axes, *adapter.solution_shape)) - 0.4).astype(dtype)


def step(layer, theta, weights):
    """Samples of a call in training, and the gradient of their inner product with weights, by the same noise."""

    def loss(t):
        z = layer(t, training=True)
        if BACKEND != "jax":  # there it is traced
            seen.append(z)
        return ops.sum(z * ops.convert_to_tensor(weights))

    seen = []
    if BACKEND == "jax":
        with keras.StatelessScope():  # as in Keras's trainer: what a traced call makes of the seed does not get out
            pulled = gradient_of(loss, theta)
        return layer(ops.convert_to_tensor(theta), training=True), pulled
    pulled = gradient_of(loss, theta)
    return seen[0], pulled


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sense", ADAPTERS)
@pytest.mark.parametrize(("dtype", "num_samples"), SETTINGS)
def test_steps(estimator, sense, dtype, num_samples):
    adapter = ADAPTERS[sense]()
    options = {"num_samples": num_samples, "num_workers": 0}
    layer = front_end.Solver(adapter, estimator=ESTIMATORS[estimator](), seed=3, dtype=dtype, **options)
    expected = SolverLayer(adapter, estimator=ESTIMATORS[estimator](), **options)
    for i in range(2):
        theta, weights = batch(adapter, dtype, num_samples, i)
        leaf = torch.tensor(theta, requires_grad=True)
        expected.generator = layer.generator()
        z = expected(leaf)
        (z * torch.tensor(weights)).sum().backward()
        samples, pulled = step(layer, theta, weights)
        np.testing.assert_array_equal(pulled, leaf.grad.numpy(), strict=True)
        np.testing.assert_array_equal(numbers(samples), z.detach().numpy(), strict=True)
    expected.eval()
    for one, other in (
        (layer(theta), expected(torch.tensor(theta))),
        (layer.map(theta), expected.map(torch.tensor(theta))),
    ):
        np.testing.assert_array_equal(numbers(one), other.numpy(), strict=True)


def test_means_and_samples():
    adapter = ShortestPathAdapter.grid(4, 5)
    layer, expected = front_end.Solver(adapter, seed=1, num_workers=0), SolverLayer(adapter, num_workers=0)
    theta, _ = batch(adapter, "float32", None, 0)
    for name, count in product(("marginals", "sample"), (1, 5)):
        expected.generator = layer.generator()
        ours, theirs = getattr(layer, name)(theta, count), getattr(expected, name)(torch.tensor(theta), count)
        np.testing.assert_array_equal(numbers(ours), theirs.numpy(), strict=True)


def test_bfloat16():
    adapter = ShortestPathAdapter.grid(4, 5)
    layer, expected = front_end.Solver(adapter, seed=1, dtype="bfloat16"), SolverLayer(adapter)
    theta, _ = batch(adapter, "float32", None, 0)
    expected.generator = layer.generator()
    z = layer(theta, training=True)
    assert keras.backend.standardize_dtype(z.dtype) == "bfloat16"
    np.testing.assert_array_equal(numbers(z), expected(torch.tensor(theta).bfloat16()).float().numpy())


def test_losses():
    adapter = ShortestPathAdapter.grid(4, 5)
    theta, _ = batch(adapter, "float32", None, 0)
    truth, _ = batch(adapter, "float32", None, 1)
    layer = SolverLayer(adapter)
    labels = layer.map(torch.tensor(truth))
    loss = front_end.FenchelYoungLoss(front_end.Solver(adapter), 4, seed=7)
    plus = front_end.SPOPlusLoss(front_end.Solver(adapter))
    for drawn in range(2):
        layer.generator = generator_of(np.array([7, drawn], np.uint32))
        leaf = torch.tensor(theta, requires_grad=True)
        FenchelYoungLoss(layer, 4)(leaf, labels).backward()
        pulled = gradient_of(lambda t: loss(ops.convert_to_tensor(labels.numpy()), t), theta)
        np.testing.assert_array_equal(pulled, leaf.grad.numpy(), strict=True)
    leaf = torch.tensor(theta, requires_grad=True)
    value = SPOPlusLoss(layer, "none")(leaf, torch.tensor(truth))
    np.testing.assert_array_equal(numbers(plus.call(truth, ops.convert_to_tensor(theta))), value.detach().numpy())
    value.mean().backward()
    pulled = gradient_of(lambda t: plus(truth, t), theta)
    np.testing.assert_array_equal(pulled, leaf.grad.numpy(), strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
@pytest.mark.parametrize(("lead", "of_each"), [((4,), True), ((4, 2), True), ((4, 2), False)])
def test_hamming_loss(dtype, reduction, lead, of_each):
    adapter = ShortestPathAdapter.grid(4, 5)
    ours = front_end.HammingLoss(front_end.Solver(adapter), reduction=reduction, dtype=dtype)
    theirs = HammingLoss(SolverLayer(adapter), "mean" if reduction == "sum_over_batch_size" else reduction)
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, ((lead if of_each else lead[:1]) + (4, 5))).astype(np.uint8)
    for fractions in (False, True):
        z = rng.integers(0, 5, (*lead, 4, 5)) / 4 if fractions else rng.integers(0, 2, (*lead, 4, 5))
        leaf = torch.tensor(z, dtype=getattr(torch, dtype), requires_grad=True)
        expected = theirs(leaf, torch.from_numpy(target))
        expected.sum().backward()
        z = ops.convert_to_tensor(z.astype(np.float32), dtype)
        value = ours(target, z)
        assert keras.backend.standardize_dtype(value.dtype) == dtype
        value = numbers(ops.cast(value, "float32"))  # of quarters: nothing is rounded
        np.testing.assert_array_equal(value, numbers(expected.float()), strict=True)
        pulled = gradient_of(lambda t: ops.sum(ours(target, t)), z)
        np.testing.assert_array_equal(pulled, numbers(leaf.grad), strict=True)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow alone traces sizes that it does not know")
@pytest.mark.parametrize(("lead", "known"), [((4,), (4,)), ((4, 2), (4, 2)), ((4, 2), (4,))])
def test_hamming_loss_of_sizes_that_are_not_known(lead, known):
    import tensorflow as tf

    loss = front_end.HammingLoss(front_end.Solver(ShortestPathAdapter.grid(4, 5)), reduction="none")
    solutions, target = np.zeros((*lead, 4, 5), np.float32), np.ones((*known, 4, 5), np.float32)
    for unknown in (slice(0, 1), slice(None)):
        specs = []
        for array in (target, solutions):
            sides = list(array.shape)
            sides[unknown] = [None] * len(sides[unknown])
            specs.append(tf.TensorSpec(sides, tf.float32))
        np.testing.assert_array_equal(tf.function(loss, input_signature=specs)(target, solutions), np.full(lead, 20.0))


def test_two_derivatives_are_refused():
    if BACKEND == "torch":
        pytest.skip("PyTorch's layer has a test of its own")
    layer = front_end.Solver(ShortestPathAdapter.grid(4, 5), seed=1)
    theta, _ = batch(layer.adapter, "float32", None, 0)

    def length(t):
        if BACKEND == "jax":
            import jax

            return ops.sum(jax.grad(lambda u: ops.sum(layer(u, training=True) ** 2))(t) ** 2)
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(t)
            value = ops.sum(layer(t, training=True) ** 2)
        return ops.sum(tape.gradient(value, t) ** 2)

    with keras.StatelessScope(), pytest.raises(TypeError, match="cannot be differentiated twice"):
        gradient_of(length, theta)


def test_state_that_adapts_is_the_layers():
    adapter = ShortestPathAdapter.grid(4, 5)
    layer = front_end.Solver(adapter, estimator=AIMLE(), seed=1)
    theta, weights = batch(adapter, "float32", None, 0)
    with keras.StatelessScope():
        gradient_of(lambda t: ops.sum(layer(t, training=True) * ops.convert_to_tensor(weights)), theta)
    assert float(layer.estimator.beta) != 2.0
    assert float(layer.estimator.theta_scale) > 0


@pytest.mark.skipif(BACKEND != "jax", reason="compiled programs of JAX alone leave out what nobody asks for")
def test_aimle_adapts_once_for_each_backward_pass():
    import jax

    adapter = ADAPTERS["min"]()
    theta, weights = batch(adapter, "float32", None, 0)
    steps = []
    for keep in (True, False):  # the gradient
        layer = front_end.Solver(adapter, estimator=AIMLE(), seed=1, num_workers=0)

        @jax.jit
        def step(theta, layer=layer, keep=keep):
            with keras.StatelessScope():
                value, pulled = jax.value_and_grad(lambda t: ops.sum(layer(t, training=True) * weights))(theta)
            return (value, pulled) if keep else value

        for _ in range(3):
            jax.block_until_ready(step(theta))
        jax.effects_barrier()
        steps.append(float(layer.estimator.beta))
    assert steps[0] == steps[1] != float(AIMLE().beta)
