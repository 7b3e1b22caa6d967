"""What one step of training shows of how it learns, while it is solved and differentiated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from imle_solvers.adapter import CLAMPED
from imle_solvers.estimators.base import Solved

KNOWN, IDENTICAL = "solves skipped as known", "solves skipped as identical"
"""Counts, among an adapter's own, the rows that were not solved: of a target that is known, and those solved before."""

_ENTRIES = 2**16
"""Of all draws of the instances that are looked at: enough for shares, and what is made of them stays in a cache."""

Figures = dict[str, Tensor | float]


class Observation:
    """Watches the solves of one call of a layer, and of its backward pass.

    Its figures are tensors without an axis, on theta's device, so that nothing waits for them. What takes temporaries
    is looked at for the first `instances` only, as many as make small ones.

    Args:
        theta: (B, *instance_shape), with at least one entry, detached.
        shared: whether the caller has one theta for all instances, and says so by `expand`; None: it cannot be told.
        sign: turns theta into scores.
        probes: whether to compare samples with MAP states.
        rivals: whether to compare the solutions of instances: they are optima, of one set of feasible solutions.
        noisy: whether theta is perturbed, also where that is lost in rounding; False: it is looked at.
        done: called with the figures after the backward pass; those whose names begin with _ are for warnings.

    Attributes:
        instances: see above.
        counters: what was counted in these solves.
    """

    def __init__(
        self,
        theta: Tensor,
        shared: bool | None,
        sign: int,
        probes: bool,
        rivals: bool,
        noisy: bool,
        done: Callable[[Figures], None],
    ) -> None:
        self._theta = theta
        self._shared = shared
        self._sign = sign
        self._done: Callable[[Figures], None] | None = done
        self._figures: Figures = {}
        self._solves = 0
        self._start: Tensor | None = None
        self._samples: Solved | None = None
        self._dz: Tensor | None = None
        self._step: Tensor | None = None
        self._moved: Tensor | None = None
        self._rivals = rivals
        self._noisy = noisy
        self.probes: bool = probes
        self.instances: int = 0
        self.counters: Counter[str] = Counter()

    def before(self, scores: Tensor) -> None:
        """Takes note of scores that are to be solved, (B, M, *instance_shape); they may be overwritten then."""
        if self._done is None:
            return
        if self._start is None:
            self.instances = min(len(scores), max(1, _ENTRIES // scores[0].numel()))
            theta = _flat(self._theta[: self.instances], 1)
            self._theta = theta if self._sign > 0 else -theta
            self._start = _flat(scores[: self.instances, 0], 1).clone()
            noise = self._start - self._theta
            self._size = torch.linalg.vector_norm(self._theta)
            self._figures["temperature"] = torch.linalg.vector_norm(noise) / self._size
            self.probes = self.probes and (self._noisy or bool(noise.any()))
        elif self._dz is not None and self._step is None:
            self._step = _flat(scores[: self.instances, 0], 1) - self._start

    def after(self, solved: Solved, needed: Tensor | None) -> None:
        """Takes note of their solutions, and of which of them were asked for, (B, M) bool; None: all."""
        if self._done is None:
            return
        self._solves += math.prod(solved.values.shape[:2])
        # Detached: these are what the layer returns, which knows this object, and would never be let go of.
        values = _flat(solved.values.detach()[: self.instances], 2)
        ok = None if solved.ok is None else solved.ok[: self.instances]
        if self._samples is None:
            self._samples = Solved(values, ok)
            if values.shape[1] > 1:
                self._figures["distinct_samples"] = _share((values[:, 1:] != values[:, :1]).any(-1))
            if self.instances > 1 and ok is None:
                self._figures["_same"] = (values == values[:1, :1]).all()
                if self._rivals:
                    self._look_at_rivals(values[:, 0])
        elif self._dz is not None and self._moved is None:
            draws = self._samples.values.shape[1]
            moved = self._samples.values - values[:, -draws:]
            for mask in (ok, needed if needed is None else needed[: self.instances], self._samples.ok):
                if mask is not None:
                    moved = torch.where(mask[:, -draws:, None], moved, 0.0)
            self._moved = moved

    def compare(self, mapped: Solved) -> None:
        """Takes note of MAP states of the first instances, (instances, 1, *solution_shape)."""
        if self._samples is None:
            return
        samples, best = self._samples.values, _flat(mapped.values, 2)
        differs = (samples != best).any(-1)
        for ok in (mapped.ok, self._samples.ok):
            if ok is not None:
                differs = differs & ok
        self._figures["noise_changed"] = _share(differs)
        self._figures["_probed"] = float(differs.numel())
        if best.shape[2] == self._theta.shape[1]:
            scores = self._theta.unsqueeze(1)
            terms = torch.where(differs.unsqueeze(-1), scores * (best - samples), 0.0)
            self._figures["noise_gap"] = terms.sum() / samples.shape[1] / (scores * best).sum().abs()
            self._figures["_better"] = torch.count_nonzero(_below_zero(terms)) / torch.count_nonzero(differs)

    def downstream(self, dz: Tensor) -> None:
        """Takes note of dL/dz, (B, M, *solution_shape), before the gradient is estimated."""
        if self._done is not None:
            self._dz = dz

    def finish(self, gradient: Tensor) -> None:
        """Takes note of the gradient, (B, *instance_shape), and hands over all figures. A second time does nothing."""
        done, self._done = self._done, None
        if done is None or self._dz is None:
            return
        nonzero = _flat(gradient, 1) != 0
        self._figures["nonzero_entries"] = _share(nonzero)
        self._figures["nonzero_instances"] = _share(nonzero.any(1))
        self._look_at_target(_flat(self._dz[: self.instances], 2))
        if self.instances > 1 and not self._shared:
            constant = (self._theta == self._theta[:1]).all()
            self._figures["_constant"] = torch.where(constant, math.nan, 0.0) if self._shared is None else constant
            self._figures["_instances"] = float(self.instances)
        skipped = self.counters[KNOWN] + self.counters[IDENTICAL]
        solved = (self._solves - skipped) * self._theta.shape[1]
        if self.counters[CLAMPED]:  # what was solved is not what was asked
            self._figures.pop("_outdone", None)
            self._figures.pop("_contrary", None)
        self._figures["skipped_solves"] = skipped / self._solves
        self._figures["clamped_costs"] = self.counters[CLAMPED] / max(solved, 1)
        done(self._figures)
        self._start = self._samples = self._dz = self._step = self._moved = None

    def _look_at_rivals(self, values: Tensor) -> None:
        """Compares each solution, (instances, entries), with that of another instance.

        By its own scores it is no worse. And of any two instances, solutions do not go against scores,
        <s - s', z - z'> >= 0, whatever else than scores the solver minds: maxima are cyclically monotone (Rockafellar,
        Convex Analysis, section 24).
        """
        assert self._start is not None
        if values.shape != self._start.shape:
            return
        apart = values - values.roll(1, 0)
        contrary = _below_zero((self._start - self._start.roll(1, 0)) * apart)
        self._figures["_contrary"] = torch.count_nonzero(contrary) / torch.count_nonzero(apart.any(-1))
        terms = self._start * apart
        compared = torch.count_nonzero(terms.any(-1))
        self._figures["_compared"] = compared
        self._figures["_outdone"] = torch.count_nonzero(_below_zero(terms)) / compared

    def _look_at_target(self, dz: Tensor) -> None:
        moved, step = self._moved, self._step
        if moved is None or step is None or moved.shape != dz.shape:
            return
        active = (dz != 0).any(-1)
        changed = (moved != 0).any(-1)
        count = torch.count_nonzero(changed)
        length = self._size / math.sqrt(self.instances) * torch.count_nonzero(active[:, 0])
        self._figures["unchanged_targets"] = 1 - count / changed.numel()
        self._figures["step_length"] = _sum_of_lengths(step, active[:, 0]) / length
        self._figures["_slope"] = _sum_of_lengths(dz[:, 0], active[:, 0]) / length
        self._figures["_active"] = _share(active)
        self._figures["_rising"] = torch.count_nonzero(_below_zero(dz * moved)) / count
        draws = moved.shape[1]
        if draws > 1:
            squares = moved.square().sum()
            self._figures["agreement"] = (moved.sum(1).square().sum() / squares - 1) / (draws - 1)


def _flat(tensor: Tensor, axes: int) -> Tensor:
    """The same with one axis in place of all behind the first ones."""
    return tensor.reshape(*tensor.shape[:axes], math.prod(tensor.shape[axes:]))


def _share(mask: Tensor) -> Tensor:
    return torch.count_nonzero(mask) / mask.numel()


def _below_zero(terms: Tensor) -> Tensor:
    """Whether sums over the last axis are below zero, by more than rounding."""
    return terms.sum(-1) < -1e-3 * terms.abs().sum(-1)


def _sum_of_lengths(rows: Tensor, which: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return lengths.masked_fill(~which, 0).sum()
