"""What the adapter is once it has arrived at a worker process, and what it brings along."""

from __future__ import annotations

import pickle

import torch

from imle_solvers.adapter import SolverAdapter
from imle_solvers.errors import AdapterError
from imle_solvers.executors.pickled import pickled
from imle_solvers.executors.processes.executor import ProcessExecutor
from imle_solvers.layer import SolverLayer
from imle_solvers.testing.repeatability import same_as
from imle_solvers.testing.spy import IMPORTED, Spy
from imle_solvers.testing.subject import Subject, fail, in_plain_words, no_warnings


def check_pickling(subject: Subject) -> None:
    """The adapter pickles, and its copy is the same adapter."""
    twin = _copy(subject.adapter)
    if repr(twin) != repr(subject.adapter):
        fail("pickling", f"the same repr, {subject.adapter!r}", f"{twin!r}", "have __reduce__ or __getstate__ keep all")
    if subject.on_device:
        rows = torch.arange(len(subject.theta))
        advice = "have __reduce__ or __getstate__ keep all"
        same_as(subject, "solved by a pickled copy", subject.solve(adapter=twin), rows, advice)


def check_processes(subject: Subject) -> None:
    """Worker processes find the same solutions, and import nothing heavy."""
    if subject.on_device:
        return
    with in_plain_words():
        spy = Spy(subject.adapter)
    with ProcessExecutor(2) as executor, in_plain_words(), no_warnings():
        layer = SolverLayer(spy, executor=executor)
        z = layer.map(subject.theta, **subject.context)
    rows = torch.arange(len(subject.theta))
    advice = (
        "what the adapter needs must be in its pickle or made by build(), and neither id() nor the order of a set may "
        "decide"
    )
    same_as(subject, "solved in worker processes", z, rows, advice)
    imported = [name.removeprefix(IMPORTED) for name in layer.stats().counters if name.startswith(IMPORTED)]
    if imported:
        fail(
            f"loading {subject.adapter!r}, and solving, in a worker process",
            "nothing to be imported that takes seconds or hundreds of MB",
            " and ".join(imported),
            "define the adapter in a module that does not import it, or import it inside the function that needs it",
        )


def _copy(adapter: SolverAdapter) -> SolverAdapter:
    """The adapter as it arrives at workers."""
    with in_plain_words():
        data = pickled(adapter)
        try:
            twin: SolverAdapter = pickle.loads(data)
        except Exception as error:
            raise AdapterError(f"{adapter!r} pickles, but cannot be loaded: {type(error).__name__}: {error}") from error
    return twin
