"""Learning a few moves with each setting of a grid."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from imle_solvers.arguments import check_count, is_finite
from imle_solvers.calibration.result import Calibration
from imle_solvers.calibration.settings import Setting, Units, apply_setting, has_beta, has_temperature
from imle_solvers.calibration.tangent import Tangent
from imle_solvers.calibration.trial import Trial
from imle_solvers.estimators import Estimator, PerturbedOptimizer
from imle_solvers.layer import SolverLayer
from imle_solvers.solving.loss_value import loss_of
from imle_solvers.solving.theta import is_single

BETAS = (0.3, 1.0, 3.0)
TEMPERATURES = (0.0, 0.1, 0.3, 1.0, 3.0)

_FIRST_MOVE = 0.8
"""How far the first move goes, in units of the spread of theta's entries, as temperatures are; others go less far."""

_REMEMBERED = 2**24
"""How many entries of theta are kept, of moves that another setting may make again."""

Loss = Callable[[Tensor], Tensor]


def calibrate(
    layer: SolverLayer,
    theta: Tensor,
    loss_fn: Loss,
    *,
    betas: Sequence[float] | float = BETAS,
    temperatures: Sequence[float] | float = TEMPERATURES,
    moves: int = 16,
    apply: bool = False,
    on_trial: Callable[[Trial], None] | None = None,
    **context: Any,
) -> Calibration:
    """Finds the step and the temperature of the noise by which a layer's estimator learns best on a batch.

    For each setting of a grid the parameters behind theta are moved a few times, less far each time, against the
    gradient that the estimator gives on every other instance; after each move, the loss of the MAP states of the
    others says how good that was, since these are solved by what was learned and not by heart. Recommended is the
    setting whose losses are least in the mean over the second half of its moves, with those of its neighbours on the
    grid counted by half, as chance moves a single one. All settings start from the same parameters, and draw the same
    noise. Where instances share no parameters, or there are fewer than four, all of them are both learned and judged.
    Where no setting lowers the loss of the others by 2 %, as a large network may learn nothing about others from few
    instances, settings are judged by what was learned itself.

    The network is not called: to first order, theta moves as the graph that it has left on theta says (its Jacobian J
    times the move, so that theta moves along J J^T g for a gradient g). Parameters, `stats()` and `diagnostics()` of
    the layer, and random state, stay as they are but for what `loss_fn` does. Hooks of parameters are called.

    It solves for each instance, sample and setting at most three times a move: 720 times with the default grid.

    Args:
        layer: of which the estimator is to be set: `IMLE` (its `Target`), `AIMLE` (the beta it starts from),
            `Blackbox`, `PerturbedOptimizer`, `StraightThrough`, or one's own of their kind.
        theta: (B, *instance_shape), what the network has made of a batch, with its graph, which is kept. 128 instances
            say enough; several batches may be concatenated. It must be differentiable twice.
        loss_fn: from solutions as `layer(theta)` returns them to the scalar that is minimised, the same each time.
        betas: steps of the target, in units of theta's length, see `Relative`; left out where there is none.
        temperatures: of the noise, in units of the spread of theta's entries; left out where there is none.
        moves: how many each setting makes.
        apply: whether to set the layer's estimator to what is recommended.
        on_trial: called with each trial when it is done, for progress.
        **context: per-instance arrays of the adapter.

    Returns:
        The trials, a table when printed, and what is recommended.

    Raises:
        TypeError: the estimator has nothing to be set; `loss_fn` is no function.
        ValueError: theta is a single instance, an empty batch, has no graph, or one that cannot be differentiated
            twice; a loss that is no scalar or not finite; a grid that is empty or out of range.
        SolveError, AdapterError, ClosedError: see `SolverLayer.forward`.
    """
    if not isinstance(layer, SolverLayer):
        raise TypeError(f"layer: expected a SolverLayer, got {layer!r}")
    if not callable(loss_fn):
        raise TypeError(f"loss_fn: expected a function of solutions, got {type(loss_fn).__name__}")
    check_count("calibrate: ", "moves", moves)
    settings = _grid(layer.estimator, betas, temperatures)
    if is_single(theta, layer.adapter) or len(theta) == 0:
        raise ValueError(f"theta: expected a batch of instances, got shape {tuple(theta.shape)}")
    with torch.inference_mode(False), torch.enable_grad():
        judge = layer.beside().eval()
        tangent = Tangent(theta)
        start = theta.detach()
        solutions = judge(start, **context).detach().clone().requires_grad_()
        value = loss_of(loss_fn, solutions.clone(), "loss_fn")
        (dz,) = torch.autograd.grad(value, solutions)
        before = float(value.detach())
        if not math.isfinite(before):
            raise ValueError(f"loss_fn: expected a finite loss, got {before} for the MAP states of theta")
        units = Units.of(start, dz, layer.adapter.num_ones)
        course = _Course(judge, tangent, start, solutions.detach(), units, moves, loss_fn, context)
        trials = []
        for _, row in itertools.groupby(settings, key=lambda setting: setting.temperature):
            course.forget()
            for setting in row:
                learner = layer.beside()
                apply_setting(learner.estimator, setting, units)
                losses, own_losses = course.run(learner)
                trials.append(Trial(setting, losses, own_losses, learner.diagnostics()))
                if on_trial is not None:
                    on_trial(trials[-1])
    calibration = Calibration(before, trials, layer, units)
    if apply:
        calibration.apply()
    return calibration


