"""How a layer has learned over its last steps."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch
from torch import Tensor

from imle_solvers.solving.observation import Observation
from imle_solvers.solving.symptoms import PATIENCE, Symptoms

WINDOW = 8
"""How many steps are kept, of those that were looked at."""

FIRST, EVERY = 8, 64
"""The first steps are all looked at, then one in so many."""

PROBE = 256
"""After 8, 16, 32 and so on, one step in so many has its samples compared with MAP states, which are solved for."""


class Diagnostics:
    """Figures of the last steps, and the warnings that follow from them.

    Nothing waits for the device where they are made: they are read when the next step begins, or later. Threads may
    share it; a copy, also a pickled one, begins anew.

    Args:
        warns: whether there are any warnings.
    """

    def __init__(self, *, warns: bool = True) -> None:
        self._steps = 0
        self._detached = 0
        self._observed = 0
        self._next = 0
        self._next_probe = FIRST
        self._records: deque[_Record] = deque(maxlen=WINDOW)
        self._unread: deque[_Record] = deque(maxlen=WINDOW)
        self._symptoms = Symptoms() if warns else None

    def watch(
        self,
        theta: Tensor,
        prepared: Tensor,
        sign: int,
        *,
        exact: bool = True,
        alike: bool = False,
        noisy: bool = False,
        may_be_shared: bool = False,
    ) -> Observation | None:
        """Begins a step that is to be differentiated; None: it is not looked at.

        Args:
            theta: what the layer was called with.
            prepared: (B, *instance_shape), what is computed with.
            sign: turns it into scores.
            exact: whether solutions are optimal, so that samples may be compared with MAP states.
            alike: whether all instances have the same feasible solutions.
            noisy: whether theta is known to be perturbed.
            may_be_shared: whether one theta for all instances may be meant, without an `expand` that says so.
        """
        if self._unread:
            self._catch_up()
        self._steps += 1
        if self._steps < self._next or prepared.numel() == 0:
            return None
        probes = exact and self._steps >= self._next_probe
        if probes:
            self._next_probe = self._steps + min(self._steps, PROBE)
        shared = None if may_be_shared else theta.shape == prepared.shape and theta.stride()[:1] == (0,)
        return Observation(prepared.detach(), shared, sign, probes, exact and alike, noisy, self._add)

    def detached(self, detached: bool) -> None:
        """Takes note of a call in training mode, and whether theta asks for no gradient."""
        self._detached = self._detached + 1 if detached else 0
        if self._symptoms is not None and self._detached == PATIENCE:
            self._symptoms.look({"_detached": float(self._detached)})

    def _catch_up(self) -> None:
        try:
            while self._unread[0].ready():
                figures = self._unread.popleft().read()
                if self._symptoms is not None:
                    self._symptoms.look(figures)
        except IndexError:  # all are read, here or by another thread
            pass

    def _add(self, figures: dict[str, Tensor | float]) -> None:
        self._observed += 1
        # Not earlier: a forward pass under torch.utils.checkpoint is repeated, and the first has no backward pass.
        self._next = self._steps + (1 if self._observed < FIRST else EVERY)
        record = _Record(figures)
        self._records.append(record)
        self._unread.append(record)

    def read(self, reset: bool = False) -> dict[str, float]:
        """The mean of each figure over the steps that have it."""
        records = [record.read() for record in self._records.copy()]
        names = dict.fromkeys(name for record in records for name in record if not name.startswith("_"))
        if reset:
            self._records.clear()
        means = {}
        for name in names:
            values = [record[name] for record in records if name in record]
            means[name] = math.fsum(values) / len(values)
        return means

    def __reduce__(self) -> tuple[Any, ...]:
        return Diagnostics, ()


class _Record:
    """The figures of a step, on their way from the device."""

    def __init__(self, figures: dict[str, Tensor | float]) -> None:
        self._event: torch.cuda.Event | None = None
        self._names = list(figures)
        tensors = [value for value in figures.values() if isinstance(value, Tensor)]
        self._values: list[float] | Tensor
        if any(tensor.is_cuda for tensor in tensors):
            like = tensors[0]
            values = torch.stack(
                [
                    value.float() if isinstance(value, Tensor) else like.new_full((), value, dtype=torch.float32)
                    for value in figures.values()
                ]
            )
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(values.device))
        else:
            self._values = [float(value) for value in figures.values()]

    def ready(self) -> bool:
        """Whether reading does not wait."""
        return self._event is None or self._event.query()

    def read(self) -> dict[str, float]:
        """All that are finite: others are means of nothing."""
        if isinstance(self._values, Tensor):
            assert self._event is not None
            self._event.synchronize()
            self._values = self._values.tolist()
        values = dict(zip(self._names, self._values, strict=True))
        return {name: value for name, value in values.items() if math.isfinite(value)}
