"""Solutions answer to theta and to context, and none is worse than another that the adapter has found."""

from __future__ import annotations

import torch
from torch import Tensor

from imle_solvers.testing.probes import Probe
from imle_solvers.testing.subject import Objective, Subject, fail, shown

_TOLERANCE = 1e-6
"""By how much, of the largest objective, a solution may be worse than another."""


def check_theta_matters(subject: Subject) -> None:
    """Not all solutions are the same, whatever theta."""
    if subject.theta[0].numel() == 0 or subject.z[0].numel() == 0:
        return
    first = subject.z[0]
    if all(torch.equal(first, z) for z in subject.z) and len(torch.unique(subject.theta, dim=0)) > 1:
        fail(
            f"solving {len(subject.z)} instances that differ in theta",
            "solutions that differ",
            f"{shown(first)} for all",
            "have solve() use theta; if only one solution is feasible, give instances that have several",
        )


def check_sense(subject: Subject) -> None:
    """No instance is solved worse than by the solution of another one of the same context."""
    rows, compared = len(subject.theta), _same_context(subject)
    if subject.theta[0].numel() == 0:
        return
    if subject.objective is not None:
        values = _objectives(subject, subject.objective, compared)
    elif subject.adapter.solution_shape == subject.adapter.instance_shape:
        values = subject.theta.reshape(rows, -1) @ subject.z.reshape(rows, -1).T  # (instance, solution)
    else:
        return
    own = values.diagonal().unsqueeze(1)
    scores = values if subject.adapter.sense == "max" else -values
    gain = scores - scores.diagonal().unsqueeze(1)
    room = _TOLERANCE * (1 + values.abs().amax(1, keepdim=True))
    compared &= ~subject.clamped.unsqueeze(1)  # it was solved for another theta
    gain = torch.where(compared, gain, 0.0)
    better, worse = (gain > room).any(1), (gain < -room).any(1)
    if not better.any():
        return
    row, rival = divmod(int(gain.argmax()), rows)
    sense, other = subject.adapter.sense, "max" if subject.adapter.sense == "min" else "min"
    solved = f"{subject.names[row]} is solved worse than by the solution of {subject.names[rival]}"
    expected = f"an objective of {values[row, rival]:g} or better with sense {sense!r}"
    lost, told = int((better & ~worse).sum()), int((better | worse).sum())
    if 2 * lost > told:
        advice = (
            f"{lost} of {told} instances have the worst of all solutions found: the sense seems "
            f'the wrong way round; say "{other}" if the solver {_does(other)}, or turn the sign of theta in solve()'
        )
    elif row >= subject.given:
        advice = (
            "noise and steps make such theta: solve it as well as the given; or, where it is out of the domain, have "
            'check() raise InputError, or clamp it and count that ("clamped ..." in Solutions.counters); with '
            "any_sign=False only signs of the given are tried"
        )
    else:
        advice = "the solver must find an optimum; if it cannot for all theta, return Status.FEASIBLE"
    if subject.objective is None:
        advice += "; if the objective is not the sum of theta times solution, say what it is: objective=..."
    fail(solved, expected, f"{own[row].item():g}", advice)


def _objectives(subject: Subject, objective: Objective, compared: Tensor) -> Tensor:
    """(R, R) the objectives of solutions for instances, zero where they are not compared."""
    values = torch.zeros(compared.shape, dtype=torch.float64)
    for row, column in compared.nonzero().tolist():
        theta, solution = subject.theta[row].numpy(), subject.z[column].numpy()
        values[row, column] = float(objective(theta, solution, **subject.arrays(row)))
    return values


def check_context_matters(subject: Subject) -> None:
    """Context that differs between instances changes a solution, or what is refused."""
    for name, values in subject.context.items():
        given = values[: subject.given]
        shifts = [shift for shift in range(1, subject.given) if not torch.equal(given, given.roll(shift, 0))]
        if shifts and not any(_changes(subject, name, shift) for shift in shifts[:4]):
            fail(
                f"exchanging the context {name!r} between instances",
                "another solution for one of them at least",
                f"the same for all of {len(subject.theta)} instances",
                f"have solve() use {name!r}, or do not declare it; if it does, give instances in which it matters",
            )


def _changes(subject: Subject, name: str, shift: int) -> bool:
    """Whether the context of the given instance that is `shift` further on changes anything in place of their own."""
    for row, of in enumerate(subject.of):
        other = (of + shift) % subject.given
        probe = Probe(subject.theta[row], of, f"{subject.names[row]} with the {name!r} of instance {other}")
        try:
            tried = subject.attempt(probe, {name: other})
        except AssertionError:  # it need not go with the rest
            return True
        if tried is None or not torch.equal(tried[0], subject.z[row]):
            return True
    return False


def _same_context(subject: Subject) -> Tensor:
    """(R, R) whether two instances have the same context, so that each may have the other's solution."""
    rows = len(subject.theta)
    same = torch.ones(rows, rows, dtype=torch.bool)
    for array in subject.context.values():
        flat = array.reshape(rows, -1)
        same &= (flat.unsqueeze(1) == flat.unsqueeze(0)).all(-1)
    return same


def _does(sense: str) -> str:
    return "minimises costs" if sense == "min" else "maximises scores"
