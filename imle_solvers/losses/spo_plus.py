"""The SPO+ loss (Elmachtoub and Grigas, Management Science 2022, arXiv 1710.08005)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imle_solvers.adapter import claims_binary
from imle_solvers.arguments import explain_arguments
from imle_solvers.estimators.base import Solved
from imle_solvers.layer import SolverLayer
from imle_solvers.losses.common import (
    Reduction,
    check_layer,
    check_shapes,
    check_target,
    checked_reduction,
    inner,
    mean_of_solved,
    reduce,
    refuse,
)
from imle_solvers.pytorch.graph_break import graph_break
from imle_solvers.pytorch.transforms import once_differentiable
from imle_solvers.solving.batch_solver import BatchSolver
from imle_solvers.solving.clamping import stacklevel

_ROUNDING = 1e-3
"""How far from zero or one a solver may leave an entry of a solution, and how much of an objective is rounding."""


@explain_arguments()
class SPOPlusLoss(nn.Module):
    """The SPO+ loss (Elmachtoub and Grigas, Management Science 2022, arXiv 1710.08005, Definition 3).

    For costs: max_z <c - 2 theta, z> + 2 <theta, z*(c)> - <c, z*(c)>, with c the true costs: an upper bound of the
    regret <c, z*(theta) - z*(c)>, convex in theta, with the subgradient 2 (z*(c) - z*(2 theta - c)). For scores the
    same with signs turned. One solve a step where `solution` is given, else two.

    2 theta - c may be what the adapter does not solve as it is: costs below zero of paths in a graph with cycles, see
    `SolverAdapter.clamped`. There the maximum is taken over solutions to which such entries may be added at will: it
    is that of the solve, with these entries set to one. So the loss is still convex, and a bound of the regret, if a
    looser one, and its subgradient raises costs that are too low. True costs below zero count as zero there, as they
    do to the solver, with a warning.

    Solutions of zeros and ones that are given are looked at. It is an error if they have other entries, as where truth
    and solution are swapped, or a better value than the best that there is, so that they are not feasible; and a
    warning, once, if another one is better by the true costs, so that the loss is no bound of the regret.

    Args:
        layer: whose adapter solves; solutions must have theta's shape.
        reduction: "mean" over the batch, "sum", or "none" for (B,).

    Raises:
        ValueError: an unknown reduction, solutions of another shape.
    """

    def __init__(self, layer: SolverLayer, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_layer("SPOPlusLoss", layer)
        check_shapes("SPOPlusLoss", layer)
        self.layer = layer
        self.reduction = checked_reduction(reduction)
        self._warned = False

    if TYPE_CHECKING:  # nn.Module says Any

        def __call__(self, theta: Tensor, truth: Tensor, solution: Tensor | None = None, **context: Any) -> Tensor: ...

    @graph_break
    def forward(self, theta: Tensor, truth: Tensor, solution: Tensor | None = None, **context: Any) -> Tensor:
        """The loss.

        Args:
            theta: (B, *instance_shape), predicted costs or scores.
            truth: (B, *instance_shape), the true ones, c.
            solution: (B, *solution_shape), their optimum z*(c); None: it is solved for.
            **context: per-instance arrays for the adapter.

        Returns:
            A scalar, or (B,).

        Raises:
            ValueError: theta, truth or solution of the wrong shape, truth that is not finite, a solution that is none.
        """
        check_target(theta, truth, "truth")
        refuse(~truth.isfinite(), truth, "truth: expected finite values", "check the data")
        given = solution is not None
        if solution is None:
            with torch.no_grad():
                solution = self.layer.map(truth.to(theta), **context)
        check_target(theta, solution, "solution")
        prepared, solve, single = self.layer.prepare(theta, context)
        if single:
            truth, solution = truth.unsqueeze(0), solution.unsqueeze(0)
        binary = given and claims_binary(self.layer.adapter, context)
        if binary:
            _check_entries(solution)
        scores = solve.sign * prepared
        truth, solution = solve.sign * truth.detach().to(scores), solution.detach().to(scores)
        taken = solve.clamped(truth.unsqueeze(1))
        if taken is not None:
            solve.warn_of_clamped(solve.sign * truth, "true")
            truth = torch.where(taken.squeeze(1), 0.0, truth)
        losses: Tensor = _SPOPlus.apply(scores, *self._solve(scores.detach(), truth, solution, solve, binary))  # type: ignore[no-untyped-call]
        return reduce(losses, self.reduction, single).to(theta.dtype)

    @torch.no_grad()
    def _solve(
        self, scores: Tensor, truth: Tensor, solution: Tensor, solve: BatchSolver, look: bool
    ) -> tuple[Tensor, Tensor]:
        """Losses, (B,), and their gradients, from scores, true ones, and the solution of these, (B, *shape)."""
        rival = (2 * scores - truth).unsqueeze(1)
        scores, truth, solution = scores.unsqueeze(1), truth.unsqueeze(1), solution.unsqueeze(1)
        solved = solve(rival)
        best, kept = solved.values, solution
        taken = solve.clamped(rival)
        if taken is not None:
            best = torch.where(taken, 1.0, best)
            taken = solve.clamped(scores)
            if taken is not None:  # <theta, z(theta)> is at most <theta, z*> only for theta as it was solved
                kept = torch.where(taken, 0.0, kept)
        bound = inner(rival, best - solution)
        if look:
            if solve.proven:
                _check_feasible(bound, inner(rival.abs(), best + solution), solved)
            self._warn_of_worse(truth, solved, solution)
        losses = mean_of_solved(bound + 2 * inner(scores, solution - kept), solved)
        return losses, mean_of_solved(2 * (best - kept), solved)

    def _warn_of_worse(self, truth: Tensor, solved: Solved, solution: Tensor) -> None:
        """Warns, once, where a solve came upon a better solution of the truth than the one that was given for it."""
        if self._warned:
            return
        ahead = inner(truth, solved.values - solution)
        worse = ahead > _ROUNDING * inner(truth.abs(), solved.values + solution)
        if solved.ok is not None:
            worse &= solved.ok
        if bool(worse.any()):
            self._warned = True
            warnings.warn(
                f"SPOPlusLoss: the solution that was given for instance {int(worse.squeeze(1).int().argmax())} is not "
                "the best by its truth, so that the loss is no bound of the regret. Check that truth and solution "
                "belong together, row by row, or leave the solution out to have it solved for. This is said once",
                RuntimeWarning,
                stacklevel=stacklevel(),
            )


class _SPOPlus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, losses: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dl: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return dl.reshape(-1, *(1 for _ in gradient.shape[1:])) * gradient, None, None


def _check_feasible(bound: Tensor, size: Tensor, solved: Solved) -> None:
    """Raises `ValueError` where a solution that was given beats the best that there is.

    Args:
        bound: (B, 1), how much better the best is.
        size: (B, 1), of the values that it is a difference of.
        solved: the best ones.
    """
    wrong = bound < -_ROUNDING * size
    refuse(
        (wrong if solved.ok is None else wrong & solved.ok).squeeze(1),
        bound.squeeze(1),
        "solution: expected one that is feasible, with which the loss cannot be below zero",
        "check that it belongs to this adapter's problem, and to its context",
    )


def _check_entries(solution: Tensor) -> None:
    """Raises `ValueError` for entries that are neither zeros nor ones."""
    off = ((solution - (solution > 0.5).to(solution)).abs() > _ROUNDING) | ~solution.isfinite()
    refuse(off, solution, "solution: expected zeros and ones", "the order is loss(theta, truth, solution)")
