"""When the target's solution is known without solving.

Let z be optimal for scores s, and t = s + d the target's scores, with solutions of zeros and ones. If d is nowhere
negative where z is one, and nowhere positive where z is zero, then z is optimal for t: any other solution z' has

    <t, z> - <t, z'> = (<s, z> - <s, z'>) + sum_i d_i (z_i - z'_i) >= 0,

the first term since z is optimal for s, each term of the sum since z_i - z'_i is 0 or 1 where z_i is one, and 0 or -1
where z_i is zero. No rival gains more from the step than z does. With Hamming's loss it holds for every sample that
equals its label, so for most of them late in training; and wherever dL/dz is zero.

If several solutions are optimal for t, a solver may return another one of them than z.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from imle_solvers.estimators.base import Solve, Solved
from imle_solvers.pytorch.blocks import rows_at_once
from imle_solvers.pytorch.graph_break import graph_break

_FEW = 64
"""Entries of a step that are looked at first: they nearly always tell that the rest need not be."""


def find_known(
    target: Tensor, scores: Tensor, noise: Tensor | None, temperature: float, solved: Solved
) -> Tensor | None:
    """Which of the target's solutions are those of the samples, as shown above.

    Args:
        target: (B, M, *shape), or one for all draws, (B, 1, *shape), the scores to solve, of a solver with solutions of
            zeros and ones.
        scores: (B, *shape); with the noise, (B, M, *shape), times its temperature, those that were solved.
        noise: None: none.
        temperature: of the noise.
        solved: their solutions.

    Returns:
        (B, M) bool; None if there are none.
    """
    batch, draws = solved.values.shape[:2]
    if target.shape[1] != draws:  # one for all samples, by a function of the user's
        return None
    entries = math.prod(target.shape[2:])
    if entries == 0:
        return None
    tensors = [target, solved.values]
    if noise is not None and temperature != 0:
        tensors.append(noise)
    rows = [tensor.reshape(batch, draws, entries) for tensor in tensors]
    plain = scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64)
    find = _find_on_host if plain and all(tensor.dtype == scores.dtype for tensor in tensors) else _find_on_device
    known = find(temperature, scores.reshape(batch, entries), *rows)
    return known if known is None or solved.ok is None else known & solved.ok


@graph_break
def _find_on_host(
    temperature: float, scores: Tensor, target: Tensor, values: Tensor, noise: Tensor | None = None
) -> Tensor | None:
    from imle_solvers.estimators import certificate_kernels  # here, as Numba takes a while to import

    known = torch.empty(target.shape[:2], dtype=torch.bool, device=target.device)
    target_, values_, scores_, noise_ = (
        tensor.detach().resolve_neg().contiguous().numpy()
        for tensor in (target, values, scores, target if noise is None else noise)
    )
    found = certificate_kernels.mark_known(
        target_, values_, scores_, noise_, float(temperature), noise is not None, _adds_fused(), known.numpy()
    )
    return known if found else None


@functools.cache
def _adds_fused() -> bool:
    """Whether `torch.add` rounds once where it multiplies by alpha: on most processors, and the kernel must, too."""
    one, other = (torch.full((64,), value, device="cpu") for value in (-1 - 2.0**-11, 1 + 2.0**-12))
    return bool(torch.add(one, other, alpha=1 + 2.0**-12)[0] != 0)


def _find_on_device(
    temperature: float, scores: Tensor, target: Tensor, values: Tensor, noise: Tensor | None = None
) -> Tensor | None:
    batch, draws, entries = target.shape
    rows = [target, values, *([] if noise is None else [noise])]
    before = scores.unsqueeze(1)
    likely = _favoured(temperature, before[..., :_FEW], *(tensor[..., :_FEW] for tensor in rows)).nonzero()
    if len(likely) == 0:
        return None
    known = torch.zeros(batch, draws, dtype=torch.bool, device=target.device)
    for part in likely.split(rows_at_once(target, entries)):
        instance, draw = part.unbind(1)
        known[instance, draw] = _favoured(
            temperature, before[instance, 0], *(tensor[instance, draw] for tensor in rows)
        )
    return known


def _favoured(
    temperature: float, scores: Tensor, target: Tensor, values: Tensor, noise: Tensor | None = None
) -> Tensor:
    """Whether the step favours the solution in these entries, the last axis of all tensors."""
    step = target - (scores if noise is None else torch.add(scores, noise, alpha=temperature))
    # Turned around where z is one, a step that favours z is nowhere positive. Neither is one that is not finite; its
    # NaN must come out.
    turned = torch.rsub(values, 1, alpha=2).mul_(step)
    return (turned.amax(-1) <= 0) & (turned.amin(-1) > -math.inf)


def solve_unknown(solve: Solve, target: Tensor, known: Tensor | None, solved: Solved, owned: bool) -> Solved:
    """Solves the target, but for what is known.

    Args:
        solve: the solver.
        target: (B, M, *shape), the scores to solve.
        known: (B, M) bool, of which solutions are known; None: of none.
        solved: the known solutions.
        owned: whether the target may be overwritten.
    """
    if known is None:
        return solve(target, owned=owned, skip_nonfinite=True)
    fresh = solve(target, needed=~known, owned=owned, skip_nonfinite=True)
    mask = known.reshape(*known.shape, *(1 for _ in solved.values.shape[2:]))
    out = fresh.values if fresh.owned and fresh.values.dtype == solved.values.dtype else None
    return Solved(torch.where(mask, solved.values, fresh.values, out=out), fresh.ok, owned=True)
