"""Adaptive I-MLE (Minervini, Franceschi, Niepert, AAAI 2023, arXiv 2209.04862)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.distributed
from torch import Tensor

from imle_solvers.arguments import explain_arguments, is_finite
from imle_solvers.estimators.base import Sampling, Saved, Solve, Solved
from imle_solvers.estimators.certificate import solve_unknown
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP, difference, like, shift
from imle_solvers.estimators.relative import Relative
from imle_solvers.noise.distributions import Noise

_AS_MANY = Relative(1.0)


@explain_arguments()
class AIMLE(PerturbAndMAP):
    """I-MLE whose target step adapts until its gradient has about as many non-zeros a sample as the sample itself.

    It starts from a step that learns. What was published is
    `AIMLE(initial_beta=0.0, target_norm=1.0, step=1e-4, input_noise_temperature=1.0)`.

    Forward: z_s = MAP(theta + tau_in * eps_s), eps_s ~ noise.
    Backward (paper, section 4), with lambda = beta * ||theta|| / ||dL/dz||:

        forward difference  mean_s [ z_s - MAP(alpha * theta - lambda dL/dz_s + tau_target eps_s) ] / lambda
        central difference  mean_s [ MAP(alpha * theta + lambda dL/dz_s + tau_target eps_s)
                                     - MAP(alpha * theta - lambda dL/dz_s + tau_target eps_s) ] / (2 lambda)

    After each backward pass, with n the decaying mean of the non-zeros in a sample's difference:
    n <- decay * n + (1 - decay) * non-zeros, and beta moves by `step`, up if n < `target_norm`, else down, not below 0.

    Samples that failed, or whose downstream gradient is zero or not finite, do not count, and a pass without any other
    does not move the state. The state is in buffers: it is saved, copied and moved with the model, stays on the device
    without synchronisation, keeps its precision where the model is cast to another, and is averaged over the ranks of
    `torch.distributed`, so that all take the same step. It costs one solve a sample forward, and backward at most one
    (forward difference) or two in one batch (central).

    Args:
        noise, input_noise_temperature, target_noise_temperature, num_marginal_samples: see `IMLE`.
        symmetric: central instead of forward difference.
        per_instance: norms, and with them lambda, for each instance instead of one for the batch, as published.
        alpha: the weight of theta in the target.
        initial_beta: beta at the start; None: 2, or 0.5 where `symmetric`, which steps to both sides. The paper's
            experiments start from 0, the published code from 1.
        initial_norm: n at the start.
        target_norm: the number of non-zeros to aim at, 1 as published, 10 in the paper's discrete VAE; or `Relative`,
            to the number that a drawn solution has.
        step: eta, by how much beta moves; 1e-4 as published, 1e-3 in the paper's experiments with NRI and discrete
            VAEs.
        momentum: how much of its last move beta makes again.
        decay: of n.
        skip_known: whether target solutions that are known are not solved for, see `estimators.certificate`.

    Raises:
        ValueError: a number out of range.
    """

    beta: Tensor
    norm: Tensor
    last_move: Tensor

    def __init__(
        self,
        noise: Noise | Literal["auto"] | None = "auto",
        *,
        symmetric: bool = False,
        per_instance: bool = False,
        alpha: float = 1.0,
        initial_beta: float | None = None,
        initial_norm: float = 1.0,
        target_norm: float = _AS_MANY,
        step: float = 1e-3,
        momentum: float = 0.0,
        decay: float = 0.9,
        input_noise_temperature: float | None = None,
        target_noise_temperature: float | None = None,
        num_marginal_samples: int = 1,
        skip_known: bool = True,
    ) -> None:
        super().__init__(
            noise,
            input_noise_temperature=input_noise_temperature,
            target_noise_temperature=target_noise_temperature,
            num_marginal_samples=num_marginal_samples,
            skip_known=skip_known,
        )
        if initial_beta is None:
            initial_beta = 0.5 if symmetric else 2.0
        for name, value, low, high in (
            ("alpha", alpha, -math.inf, math.inf),
            ("initial_beta", initial_beta, 0.0, math.inf),
            ("initial_norm", initial_norm, 0.0, math.inf),
            ("target_norm", target_norm, 0.0, math.inf),
            ("step", step, 0.0, math.inf),
            ("momentum", momentum, 0.0, 1.0),
            ("decay", decay, 0.0, 1.0),
        ):
            if not (is_finite(value) and low <= value <= high):
                raise ValueError(f"AIMLE: {name} must be finite and from {low} to {high}, got {value!r}")
        self.symmetric = symmetric
        self.per_instance = per_instance
        self.alpha = alpha
        self.target_norm = target_norm
        self.step = step
        self.momentum = momentum
        self.decay = decay
        self.register_buffer("beta", torch.tensor(initial_beta, dtype=torch.float64))
        self.register_buffer("norm", torch.tensor(initial_norm, dtype=torch.float64))
        self.register_buffer("last_move", torch.tensor(0.0, dtype=torch.float64))

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """The mean finite difference; then adapts beta."""
        scores, noise, values, ok = saved
        if ok is not None:
            dz = torch.where(like(ok, dz), dz, 0.0)
        active = self._active(dz)
        size = self.step_size(scores.unsqueeze(1).expand_as(dz), torch.where(like(active, dz), dz, 0.0))
        center = self.alpha * scores.unsqueeze(1)
        target = shift(center - size * dz, noise, self.target_noise_temperature)
        solved = Solved(values, ok)
        known = self._known(solve, target, scores, noise, solved)
        if self.symmetric:
            other = shift(center + size * dz, noise, self.target_noise_temperature)
            masks = [
                torch.zeros_like(active) if mask is None else mask
                for mask in (self._known(solve, other, scores, noise, solved), known)
            ]
            targets, known = torch.cat([other, target], dim=1), torch.cat(masks, dim=1)
            both = solve_unknown(solve, targets, known, solved.repeat(2), owned=True)
            ahead, behind = both.split(sampling.draws)
            moved = difference(ahead, behind)
        else:
            moved = difference(solved, solve_unknown(solve, target, known, solved, owned=True))
        counting = active
        if sampling.group > 1:
            groups = (sampling.num_samples, sampling.group)
            moved, active = moved.unflatten(1, groups).mean(2), active.unflatten(1, groups).any(2)
        self._adapt(moved, active, values, counting)
        width = 2 * size if self.symmetric else size
        return (moved / torch.where(width > 0, width, 1.0)).mean(1)

    def _active(self, dz: Tensor) -> Tensor:
        """(B, S) bool: which samples have a downstream gradient to step along."""
        rows = dz.reshape(*dz.shape[:2], math.prod(dz.shape[2:]))
        return rows.isfinite().all(-1) & (rows != 0).any(-1)

    def step_size(self, scores: Tensor, dz: Tensor) -> Tensor:
        """Lambda, broadcastable to (B, S, *instance_shape); 0 where there is nothing to step along."""
        axes = list(range(1 if self.per_instance else 0, dz.ndim))
        lengths = [torch.linalg.vector_norm(tensor, dim=axes, keepdim=True) for tensor in (scores, dz)]
        # Theta of zero counts as one of length one, as good as any: a network that starts there would stay.
        size = self.beta.to(scores) * torch.where(lengths[0] > 0, lengths[0], 1.0) / lengths[1]
        return torch.where(lengths[1] > 0, size, 0.0)

    @torch.no_grad()
    def _adapt(self, moved: Tensor, active: Tensor, values: Tensor, counting: Tensor) -> None:
        """Moves beta.

        Args:
            moved: (B, S, *shape), the samples' differences.
            active: (B, S) bool, which of them count.
            values: (B, S * M, *shape), the draws.
            counting: (B, S * M) bool, which of these do.
        """
        sizes = [(moved.ne(0) & like(active, moved)).sum(), active.sum()]
        if isinstance(self.target_norm, Relative):
            sizes += [(values.ne(0) & like(counting, values)).sum(), counting.sum()]
        counts = torch.stack(sizes).to(torch.float64)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
        nonzeros, rows = counts[:2]
        norm = self.decay * self.norm + (1 - self.decay) * nonzeros / rows.clamp(min=1)
        goal = self.target_norm * (counts[2] / counts[3].clamp(min=1) if len(counts) > 2 else torch.ones_like(norm))
        direction = torch.where(norm < goal, 1.0, -1.0).to(norm)
        move = self.momentum * self.last_move + self.step * direction
        for state, new in ((self.beta, (self.beta + move).clamp(min=0)), (self.norm, norm), (self.last_move, move)):
            state.copy_(torch.where(rows > 0, new, state))

    def extra_repr(self) -> str:
        """The arguments that say what it does; the state is in the buffers."""
        settings: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("symmetric", "per_instance", "alpha", "target_norm", "step", "momentum", "decay")
        }
        return f"{super().extra_repr()}, " + ", ".join(f"{name}={value}" for name, value in settings.items())
