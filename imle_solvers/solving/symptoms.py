"""Why a layer does not learn, said in plain words, once for each cause."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imle_solvers.solving.clamping import stacklevel

Figures = Mapping[str, float]

PATIENCE = 32
"""Calls in a row, until one that may be meant is mentioned."""


@dataclass(frozen=True)
class Symptom:
    """What figures of several steps in a row show.

    Attributes:
        patience: how much evidence is needed.
        lasting: whether it shows from the first step on, so that one that speaks against it settles that it is not so.
        weigh: how much of it a step gives; 0: it speaks against; None: it says nothing.
        describe: what is said, from the figures of the last step and the evidence.
    """

    patience: int
    weigh: Callable[[Figures], float | None]
    describe: Callable[[Figures, int], str]
    lasting: bool = False


def _beta(figures: Figures) -> str:
    beta = 1 / figures["_slope"]
    return f"Target(beta={beta:.2g}), or initial_beta=1.0 of AIMLE, makes it as long as theta"


def _no_gradient(figures: Figures) -> float | None:
    if "step_length" not in figures or not figures.get("_slope"):
        return None
    return float(figures["nonzero_entries"] == 0 and figures["step_length"] < 0.1)


def _long_step(figures: Figures) -> float | None:
    if "step_length" not in figures or not figures.get("_slope"):
        return None
    return float(figures["unchanged_targets"] == 0 and figures["step_length"] > 100)


def _wrong_sense(figures: Figures) -> float | None:
    # Of an exact solver, no sample is better than the MAP state, no step against dL/dz has the loss rise along it, and
    # no instance is solved worse than by the solution of another one.
    rivals = min(figures.get("_compared", 0.0), 8.0)
    weights = {"_better": 12.0, "_rising": 4.0, "_outdone": rivals}
    seen = [name for name in weights if name in figures]
    wrong = all(figures[name] > 0.9 for name in seen)
    return float(wrong) * sum(weights[name] for name in seen) if seen else None


def _no_optimum(figures: Figures) -> float | None:
    # Of an exact solver none goes against theta; of one that does not look at it, half. All: the sense is wrong.
    if "_contrary" not in figures or figures["_contrary"] > 0.9:
        return None
    return min(figures["_compared"], 8.0) if figures["_contrary"] > 0.2 else 0.0


def _constant_solver(figures: Figures) -> float | None:
    if "_same" not in figures:
        return None
    if not figures["_same"] or figures.get("unchanged_targets", 1.0) < 1 or figures.get("noise_changed", 0.0) > 0:
        return 0.0
    if figures.get("_constant", 1.0) or figures.get("step_length", 0.0) < 0.9 or not figures.get("_active"):
        return None  # a solver that is right may well have one solution for all of these
    return min(figures["_instances"], 8.0)


def _constant_theta(figures: Figures) -> float | None:
    return figures.get("_constant")


def _silent_noise(figures: Figures) -> float | None:
    if "noise_changed" not in figures or "temperature" not in figures:
        return None
    if figures["noise_changed"] > 0 or figures["temperature"] >= 1e-3:
        return 0.0
    return max(figures["_probed"], 0.0 if figures["temperature"] > 1e-6 else 128.0)  # lost in rounding: more are no use


def _louder(figures: Figures) -> str:
    if figures["temperature"] == 0:
        return "raise the temperatures"
    return f"multiply the temperatures by about {0.1 / figures['temperature']:.1g}"


def _loud_noise(figures: Figures) -> float | None:
    if "noise_changed" not in figures or "temperature" not in figures:
        return None
    return figures["_probed"] if figures["noise_changed"] == 1 and figures["temperature"] > 10 else 0.0


SYMPTOMS = {
    "no gradient": Symptom(
        10,
        _no_gradient,
        lambda figures, steps: (
            f"the gradient was zero in all of the last {steps} steps that were looked at, although the loss asked for "
            f"other solutions: the target's step is {figures['step_length']:.1g} times as long as theta, too short to "
            f"change any; {_beta(figures)}"
        ),
    ),
    "long step": Symptom(
        16,
        _long_step,
        lambda figures, steps: (
            f"in the last {steps} steps that were looked at no target had the solution of its sample, as the step is "
            f"{figures['step_length']:.1g} times as long as theta: targets follow the loss alone, and forget theta; "
            f"{_beta(figures)}"
        ),
    ),
    "wrong sense": Symptom(
        40,
        _wrong_sense,
        lambda figures, steps: (
            "nearly all samples are better than the MAP state, targets worse than their samples, or solutions worse "
            "than those of other instances, which no solver that optimises can give: the adapter's sense seems to be "
            "the wrong way round; imle_solvers.testing.check_adapter tells"
        ),
    ),
    "no optimum": Symptom(
        64,
        _no_optimum,
        lambda figures, solutions: (
            f"the solutions of {100 * figures['_contrary']:.0f} % of the pairs of instances that were compared go "
            "against the difference of their theta, which no solver that optimises can give: it gives instances the "
            "solutions of others, or any, or poor ones; imle_solvers.testing.check_adapter tells. Poor ones that are "
            'meant end FEASIBLE, with on_failure="keep"'
        ),
    ),
    "constant solver": Symptom(
        64,
        _constant_solver,
        lambda figures, solutions: (
            "every solution so far was the same one, although theta differs between instances and targets step "
            f"{figures['step_length']:.1g} times as far as theta is long: the solver seems not to look at theta, or "
            "has one feasible solution only; imle_solvers.testing.check_adapter tells"
        ),
        lasting=True,
    ),
    "constant theta": Symptom(
        10,
        _constant_theta,
        lambda figures, steps: (
            f"for {steps} steps in a row theta was the same for all instances of the batch: the network that predicts "
            "it does not see its input (dead units, or an input that is constant); one theta for all that is meant to "
            "be one is theta.expand(B, ...)"
        ),
    ),
    "silent noise": Symptom(
        256,
        _silent_noise,
        lambda figures, samples: (
            f"no sample differed from the MAP state, as the noise is {figures['temperature']:.1g} times as long as "
            f"theta: samples tell nothing of other solutions; {_louder(figures)}, or leave the noise out (noise=None). "
            "Relative ones go by the first batch that was differentiated: if that was unlike the others, "
            "estimator.fix_scale(theta) takes the scale of another"
        ),
    ),
    "loud noise": Symptom(
        256,
        _loud_noise,
        lambda figures, samples: (
            f"all of {samples} samples differed from the MAP state, as the noise is {figures['temperature']:.2g} times "
            "as long as theta: samples are nearly random; multiply the temperatures by about "
            f"{1 / figures['temperature']:.1g}"
        ),
    ),
    "detached theta": Symptom(
        PATIENCE,
        lambda figures: figures.get("_detached"),
        lambda figures, calls: (
            f"in training mode, {calls} calls in a row had a theta that asks for no gradient, so that nothing is "
            "learned through this layer: look for a detach(), .data or numpy on the way to theta, or for parameters "
            "with requires_grad=False; where none is wanted, call it under torch.no_grad() or after eval()"
        ),
    ),
}


class Symptoms:
    """Gathers evidence, and warns."""

    def __init__(self) -> None:
        self._evidence: Counter[str] = Counter()
        self._told: set[str] = set()

    def look(self, figures: Figures) -> None:
        """Weighs the figures of a step; warns of what they complete."""
        for name, symptom in SYMPTOMS.items():
            weight = symptom.weigh(figures)
            if weight is None or name in self._told:
                continue
            if not weight and symptom.lasting:
                self._told.add(name)
            self._evidence[name] = int(self._evidence[name] + weight) if weight else 0
            if self._evidence[name] >= symptom.patience:
                self._told.add(name)
                text = symptom.describe(figures, self._evidence[name])
                warnings.warn(
                    f"SolverLayer: {text}. See docs/troubleshooting.md", RuntimeWarning, stacklevel=stacklevel()
                )
