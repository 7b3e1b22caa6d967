"""What the tests of each backend share."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Keras and its backends warn of each other
    import keras
    from keras import ops

    BACKEND = keras.backend.backend()
    if BACKEND == "tensorflow":
        import tensorflow as tf
    elif BACKEND == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)


def pytest_collection_modifyitems(items):
    for item in items:  # of Keras, h5py and TensorFlow about NumPy and Python
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))
        item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


def numbers(tensor):
    """A tensor of any backend as a numpy array, half precision in float32."""
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    array = np.asarray(tensor)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def gradient_of(loss, theta):
    """dL/dtheta, whatever the backend."""
    if BACKEND == "torch":
        leaf = ops.convert_to_tensor(theta).requires_grad_()
        loss(leaf).backward()
        return numbers(leaf.grad)
    if BACKEND == "jax":
        return numbers(jax.jit(jax.grad(loss))(ops.convert_to_tensor(theta)))
    leaf = tf.convert_to_tensor(theta)
    with tf.GradientTape() as tape:
        tape.watch(leaf)
        value = loss(leaf)
    return numbers(tape.gradient(value, leaf))
