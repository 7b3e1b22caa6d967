"""Learning a few moves with each setting of a grid."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from imle_solvers.arguments import check_count, is_finite
from imle_solvers.calibration.result import Calibration, Trial
from imle_solvers.calibration.settings import Setting, Units, apply_setting, has_beta, has_temperature
from imle_solvers.calibration.tangent import Tangent
from imle_solvers.estimators import Estimator, PerturbedOptimizer
from imle_solvers.layer import SolverLayer
from imle_solvers.solving.loss_value import loss_of
from imle_solvers.solving.theta import is_single

BETAS = (0.3, 1.0, 3.0, 10.0)
TEMPERATURES = (0.0, 0.1, 0.3, 1.0, 3.0)

_MOVE = 0.5
"""How far a move goes, in units of the spread of theta's entries, as temperatures are."""

Loss = Callable[[Tensor], Tensor]


def calibrate(
    layer: SolverLayer,
    theta: Tensor,
    loss_fn: Loss,
    *,
    betas: Sequence[float] = BETAS,
    temperatures: Sequence[float] = TEMPERATURES,
    moves: int = 8,
    apply: bool = False,
    on_trial: Callable[[Trial], None] | None = None,
    **context: Any,
) -> Calibration:
    """Finds the step and the temperature of the noise by which a layer's estimator learns fastest on a batch.

    For each setting of a grid the parameters behind theta are moved a few times against the gradient that the
    estimator gives, and after each move the loss of the MAP states says how good the gradient was. The setting whose
    losses are least in the mean is recommended. All settings start from the same parameters, and draw the same noise.

    The network is not called: to first order, theta moves as the graph that it has left on theta says (its Jacobian J
    times the move, so that theta moves along J J^T g for a gradient g). So a move teaches all instances of the batch
    what one has learned, as it does in training, and noise averages out as there. Parameters, random state, `stats()`
    and `diagnostics()` stay as they are.

    It solves for each instance, sample and setting at most three times a move: 480 times with the default grid.

    Args:
        layer: of which the estimator is to be set: `IMLE` (its `Target`), `AIMLE` (the beta it starts from),
            `Blackbox`, `PerturbedOptimizer`, `StraightThrough`, or one's own of their kind.
        theta: (B, *instance_shape), what the network has made of a batch, with its graph, which is kept. Some 64
            instances say enough; several batches may be concatenated. It must be differentiable twice.
        loss_fn: from solutions as `layer(theta)` returns them to the scalar that is minimised.
        betas: steps of the target, in units of theta's length, see `Relative`; left out where there is none.
        temperatures: of the noise, in units of the spread of theta's entries; left out where there is none.
        moves: how many each setting makes, of half the spread of theta's entries.
        apply: whether to set the layer's estimator to what is recommended.
        on_trial: called with each trial when it is done, for progress.
        **context: per-instance arrays of the adapter.

    Returns:
        The trials, a table when printed, and what is recommended.

    Raises:
        TypeError: the estimator has nothing to be set.
        ValueError: theta is a single instance, has no graph, or one that cannot be differentiated twice; a loss that is
            no scalar, not finite, or the same for all solutions; a grid that is empty or out of range.
        SolveError, AdapterError, ClosedError: see `SolverLayer.forward`.
    """
    if not isinstance(layer, SolverLayer):
        raise TypeError(f"layer: expected a SolverLayer, got {layer!r}")
    check_count("calibrate: ", "moves", moves)
    settings = _grid(layer.estimator, betas, temperatures)
    if is_single(theta, layer.adapter):
        raise ValueError(f"theta: expected a batch, got a single instance of shape {tuple(theta.shape)}")
    with torch.inference_mode(False), torch.enable_grad():
        tangent = Tangent(theta)
        start = theta.detach()
        judge = layer.beside().eval()
        solutions = judge(start, **context).detach().clone().requires_grad_()
        value = loss_of(loss_fn, solutions, "loss_fn")
        (dz,) = torch.autograd.grad(value, solutions)
        before = float(value.detach())
        if not math.isfinite(before):
            raise ValueError(f"loss_fn: expected a finite loss, got {before} for the MAP states of theta")
        units = Units.of(start, dz, layer.adapter.num_ones)
        length = _MOVE * float(units.spread) * math.sqrt(start.numel())
        trials = []
        for _, row in itertools.groupby(settings, key=lambda setting: setting.temperature):
            walk = _Walk(judge, tangent, loss_fn, context, length)
            for setting in row:
                learner = layer.beside()
                apply_setting(learner.estimator, setting, units)
                losses = _learn(learner, walk, start, loss_fn, moves, context)
                trials.append(Trial(setting, tuple(losses), learner.diagnostics()))
                if on_trial is not None:
                    on_trial(trials[-1])
        calibration = Calibration(before, trials, layer.estimator, units)
    if apply:
        calibration.apply()
    return calibration


class _Walk:
    """Moves theta, and says what its MAP states lose.

    Moves that were made before, by the same gradients, are not made again: steps that are long enough all lead to the
    same targets.
    """

    def __init__(self, judge: SolverLayer, tangent: Tangent, loss_fn: Loss, context: Any, length: float) -> None:
        self._judge, self._tangent, self._loss_fn, self._context = judge, tangent, loss_fn, context
        self._length = length
        self._known: dict[bytes, tuple[Tensor, float]] = {}

    def move(self, before: bytes, theta: Tensor, gradient: Tensor) -> tuple[bytes, Tensor, float]:
        """A move from theta, to which the moves that `before` stands for have led; and what stands for them all."""
        key = hashlib.sha256(before + gradient.cpu().contiguous().view(torch.uint8).numpy().tobytes()).digest()
        if key not in self._known:
            along = self._tangent.push(self._tangent.pull(gradient))
            norm = float(torch.linalg.vector_norm(along.double()))
            if norm > 0:  # NaN is not
                theta = theta - self._length / norm * along
            with torch.no_grad():
                self._known[key] = theta, float(self._loss_fn(self._judge(theta, **self._context)))
        return key, *self._known[key]


def _learn(layer: SolverLayer, walk: _Walk, theta: Tensor, loss_fn: Loss, moves: int, context: Any) -> list[float]:
    """The loss of MAP states after each move."""
    losses, path = [], b""
    for _ in range(moves):
        leaf = theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(loss_fn, layer(leaf, **context), "loss_fn"), leaf)
        path, theta, loss = walk.move(path, theta, gradient)
        losses.append(loss)
    return losses


def _grid(estimator: Estimator, betas: Sequence[float], temperatures: Sequence[float]) -> list[Setting]:
    steps, noises = has_beta(estimator), has_temperature(estimator)
    if not (steps or noises):
        raise TypeError(
            f"layer: expected an estimator with a step or noise that can be set, such as IMLE(), got {estimator!r}"
        )
    if isinstance(estimator, PerturbedOptimizer):
        temperatures = [each for each in temperatures if each != 0]  # without noise it has no gradient
    axes: list[Sequence[float | None]] = []
    for name, values, used, least in (("temperatures", temperatures, noises, 0.0), ("betas", betas, steps, None)):
        if not used:
            axes.append([None])
            continue
        values = list(values)
        if not values:
            raise ValueError(f"{name}: expected at least one, got none")
        for value in values:
            if not (is_finite(value) and (value > 0 or value == least)):
                raise ValueError(f"{name}: expected positive numbers{', or 0' if least == 0 else ''}, got {value!r}")
        axes.append(values)
    return [Setting(beta, temperature) for temperature, beta in itertools.product(*axes)]
