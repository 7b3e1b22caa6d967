"""What learning has to beat: an encoder that has not learned, random trees, and the tree of nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from examples.relational_inference.training import Model, Systems, edge_shares, evaluate


def baselines(model: Model, systems: Systems) -> Iterator[tuple[str, dict[str, float]]]:
    """Names and metrics of the baselines.

    Args:
        model: untrained, with spanning trees as latents.
        systems: held-out ones.
    """
    yield "untrained", evaluate(model, systems)._asdict()
    with torch.no_grad():
        yield "random", _shares(model.latent(torch.zeros_like(systems.influence)), systems)
        last = systems.tracks[:, -1, :, :2]
        yield "nearest", _shares(model.latent.mode(-torch.cdist(last, last)), systems)


def _shares(found: Tensor, systems: Systems) -> dict[str, float]:
    means = [share.double().mean().item() for share in edge_shares(found, systems.influence)]
    return dict(zip(("accuracy", "precision", "recall"), means, strict=True))
