"""Implicit maximum likelihood estimation (Niepert, Minervini, Franceschi, NeurIPS 2021, arXiv 2106.01798)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from imle_solvers.arguments import explain_arguments
from imle_solvers.estimators.base import Sampling, Saved, Solve, Solved
from imle_solvers.estimators.certificate import solve_unknown
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP, mean_difference, shift
from imle_solvers.estimators.relative import Relative
from imle_solvers.estimators.target import HammingTarget, Target
from imle_solvers.noise.distributions import Noise


@explain_arguments()
class IMLE(PerturbAndMAP):
    """I-MLE: perturb-and-MAP forward, the difference to a target distribution's MAP backward.

    Forward (paper, Eq. 4), for each sample s: z_s = MAP(theta + tau_in * eps_s), eps_s ~ noise.
    Backward (Algorithm 1), under the same noise: mean_s [ z_s - MAP(theta'_s + tau_target * eps_s) ] with
    theta'_s = alpha * theta - beta * dL/dz_s. The forward solution is kept, not solved again.

    It costs one solve a sample forward, and at most one backward. The solution must have theta's shape. Where dL/dz or
    the target is not finite, the instance's gradient is NaN and the other instances' are right, so that a gradient
    scaler sees and skips such steps.

    Args:
        noise: what perturbs theta. "auto": Sum-of-Gamma with the adapter's number of ones where that is known, else
            Gumbel. None: no noise.
        target: the target distribution, `Target`, `HammingTarget` or a function of scores (B, 1, *instance_shape) and
            dL/dz (B, S, *instance_shape) in max form; None: `Target(beta=Relative(2.0))`, a step of twice theta's
            length, which needs no tuning: of any scale of theta and of the loss the same is learned. So is of each
            instance, however small its share of the loss, but where it has none.
        input_noise_temperature: tau_in, 0 or more, or `Relative`; None: that of the target, and where that is None,
            too, `Relative(0.3)`: noise of 0.3 times the standard deviation that theta's entries had in the first batch.
        target_noise_temperature: tau_target, likewise; None: that of the input.
        num_marginal_samples: M; each sample is the mean of M draws, each of which gets its downstream gradient.
        scale_gradient: divides the gradient by the target's beta, which makes it a finite difference.
        skip_known: whether target solutions that are known are not solved for, see `estimators.certificate`.

    Raises:
        ValueError: a number out of range, or `scale_gradient` with a target that has no beta, or a relative one.
        TypeError: `noise` without a `sample` method, or a target that is not callable.
    """

    def __init__(
        self,
        noise: Noise | Literal["auto"] | None = "auto",
        target: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        input_noise_temperature: float | None = None,
        target_noise_temperature: float | None = None,
        num_marginal_samples: int = 1,
        scale_gradient: bool = False,
        skip_known: bool = True,
    ) -> None:
        super().__init__(
            noise,
            input_noise_temperature=input_noise_temperature,
            target_noise_temperature=target_noise_temperature,
            num_marginal_samples=num_marginal_samples,
            skip_known=skip_known,
        )
        self.target: Callable[[Tensor, Tensor], Tensor] = Target(beta=Relative(2.0)) if target is None else target
        if isinstance(target, type) or not callable(self.target):
            raise TypeError(f"IMLE: expected a target such as Target(alpha=1.0, beta=10.0), got {target!r}")
        if scale_gradient and not isinstance(self.target, Target):
            raise ValueError(f"IMLE: scale_gradient divides by the beta of a Target, which {target!r} does not have")
        if scale_gradient and isinstance(getattr(self.target, "beta", None), Relative):
            raise ValueError(
                f"IMLE: scale_gradient divides by a beta that is a number, got {self.target!r}; give "
                "target=Target(beta=10.0), or take AIMLE, which divides by a step relative to theta"
            )
        self.scale_gradient = scale_gradient

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """The mean difference between samples and targets."""
        scores, noise, values, ok = saved
        solved = Solved(values, ok)
        target = self.target(scores.unsqueeze(1), dz)
        fresh = type(self.target) in (Target, HammingTarget)  # who knows what a function of the user's returns
        perturbed = shift(target, noise, self.target_noise_temperature, owned=fresh)
        owned = fresh or perturbed is not target
        del target  # each of these is as large as all samples, and what is not needed makes room for their solutions
        known = self._known(solve, perturbed, scores, noise, solved)
        del saved, scores, noise, values
        behind = solve_unknown(solve, perturbed, known, solved, owned)
        del perturbed
        gradient = mean_difference(solved, behind)
        if self.scale_gradient:
            assert isinstance(self.target, Target)
            gradient = gradient / self.target.beta
        return gradient

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{super().extra_repr()}, target={self.target!r}"
