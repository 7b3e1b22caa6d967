"""How a batch was solved, and what it took."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """How one batch was solved. Times are in seconds.

    Attributes:
        executor: "serial", "threads", "processes" or the like.
        num_workers: how many solves could run side by side.
        total: from the batch's arrival at the executor until its solutions were there.
        copying: of it, moving arrays to the workers' memory and back.
        timeout: the executor's limit that ended rows with TIMEOUT, in words; None: none did.
        crash: how worker processes ended on rows that are CRASHED for that, in words; None: none are.
        chunks: rows, and the time that solving them took, for each part that was solved on its own.
    """

    executor: str
    num_workers: int = 1
    total: float = 0.0
    copying: float = 0.0
    timeout: str | None = None
    crash: str | None = None
    chunks: list[tuple[int, float]] = field(default_factory=list)

    @property
    def solving(self) -> float:
        """The time in solvers, summed over workers that ran side by side."""
        return sum(seconds for _, seconds in self.chunks)

    @property
    def waiting(self) -> float:
        """What is left of the total: messages, queues, and workers that had nothing more to do."""
        side_by_side = max(1, min(self.num_workers, len(self.chunks)))
        return max(0.0, self.total - self.copying - self.solving / side_by_side)
