"""What a layer has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from imle_solvers.status import Status


@dataclass
class Stats:
    """Counts since the layer was made, or since `reset`.

    Attributes:
        batches: solved batches, forward and target solves alike.
        instances: solved rows, B times the number of samples for each batch.
        statuses: how many of them ended how.
        counters: what the adapter counted, for example "clamped costs".
    """

    batches: int = 0
    instances: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        """Sets every count to zero."""
        self.batches = self.instances = 0
        self.statuses.clear()
        self.counters.clear()

    def __str__(self) -> str:
        counts = {status.name: count for status, count in sorted(self.statuses.items())} | dict(self.counters)
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"{self.batches} batches, {self.instances} instances" + (f": {listed}" if listed else "")
