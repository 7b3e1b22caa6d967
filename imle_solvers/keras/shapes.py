"""Shapes of calls, before all of their sides are known."""

from __future__ import annotations

from collections.abc import Mapping

from imle_solvers.host.plan import HostPlan
from imle_solvers.solving.theta import wrong_shape

Shape = tuple[int | None, ...]
"""None: a side that is not known yet."""


def check(plan: HostPlan, theta: Shape, context: Mapping[str, tuple[Shape, str]]) -> bool:
    """`HostPlan.check`, for which sides that are not known yet are as they should be.

    Raises:
        TypeError, ValueError: see `HostPlan.check`.
    """
    own = plan.adapter.instance_shape
    if len(theta) - len(own) not in (0, 1) or any(
        side not in (None, known) for side, known in zip(theta[len(theta) - len(own) :], own, strict=True)
    ):
        raise wrong_shape(theta, plan.adapter)
    shapes = {name: (shape, _of_one(plan, name, shape)) for name, (shape, _) in context.items()}
    batches = [shape[0] for shape, one in ((theta, own), *shapes.values()) if len(shape) == 1 + len(one)]
    size = next((side for side in batches if side is not None), 1)
    return plan.check(
        _filled(theta, own, size),
        {name: (_filled(*shapes[name], size), dtype) for name, (_, dtype) in context.items()},
    )


def _of_one(plan: HostPlan, name: str, shape: Shape) -> tuple[int, ...]:
    """The shape of that context for one instance, which adapters need not say."""
    declared = plan.adapter.context.get(name)
    return (1,) * (len(shape) - 1) if declared is None else declared


def _filled(shape: Shape, one: tuple[int, ...], size: int) -> tuple[int, ...]:
    sides = one if len(shape) == len(one) else (size, *one)
    return tuple((sides[i] if i < len(sides) else 1) if side is None else side for i, side in enumerate(shape))
