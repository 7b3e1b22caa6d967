"""The score-function gradient of an expected loss (REINFORCE, Williams 1992)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imle_solvers.arguments import check_count, explain_arguments
from imle_solvers.estimators.perturb_and_map import PerturbAndMAP
from imle_solvers.layer import SolverLayer
from imle_solvers.losses.common import check_layer
from imle_solvers.noise.distributions import ScoredNoise
from imle_solvers.pytorch.graph_break import graph_break


@explain_arguments()
class ScoreFunctionLoss(nn.Module):
    """The expected loss of sampled solutions, differentiated by its score function (REINFORCE, Williams 1992).

    E l(MAP(theta + tau eps)) over the noise of the layer's estimator, with the unbiased gradient
    mean_s (l_s - b_s) score(eps_s) / tau, where b_s is the mean loss of the other samples. The loss is any function,
    differentiable or not; solutions may have any shape. No solves beyond the forward ones. A relative temperature
    goes by the first theta.

    Args:
        layer: whose estimator perturbs with noise that has a density, as `IMLE(Normal())` does.
        loss: `loss(z)`, from solutions (B, S, *solution_shape) to losses (B, S).
        num_samples: S, at least 2 where `baseline`.
        baseline: whether to subtract b_s, which lowers the variance.

    Raises:
        TypeError: noise without a density in closed form, such as Sum-of-Gamma, or an estimator that is no kin of
            `IMLE`, such as `PerturbedOptimizer`.
        ValueError: too few samples, or no noise.
    """

    def __init__(
        self, layer: SolverLayer, loss: Callable[[Tensor], Tensor], num_samples: int = 10, baseline: bool = True
    ) -> None:
        super().__init__()
        check_layer("ScoreFunctionLoss", layer)
        if not callable(loss):
            raise TypeError(f"ScoreFunctionLoss: expected a function of solutions as loss, got {loss!r}")
        estimator = layer.estimator
        if not isinstance(estimator, PerturbAndMAP):
            raise TypeError(
                f"ScoreFunctionLoss: expected a layer whose estimator perturbs theta, such as IMLE(Normal()), got "
                f"{type(estimator).__name__}"
            )
        if not isinstance(estimator.noise, ScoredNoise):
            raise TypeError(
                f"ScoreFunctionLoss: expected a layer with noise that has a score, such as IMLE(Normal()), got noise "
                f"{estimator.noise!r}; without a density in closed form its score is unknown"
            )
        if estimator.input_noise_temperature == 0:
            raise ValueError("ScoreFunctionLoss: expected an input_noise_temperature above 0, got 0")
        check_count("ScoreFunctionLoss: ", "num_samples", num_samples, least=1 + baseline)
        self.layer = layer
        self.loss = loss
        self.num_samples = num_samples
        self.baseline = baseline

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, **context: Any) -> Tensor: ...

    @graph_break
    def forward(self, theta: Tensor, **context: Any) -> Tensor:
        """The mean loss, a scalar, whose gradient in theta (B, *instance_shape) is the score function's.

        Raises:
            ValueError: theta is not what the adapter takes, or losses are not (B, S).
        """
        estimator = self.layer.estimator
        assert isinstance(estimator, PerturbAndMAP)
        assert isinstance(estimator.noise, ScoredNoise)
        with torch.no_grad():
            prepared, solve, _ = self.layer.prepare(theta, context)
            scores = solve.sign * prepared
            estimator.fix_first_scale(prepared)
            sampling = self.layer.sampling(self.num_samples)
            _, (_, noise, values, ok) = estimator.draw(scores, solve, sampling)
            losses = self.loss(values.to(theta.dtype))
            if losses.shape != values.shape[:2]:
                raise ValueError(
                    f"ScoreFunctionLoss: expected losses of shape {tuple(values.shape[:2])}, got {tuple(losses.shape)}"
                )
            if ok is not None:
                losses = torch.where(ok, losses, 0.0)
            advantage = losses
            if self.baseline:
                advantage = (losses - losses.mean(1, keepdim=True)) * self.num_samples / (self.num_samples - 1)
            if ok is not None:
                advantage = torch.where(ok, advantage, 0.0)
            unit, temperature = estimator.noise_unit(estimator.noise, scores), estimator.input_noise_temperature
            if unit is None:
                score = estimator.noise.score(noise) / temperature
            else:
                score = estimator.noise.score(noise / unit) / (temperature * unit)
            weighted = (advantage.reshape(*advantage.shape, *(1 for _ in score.shape[2:])) * score).mean(1)
            sign = -1 if self.layer.adapter.sense == "min" else 1
            direction = sign * weighted.reshape(theta.shape) / len(scores)
        # Zero in value, with the wanted gradient.
        surrogate = (theta * direction.to(theta)).sum()
        return losses.mean().to(theta.dtype) + surrogate - surrogate.detach()
