"""What `backend="auto"` has chosen for a program."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from imle_adapters.ilp.engines.backends import COUNTING
from imle_adapters.ilp.engines.fit import fitting
from imle_adapters.ilp.program import Program
from imle_solvers.arguments import is_finite

ORTOOLS: str = version("ortools")

DEFAULT_WORK = 1.0
"""The limit of work, in the first round, of solvers that no trial has shown at work."""


@dataclass(frozen=True)
class Choice:
    """How `ILPAdapter` solves a program. `ILPAdapter(spec, choice)` solves as the adapter whose `choice` it was.

    Raises:
        ValueError: no solvers, or one twice, or a limit that is not positive.

    Attributes:
        solvers: names of backends that count their work, or one of any. The first has the first turn at each instance;
            one that has not ended it within the limit gives way to the next, and so on, in rounds with larger limits.
        work: the limit of the first round, counted as solvers count: about seconds.
        search: whether the compiled search goes before all of them.
        ortools: the version of OR-Tools whose solvers were tried. Another may do other work, and return another of
            several optima.
    """

    solvers: tuple[str, ...]
    work: float = DEFAULT_WORK
    search: bool = True
    ortools: str = ORTOOLS

    def __post_init__(self) -> None:
        names = () if isinstance(self.solvers, str) else tuple(self.solvers)  # JSON has lists
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"expected solvers to be different names, the best first, got {self.solvers!r}")
        if isinstance(self.work, bool) or not is_finite(self.work) or self.work <= 0:
            raise ValueError(f"expected work to be a positive number, got {self.work!r}")
        if not isinstance(self.search, bool):
            raise ValueError(f"expected search to be True or False, got {self.search!r}")
        object.__setattr__(self, "solvers", names)


def same_ortools(choice: Choice) -> Choice:
    """The choice; raises `ValueError` for one that was made with another OR-Tools."""
    if choice.ortools != ORTOOLS:
        raise ValueError(
            f'expected a choice made with this OR-Tools, {ORTOOLS}, got {choice!r}; let backend="auto" choose again, '
            "and write down what it says"
        )
    return choice


def solvers_of(backend: str | Choice, program: Program) -> tuple[str, ...]:
    """The names of the solvers for a program, the first one first.

    Raises:
        ValueError: one of them cannot solve it, or is not known; or several that do not all count their work.
    """
    if not isinstance(backend, Choice):
        return fitting(backend, program)
    for name in backend.solvers:
        fitting(name, program)  # raises where one does not fit
        if len(backend.solvers) > 1 and name not in COUNTING:
            raise ValueError(f"expected solvers that count their work, {', '.join(COUNTING)}, got {name!r}")
    return backend.solvers
