"""The same instance has the same solution: alone or in a batch, before and after others, in one thread or several."""

from __future__ import annotations

import torch
from torch import Tensor

from imle_solvers.adapter import calling
from imle_solvers.executors.threads import ThreadExecutor
from imle_solvers.testing.randomness import global_states, restore, seed_all
from imle_solvers.testing.subject import Subject, fail, in_plain_words, shown

_OWN_GENERATOR = "use a generator of the adapter's own, as np.random.default_rng(seed) makes one in build()"


def check_random_state(subject: Subject) -> None:
    """Solutions depend on no global generator of random numbers, and solving moves none."""
    states = global_states()
    try:
        solutions = []
        for seed in (0, 0, 1):
            seed_all(seed)
            solutions.append(subject.solve())
        once, again, other = solutions
        if torch.equal(once, again) and not torch.equal(once, other):
            found = [name for name in states if not torch.equal(_solved_with(subject, name), once)]
            fail(
                "solving with another state of a global generator of random numbers",
                "the same solutions",
                f"others: they depend on that of {' and '.join(found) or 'random, numpy.random and torch together'}",
                f"have solve() draw nothing, or {_OWN_GENERATOR} and sets it back before each solve",
            )
    finally:
        restore(states)
    if subject.moved:
        fail(
            "building the state and solving",
            "the global generators of random numbers to stay as they were",
            f"another state of that of {' and '.join(sorted(subject.moved))}, which was seeded or drawn from",
            f"whoever uses the adapter draws other numbers because of it: {_OWN_GENERATOR}",
        )


def _solved_with(subject: Subject, name: str) -> Tensor:
    seed_all(0, {name: 1})
    return subject.solve()


def check_memory(subject: Subject) -> None:
    """Solutions stay as they are when the adapter solves again."""
    first = subject.solve(torch.tensor([0]))
    held = first.clone()
    for row in range(1, len(subject.theta)):
        subject.solve(torch.tensor([row]))
        if not torch.equal(first, held):
            fail(
                f"solving {subject.names[row]} after instance 0",
                f"the solution of instance 0 to stay {shown(held[0])}",
                shown(first[0]),
                "where memory is used again, return Solutions with fresh=False, the default; a solver on tensors "
                "returns new ones",
            )


def check_revision(subject: Subject) -> None:
    """Once it has settled how to solve, a batch that is checked again changes nothing about the adapter."""
    if subject.on_device:
        return
    theta = subject.theta[: subject.given].numpy()
    context = {name: values[: subject.given].numpy() for name, values in subject.context.items()}
    before = subject.adapter.revision
    for _ in range(2):
        with in_plain_words(), calling(subject.adapter, "check"):
            subject.adapter.check(theta, context)
    if subject.adapter.revision != before:
        fail(
            "checking the same batch again",
            f"revision {before}, as before",
            f"{subject.adapter.revision}",
            "raise it once, when it is settled how to solve: workers build their state anew each time",
        )


def check_repetition(subject: Subject) -> None:
    """An instance is solved alike alone, in a batch, in another order, after others, and where solutions tie."""
    rows = torch.arange(len(subject.theta))
    given = rows[: subject.given]
    advice = "have solves leave the adapter, and what build() returned, as they were, and solve each row for itself"
    alone = torch.cat([subject.solve(row[None]) for row in given])
    same_as(subject, "solved alone, and not in a batch", alone, given, advice)
    same_as(subject, "solved a second time, in one batch with others", subject.solve(), rows, advice)
    same_as(subject, "solved in another order of instances", subject.solve(rows.flip(0)).flip(0), rows, advice)
    same_as(subject, "solved once more, after all these", subject.solve(given), given, advice)


def check_threads(subject: Subject) -> None:
    """Two threads that solve side by side find the same solutions as one."""
    if subject.on_device:
        return
    with ThreadExecutor(2) as executor:
        same_as(
            subject,
            "solved in two threads side by side",
            subject.solve(executor=executor),
            torch.arange(len(subject.theta)),
            "keep what solves write to in what build() returns, of which each thread has its own, and not in the "
            "adapter or a module",
        )


def check_dtypes(subject: Subject) -> None:
    """Theta of float32 is solved as well as that of float64."""
    z = subject.solve(dtype=torch.float32)
    if z.dtype != torch.float32 or z.shape != subject.z.shape:
        fail(
            "solving theta of float32",
            f"solutions of float32 and shape {tuple(subject.z.shape)}",
            f"{z.dtype} and {tuple(z.shape)}",
            "make solutions of theta's dtype",
        )


def same_as(subject: Subject, how: str, z: Tensor, rows: Tensor, advice: str) -> None:
    """Fails for the first of these rows whose solution is another one than before.

    Args:
        subject: whose rows they are.
        how: how they were solved: "solved in ...".
        z: (N, *solution_shape).
        rows: (N,).
        advice: what to do about it.
    """
    expected = subject.z[rows]
    if torch.equal(z, expected):
        return
    index = int((z != expected).reshape(len(rows), -1).any(1).nonzero()[0])
    row = int(rows[index])
    if subject.tied[row]:
        advice += "; of solutions that are equally good the instance alone must decide, as by the lowest index"
    fail(
        f"{subject.names[row]} is solved differently when {how}",
        f"the same solution, {shown(expected[index])}",
        shown(z[index]),
        advice,
    )
