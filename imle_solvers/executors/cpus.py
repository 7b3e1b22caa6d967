"""How many workers make sense here."""

from __future__ import annotations

import os

import loky

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""Workers are the parallelism: libraries inside them must not multiply it."""


def available_cpus() -> int:
    """CPUs that this process may use, by its affinity and its cgroup's limit, not just those in the machine.

    Where torchrun started several processes on the machine (`LOCAL_WORLD_SIZE`), its share of them.
    """
    return max(1, int(loky.cpu_count()) // _local_processes())


def _local_processes() -> int:
    try:
        return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    except ValueError:
        return 1


def check_num_workers(num_workers: int | None) -> int:
    """The number itself if it is one or more, the available CPUs for None.

    Raises:
        TypeError: not an int.
        ValueError: fewer than one.
    """
    if num_workers is None:
        return available_cpus()
    if isinstance(num_workers, bool) or not isinstance(num_workers, int):
        raise TypeError(f"num_workers must be an int or None, got {num_workers!r}")
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1 for workers (0: in-process), got {num_workers}")
    return num_workers
