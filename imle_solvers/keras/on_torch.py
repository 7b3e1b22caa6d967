"""Keras on PyTorch: the layer itself, so that tensors stay on their device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from imle_solvers.host.plan import Draws, HostPlan
from imle_solvers.host.seeds import generator_of
from imle_solvers.layer import SolverLayer
from imle_solvers.losses import FenchelYoungLoss, SPOPlusLoss


def solve(
    plan: HostPlan,
    draws: Draws,
    theta: Tensor,
    words: Callable[[], Tensor],
    context: dict[str, Any],
    *,
    trains: bool,
) -> Tensor:
    """See `Backend.solve`."""
    layer = plan.layer
    if theta.is_meta:  # Keras asks for shapes alone: no noise may be drawn for that
        batch = theta.shape[: theta.ndim - len(plan.adapter.instance_shape)]
        samples = () if draws.num_samples is None else (draws.num_samples,)
        return theta.new_empty((*batch, *samples, *plan.adapter.solution_shape))
    with _on_device(layer, theta):
        if not draws.perturb:
            return layer.map(theta, **context)
        with _keyed(layer, words().cpu().numpy()):
            if trains:
                layer.num_samples = draws.num_samples
                return layer(theta, **context)
            if draws.num_samples is None:
                return layer.marginals(theta, draws.group, **context)
            return layer.sample(theta, draws.num_samples, **context)


def losses(
    plan: HostPlan,
    loss: FenchelYoungLoss | SPOPlusLoss,
    theta: Tensor,
    others: tuple[Tensor, ...],
    words: Callable[[], Any] | None,
    context: dict[str, Any],
) -> Tensor:
    """See `Backend.losses`."""
    if theta.is_meta:
        return theta.new_empty(theta.shape[:1])
    keyed = contextlib.nullcontext() if words is None else _keyed(plan.layer, words())
    with _on_device(plan.layer, theta), keyed:
        value: Tensor = loss(theta, *others, **context)
        return value


@contextlib.contextmanager
def _keyed(layer: SolverLayer, words: Any) -> Iterator[None]:
    """Within, the layer's noise is that of these words."""
    layer.generator = generator_of(words)
    try:
        yield
    finally:
        layer.generator = None


@contextlib.contextmanager
def _on_device(layer: SolverLayer, theta: Tensor) -> Iterator[None]:
    """Within, what the estimator adapts is where theta is. Keras, which moves its own variables, knows none of it."""
    if any(buffer.device != theta.device for buffer in layer.estimator.buffers()):
        layer.estimator.to(theta.device)
    # Processes of `torch.distributed`, which have the same words, draw noise of their own.
    layer.noise_rank = None
    yield