class _Course:
    """The moves that each setting makes, and what they come to.

    Moves that were made before, by the same gradients, are not made again: steps that are long enough all lead to the
    same targets.

    Args:
        judge: the layer that solves for MAP states.
        tangent: of theta.
        start: (B, *instance_shape), theta.
        solutions: (B, ..., *solution_shape), MAP states of theta.
        units: of theta.
        moves: how many.
        loss_fn: of solutions.
        context: of the instances.
    """

    def __init__(
        self,
        judge: SolverLayer,
        tangent: Tangent,
        start: Tensor,
        solutions: Tensor,
        units: Units,
        moves: int,
        loss_fn: Loss,
        context: Mapping[str, Any],
    ) -> None:
        self._judge, self._tangent, self._start, self._solutions = judge, tangent, start, solutions
        self._moves, self._loss_fn, self._context = moves, loss_fn, context
        self._length = _FIRST_MOVE * units.spread * math.sqrt(start.numel())
        self._taught, self._judged = _halves(tangent, start)
        self._remembers = start.numel() * moves <= _REMEMBERED
        self._known: dict[bytes, tuple[Tensor, float, float]] = {}

    def forget(self) -> None:
        """Lets go of moves that will not be made again."""
        self._known.clear()

    def run(self, layer: SolverLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The loss of MAP states after each move, of instances that are judged, and of those that are learned.

        The others count as before all moves.
        """
        theta, losses, own_losses, key = self._start, [], [], b""
        for move in range(self._moves):
            leaf = theta.detach().requires_grad_()
            loss = loss_of(self._loss_fn, layer(leaf, **self._context), "loss_fn")
            (gradient,) = torch.autograd.grad(loss, leaf)
            gradient = torch.where(_like(self._taught, gradient), gradient, 0.0)
            key = hashlib.sha256(key + gradient.cpu().contiguous().view(torch.uint8).numpy().tobytes()).digest()
            known = self._known.get(key)
            if known is None:
                known = self._move(theta, gradient, self._length * (1 - move / self._moves))
                if self._remembers:
                    self._known[key] = known
            theta, judged, own = known
            losses.append(judged)
            own_losses.append(own)
        return tuple(losses), tuple(own_losses)

    @torch.no_grad()
    def _move(self, theta: Tensor, gradient: Tensor, length: float) -> tuple[Tensor, float, float]:
        along = self._tangent.push(self._tangent.pull(gradient))
        norm = float(torch.linalg.vector_norm(along.double()))
        if norm > 0:  # NaN is not
            theta = theta - length / norm * along
        found = self._judge(theta, **self._context)
        judged, own = (
            float(self._loss_fn(torch.where(_like(rows, found), found, self._solutions)))
            for rows in (self._judged, self._taught)
        )
        return theta, judged, own


def _halves(tangent: Tangent, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Which instances are learned, and which are judged, (B,) bool both."""
    everyone = torch.ones(len(theta), dtype=torch.bool, device=theta.device)
    taught = everyone.clone()
    taught[1::2] = False
    moved = tangent.push(tangent.pull(torch.where(_like(taught, theta), torch.ones_like(theta), 0.0)))
    if len(theta) < 4 or not bool(moved[~taught].any()):
        return everyone, everyone
    return taught, ~taught


def _like(rows: Tensor, tensor: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), with the axes of `tensor`."""
    return rows.reshape(-1, *(1 for _ in tensor.shape[1:]))


def _grid(estimator: Estimator, betas: Sequence[float] | float, temperatures: Sequence[float] | float) -> list[Setting]:
    steps, noises = has_beta(estimator), has_temperature(estimator)
    if not (steps or noises):
        raise TypeError(
            f"layer: expected an estimator with a step or noise that can be set, such as IMLE(), got {estimator!r}"
        )
    silent = not isinstance(estimator, PerturbedOptimizer)  # which has no gradient without noise
    axes = (
        _axis("temperatures", temperatures, zero=silent) if noises else [None],
        _axis("betas", betas, zero=False) if steps else [None],
    )
    return [Setting(beta, temperature) for temperature, beta in itertools.product(*axes)]


def _axis(name: str, values: Sequence[float] | float, *, zero: bool) -> list[float]:
    given = list(values) if isinstance(values, Sequence) else [values]
    for value in given:
        if not (is_finite(value) and value >= 0 and (value > 0 or name == "temperatures")):
            raise ValueError(f"{name}: expected positive numbers{', or 0' if zero else ''}, got {value!r}")
    axis = list(dict.fromkeys(float(value) for value in given if value > 0 or zero))
    if not axis:
        raise ValueError(f"{name}: expected at least one{'' if zero else ' above 0'}, got {values!r}")
    return axis
