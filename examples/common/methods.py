"""Ways to differentiate a layer, by the names that `--method` knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from imle_solvers import (
    AIMLE,
    IMLE,
    Blackbox,
    Estimator,
    FenchelYoungLoss,
    Identity,
    Normal,
    PerturbedOptimizer,
    Relative,
    ScoreFunctionLoss,
    SolverLayer,
    StraightThrough,
    Target,
)
from imle_solvers.noise.distributions import Noise, ScoredNoise

METHODS = (
    "imle",
    "aimle",
    "aimle-central",
    "blackbox",
    "identity",
    "ste",
    "perturbed",
    "score",
    "fenchel-young",
)
"""All names. "score" and "fenchel-young" are losses on an estimator that samples: `make_loss` makes them."""

PASSING_ON = ("aimle-central", "identity", "ste", "perturbed")
"""Methods that never come to rest with a loss whose gradient is not zero where the solution is right.

They hand it on as it is, or step along it both ways. The others step away from it, and find the same solution again.
"""


def make_estimator(
    method: str,
    *,
    beta: float = Relative(2.0),
    temperature: float = Relative(0.3),
    target_temperature: float | None = None,
    noise: Noise | Literal["auto"] = "auto",
    lam: float | None = None,
    aimle: dict[str, Any] | None = None,
    density: ScoredNoise | None = None,
    density_temperature: float | None = None,
    density_samples: int = 10,
    projection: Any = "standardize",
) -> Estimator:
    """The estimator of a method, so that methods share all that they have in common.

    Args:
        method: one of `METHODS`.
        beta: lambda of I-MLE, a number that multiplies the loss's gradient, or `Relative`.
        temperature: of the noise that perturbs theta in the forward pass, a number in units of theta, or `Relative`.
        target_temperature: of that in the target's solve; None: the same.
        noise: of I-MLE, AIMLE and straight-through; "auto": as of `IMLE`.
        lam: the step of the blackbox method, a number; None: `beta` where that is one, else 10.
        aimle: further arguments of `AIMLE`, such as `initial_beta`, `step`, `target_norm`.
        density: noise of the methods whose noise needs a density (perturbed, score, fenchel-young); None: normal.
        density_temperature: its temperature; None: `temperature`. "perturbed" takes a number: 1 where it is relative.
        density_samples: samples that "perturbed" averages.
        projection: of "identity".

    Raises:
        ValueError: the method is unknown, or an argument is not what the estimator takes.
    """
    density = Normal() if density is None else density
    wide = temperature if density_temperature is None else density_temperature
    match method:
        case "imle":
            return IMLE(
                noise,
                Target(beta=beta),
                input_noise_temperature=temperature,
                target_noise_temperature=target_temperature,
            )
        case "aimle" | "aimle-central":
            return AIMLE(
                noise,
                symmetric=method == "aimle-central",
                input_noise_temperature=temperature,
                target_noise_temperature=target_temperature,
                **(aimle or {}),
            )
        case "blackbox":
            return Blackbox(lam if lam is not None else 10.0 if isinstance(beta, Relative) else beta)
        case "identity":
            return Identity(projection)
        case "ste":
            return StraightThrough(noise, noise_temperature=temperature)
        case "perturbed":
            sigma = 1.0 if isinstance(wide, Relative) else wide
            return PerturbedOptimizer(density, sigma=sigma, num_marginal_samples=density_samples)
        case "score" | "fenchel-young":
            return IMLE(density, input_noise_temperature=wide)
        case _:
            raise ValueError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")


def make_loss(
    method: str,
    layer: SolverLayer,
    distance: Callable[[Tensor, Tensor], Tensor],
    *,
    samples: int = 1,
    score_samples: int = 10,
) -> Callable[..., Tensor]:
    """The loss by which a method trains on known solutions, `loss(theta, solutions, **context)`, a scalar.

    For most methods it is the distance of the mean of samples (the mean hands its gradient to each sample unscaled, so
    that lambda means the same for any number), for "score" the expected distance of a sample, for "fenchel-young" a
    loss that needs no distance.

    Args:
        method: one of `METHODS`.
        layer: whose estimator is `make_estimator(method)`.
        distance: from samples and solutions, (B, *solution) twice, to (B,). The loss is its mean over B.
        samples: of the layer for each instance in training.
        score_samples: of "score", at least 2.
    """
    if method == "fenchel-young":
        return FenchelYoungLoss(layer, samples)

    def loss(theta: Tensor, solutions: Tensor, **context: Any) -> Tensor:
        if method != "score":
            return distance(layer.marginals(theta, samples, **context), solutions).mean()

        def of_samples(found: Tensor) -> Tensor:
            return distance(found.flatten(0, 1), solutions.repeat_interleave(score_samples, 0)).view(found.shape[:2])

        return ScoreFunctionLoss(layer, of_samples, score_samples)(theta, **context)

    return loss
