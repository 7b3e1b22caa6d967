"""What a layer holds beside what Keras tracks."""

from __future__ import annotations

from dataclasses import dataclass

from imle_solvers.host.plan import HostPlan
from imle_solvers.keras.backends import Backend
from imle_solvers.keras.config import Description


@dataclass(frozen=True, eq=False)
class Held:
    """Of one layer.

    Attributes:
        plan: who solves.
        description: of the adapter, where the layer was made from one.
        executor, num_workers: as they were given; None where an executor was given itself.
        backend: how solves are part of a program.
    """

    plan: HostPlan
    description: Description | None
    executor: str | None
    num_workers: int | None
    backend: Backend
