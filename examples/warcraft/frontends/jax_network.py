"""The front of ResNet18 in Equinox, as `examples.warcraft.resnet` has it in PyTorch."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
from equinox import nn

Array = Any
State = Any

_kaiming = jax.nn.initializers.variance_scaling(2.0, "fan_out", "normal", in_axis=1, out_axis=0)


def convolution(key: Array, channels: int, out_channels: int, kernel: int, stride: int, padding: int) -> nn.Conv2d:
    """Without bias, and with weights as in the PyTorch network."""
    made = nn.Conv2d(channels, out_channels, kernel, stride, padding, use_bias=False, key=key)
    return eqx.tree_at(lambda layer: layer.weight, made, _kaiming(key, made.weight.shape))


def normalisation(channels: int) -> nn.BatchNorm:
    """With the rates of PyTorch's."""
    return nn.BatchNorm(channels, axis_name="batch", eps=1e-5, momentum=0.9, mode="batch")


class ResidualBlock(eqx.Module):  # type: ignore[misc]
    """The basic block of ResNet18 where neither channels nor side change: (C, H, W) -> (C, H, W)."""

    convolutions: list[nn.Conv2d]
    norms: list[nn.BatchNorm]

    def __init__(self, key: Array, channels: int) -> None:
        self.convolutions = [convolution(each, channels, channels, 3, 1, 1) for each in jax.random.split(key)]
        self.norms = [normalisation(channels) for _ in range(2)]

    def __call__(self, features: Array, state: State) -> tuple[Array, State]:
        inner, state = self.norms[0](self.convolutions[0](features), state)
        inner, state = self.norms[1](self.convolutions[1](jax.nn.relu(inner)), state)
        return jax.nn.relu(inner + features), state


class CostNetwork(eqx.Module):  # type: ignore[misc]
    """Predicts the costs of tiles; its state are the running means of normalisation.

    Args:
        key: of its weights.
        size: tiles along a side, k.
    """

    first: nn.Conv2d
    norm: nn.BatchNorm
    pool: nn.MaxPool2d
    blocks: list[ResidualBlock]
    to_tiles: nn.AdaptiveMaxPool2d

    def __init__(self, key: Array, size: int) -> None:
        first, *others = jax.random.split(key, 3)
        self.first = convolution(first, 3, 64, 7, 2, 3)
        self.norm = normalisation(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.blocks = [ResidualBlock(each, 64) for each in others]
        self.to_tiles = nn.AdaptiveMaxPool2d(size)

    def __call__(self, image: Array, state: State) -> tuple[Array, State]:
        """Costs of an image's tiles, (3, 8k, 8k) -> (k, k)."""
        features, state = self.norm(self.first(image), state)
        features = self.pool(jax.nn.relu(features))
        for block in self.blocks:
            features, state = block(features, state)
        return self.to_tiles(features).mean(0), state  # of what comes out of a ReLU, never below zero


def costs(network: CostNetwork, state: State, images: Array) -> tuple[Array, State]:
    """Costs of a batch of images as they are in files, (B, 8k, 8k, 3) uint8 -> (B, k, k), and the state after it."""
    scaled = images.transpose(0, 3, 1, 2).astype(network.first.weight.dtype) / 255
    return jax.vmap(network, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(scaled, state)  # type: ignore[no-any-return]
