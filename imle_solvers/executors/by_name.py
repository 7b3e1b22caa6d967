"""Executors by name, for the layer's argument."""

from __future__ import annotations

from imle_solvers.executors.auto import AutoExecutor
from imle_solvers.executors.base import Executor
from imle_solvers.executors.cpus import available_cpus
from imle_solvers.executors.processes.executor import ProcessExecutor
from imle_solvers.executors.serial import SerialExecutor
from imle_solvers.executors.threads import ThreadExecutor

_NAMES = ("auto", "serial", "threads", "processes")


def make_executor(name: str | None, num_workers: int | None) -> Executor:
    """The executor for a name and a number of workers.

    Args:
        name: "auto", "serial", "threads", "processes"; None: "auto".
        num_workers: 0 is in-process; None: the CPUs that this process may use.

    Raises:
        ValueError: an unknown name, or a number of workers that it cannot have.
        TypeError: `num_workers` is not an int.
    """
    if name is not None and name not in _NAMES:
        raise ValueError(
            f"unknown executor {name!r}; expected one of {', '.join(_NAMES)}, or an Executor such as ProcessExecutor(2)"
        )
    if num_workers is not None and (isinstance(num_workers, bool) or not isinstance(num_workers, int)):
        raise TypeError(f"num_workers must be an int or None, got {num_workers!r}")
    if num_workers is not None and num_workers < 0:
        raise ValueError(f"num_workers must be 0 (in-process) or more, got {num_workers}")
    if name == "serial" and num_workers:
        raise ValueError(f'executor="serial" has no workers, got num_workers={num_workers}')
    if name in ("threads", "processes") and num_workers == 0:
        raise ValueError(f"executor={name!r} needs num_workers of at least 1, got 0")
    if name in (None, "auto"):
        alone = num_workers == 0 or (num_workers is None and available_cpus() == 1)
        return SerialExecutor() if alone else AutoExecutor(num_workers)
    if name == "serial":
        return SerialExecutor()
    return ThreadExecutor(num_workers) if name == "threads" else ProcessExecutor(num_workers)
