"""What the adapter says of its solutions, and what its author does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from imle_solvers.adapter import claims_binary
from imle_solvers.testing.probes import more_probes
from imle_solvers.testing.subject import Subject, fail, shown

_DRAWS, _SECONDS = 100, 1.0
"""How many instances more are tried for what happens rarely, and after how long no other one is begun."""

_FACTOR = 4.0
"""How far "about" may be off."""


def check_binary(subject: Subject) -> None:
    """Where `is_binary` claims it, solutions have entries of zero and one only, also those of 200 instances more."""
    arrays = {name: values.numpy() for name, values in subject.context.items()}
    if not claims_binary(subject.adapter, arrays):
        return
    for name, _, solution in _all_solutions(subject):
        others = solution[(solution != 0) & (solution != 1)]
        if len(others):
            fail(
                name,
                "entries of zero and one only, since the adapter says is_binary",
                f"{others[0].item()} in {shown(solution)}",
                "leave is_binary out; or round, if that is what is missing",
            )


def check_feasibility(subject: Subject) -> None:
    """All solutions are feasible, if the author says which are."""
    if subject.feasible is None:
        return
    for name, arrays, solution in _all_solutions(subject):
        if not subject.feasible(solution.numpy(), **arrays):
            fail(name, "a feasible solution", shown(solution), "it is feasible(solution) that says no")


def check_num_ones(subject: Subject) -> None:
    """`num_ones` is about what solutions have."""
    claimed = subject.adapter.num_ones
    if claimed is None:
        return
    ones = float((subject.z != 0).double().reshape(len(subject.z), -1).sum(1).mean())
    if claimed > _FACTOR * ones + 1 or ones > _FACTOR * claimed + 1:
        fail(
            f"counting the entries of {len(subject.z)} solutions that are not zero",
            f"about num_ones = {claimed:g}",
            f"{ones:g} on average",
            "correct num_ones, which sets the default noise, or leave it None",
        )


def _all_solutions(subject: Subject) -> Iterator[tuple[str, dict[str, Any], Tensor]]:
    """Names, contexts and solutions of the examined instances, and of others as long as they take little time."""
    for row, name in enumerate(subject.names):
        yield name, subject.arrays(row), subject.z[row]
    begin = time.monotonic()
    for probe in more_probes(subject.theta[: subject.given], _DRAWS):
        if time.monotonic() > begin + _SECONDS:
            return
        tried = subject.attempt(probe)
        if tried is not None:
            yield probe.name, subject.arrays(probe.of), tried[0]
