"""Shapes of calls, before all of their sides are known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

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
    shapes = ((shape, _of_one(plan, name, shape)) for name, (shape, _) in context.items())
    first, *others = filled((theta, own), *shapes)
    dtypes = (dtype for _, dtype in context.values())
    return plan.check(first, dict(zip(context, zip(others, dtypes, strict=True), strict=True)))


def filled(*shapes: tuple[Shape, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Shapes whose unknown sides are as they should be: the first ones those of the others, or 1, the last ones known.

    Args:
        shapes: each with that of one instance, its last sides.
    """
    fronts = [shape[: max(len(shape) - len(own), 0)] for shape, own in shapes]
    sizes = [next((side for side in sides if side is not None), 1) for sides in zip_longest(*fronts)]
    return [
        tuple(size if side is None else side for side, size in zip(shape, (*sizes[: len(front)], *own), strict=False))
        for (shape, own), front in zip(shapes, fronts, strict=True)
    ]


def _of_one(plan: HostPlan, name: str, shape: Shape) -> tuple[int, ...]:
    """The shape of that context for one instance, which adapters need not say."""
    declared = plan.adapter.context.get(name)
    return (1,) * (len(shape) - 1) if declared is None else declared
