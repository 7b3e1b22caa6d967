"""Learning with differentiable perturbed optimizers (Berthet et al., NeurIPS 2020, arXiv 2002.08676)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from imle_solvers.arguments import check_count, explain_arguments, is_finite
from imle_solvers.errors import InputError
from imle_solvers.estimators.base import Estimator, Sampling, Saved, Solve, Solved
from imle_solvers.estimators.perturb_and_map import check_noise, like
from imle_solvers.noise.distributions import Normal, ScoredNoise


@explain_arguments()
class PerturbedOptimizer(Estimator):
    """The mean of M perturbed solutions, with the exact gradient of its expectation, estimated without any solve.

    Forward: z = mean_m MAP(theta + sigma * eps_m); multiplicative: MAP(theta * exp(sigma * eps_m - sigma^2 / 2)),
    which keeps signs (Dalle et al. 2022, arXiv 2207.13513). Backward (Proposition 3.1), unbiased for the Jacobian:

        mean_m <z_m, dL/dz> * score(eps_m) / sigma,  divided by theta where multiplicative,

    with score(eps) = -grad log density(eps), which is eps for normal noise. Variance reduction subtracts from each
    <z_m, dL/dz> the mean of the others, which leaves the expectation as it is; it needs M of at least two. Solutions
    may have any shape. In evaluation mode solutions are MAP states, and have no gradient.

    Args:
        noise: with a density, `Normal`, `Gumbel` or one's own with a `score` method; multiplicative: `Normal`.
        sigma: the temperature of the noise, positive.
        num_marginal_samples: M.
        multiplicative: scales theta instead of shifting it.
        variance_reduction: see above.

    Raises:
        TypeError: noise without a score, such as Sum-of-Gamma, which has none in closed form.
        ValueError: a number out of range. `InputError` when solving: theta of zero where multiplicative.
    """

    def __init__(
        self,
        noise: ScoredNoise | None = None,
        *,
        sigma: float = 1.0,
        num_marginal_samples: int = 10,
        multiplicative: bool = False,
        variance_reduction: bool = True,
    ) -> None:
        super().__init__()
        self.noise: ScoredNoise = Normal() if noise is None else noise
        if isinstance(noise, type) or not isinstance(self.noise, ScoredNoise):
            raise TypeError(
                f"PerturbedOptimizer: expected noise with a score, such as Normal() or Gumbel(), got {noise!r}; "
                "without a density in closed form its gradient is unknown"
            )
        check_noise("PerturbedOptimizer", self.noise, "noise with a sample method")
        if not (is_finite(sigma) and sigma > 0):
            raise ValueError(f"PerturbedOptimizer: sigma must be positive and finite, got {sigma!r}")
        check_count("PerturbedOptimizer: ", "num_marginal_samples", num_marginal_samples)
        if multiplicative and not isinstance(self.noise, Normal):
            raise ValueError(f"PerturbedOptimizer: multiplicative noise must be Normal(), got {noise!r}")
        self.sigma = sigma
        self.num_marginal_samples = num_marginal_samples
        self.multiplicative = multiplicative
        self.variance_reduction = variance_reduction

    def draw(self, scores: Tensor, solve: Solve, sampling: Sampling) -> tuple[Solved, Saved]:
        """Solves perturbed scores; `gradient` gets scores, noise, solutions and which are valid."""
        repeated = scores.unsqueeze(1).expand(-1, sampling.draws, *scores.shape[1:])
        if not sampling.perturb:
            solved = solve(repeated)
            return solved, (scores, None, solved.values, solved.ok)
        noise = sampling.noise(self.noise, scores)
        if self.multiplicative:
            _check_nonzero(scores)
            perturbed = repeated * torch.exp(self.sigma * noise - self.sigma**2 / 2)
        else:
            perturbed = repeated + self.sigma * noise
        solved = solve(perturbed, owned=True)
        return solved, (scores, noise, solved.values, solved.ok)

    def gradient(self, saved: Saved, dz: Tensor, solve: Solve, sampling: Sampling) -> Tensor:
        """The sum over samples of the mean over their draws."""
        scores, noise, values, ok = saved
        if noise is None:
            return torch.zeros_like(scores)
        weights = (values * dz).reshape(*values.shape[:2], math.prod(values.shape[2:])).sum(-1)
        if self.variance_reduction and sampling.group > 1:
            groups = weights.unflatten(1, (sampling.num_samples, sampling.group))
            others = (groups.sum(2, keepdim=True) - groups) / (sampling.group - 1)
            weights = (groups - others).flatten(1)
        if ok is not None:
            weights = torch.where(ok, weights, 0.0)
        score = self.noise.score(noise)
        gradient = (like(weights, score) * score).sum(1) / (sampling.group * self.sigma)
        return gradient / scores if self.multiplicative else gradient

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"noise={self.noise!r}, sigma={self.sigma}, num_marginal_samples={self.num_marginal_samples}, "
            f"multiplicative={self.multiplicative}, variance_reduction={self.variance_reduction}"
        )


def _check_nonzero(scores: Tensor) -> None:
    zero = scores == 0
    if bool(zero.any()):
        where = zero.nonzero()[0].tolist()
        raise InputError(
            f"multiplicative noise cannot move theta that is zero, as it is at {tuple(where[1:])}; use additive noise, "
            "or keep theta away from zero",
            where[0],
        )
