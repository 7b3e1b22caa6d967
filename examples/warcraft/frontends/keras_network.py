"""The front of ResNet18 in Keras, as `examples.warcraft.resnet` has it in PyTorch, and the solver behind it."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from imle_solvers.keras import Solver

Tensor = Any


def backend() -> str:
    """Keras's, which KERAS_BACKEND names."""
    named: str = keras.backend.backend()
    return named


def convolution(features: Tensor, channels: int, kernel: int, stride: int = 1) -> Tensor:
    """With the padding of PyTorch's, without bias, and normalised with the rates of PyTorch's."""
    features = layers.ZeroPadding2D(kernel // 2)(features)
    kaiming = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    features = layers.Conv2D(channels, kernel, stride, use_bias=False, kernel_initializer=kaiming)(features)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(features)


def residual_block(features: Tensor) -> Tensor:
    """The basic block of ResNet18 where neither channels nor side change: (B, H, W, C) -> (B, H, W, C)."""
    channels = features.shape[-1]
    inner = layers.ReLU()(convolution(features, channels, 3))
    return layers.ReLU()(layers.Add()([convolution(inner, channels, 3), features]))


def cost_network(size: int) -> keras.Model:
    """Costs of tiles from images as they are in files, (B, 8k, 8k, 3) of 0 to 255 -> (B, k, k)."""
    images = keras.Input((8 * size, 8 * size, 3))
    features = layers.ReLU()(convolution(layers.Rescaling(1 / 255)(images), 64, 7, stride=2))
    features = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(features))  # zeros: the least that a ReLU gives
    for _ in range(2):
        features = residual_block(features)
    tiles = layers.MaxPooling2D(2)(features)
    return keras.Model(images, keras.ops.mean(tiles, axis=-1))  # of what comes out of a ReLU, never below zero


class PathModel(keras.Model):  # type: ignore[misc]
    """Cheapest paths by predicted costs: means of samples in training, else those of least cost.

    Args:
        network: as `cost_network` makes it.
        solver: of grids of its size.
        samples: perturbed paths per map in training.
    """

    def __init__(self, network: keras.Model, solver: Solver, samples: int) -> None:
        super().__init__()
        self.network, self.solver, self.samples = network, solver, samples

    def build(self, images_shape: Any) -> None:
        """The network is."""

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """(B, 8k, 8k, 3) -> (B, k, k)."""
        costs = self.network(images, training=training)
        return self.solver.marginals(costs, self.samples) if training else self.solver.map(costs)
