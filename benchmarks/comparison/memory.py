"""Peak memory, in fresh processes.

They are forked from a server that has imported what all of them need and done nothing else, so each starts with the
same memory and pays for what it does itself: compiled kernels, tables, models, workers, and the batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import re
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from comparison.rows import ROWS

MB = 2**20

_MMAP_THRESHOLD = -3  # mallopt's name for the size from which on memory is taken from the system, and given back


def memory_of(key: str, name: str, batch: int, size: int) -> dict[str, float]:
    """Memory of one contender's step, measured in a fresh process.

    Args:
        key: the row.
        name: the contender.
        batch: B.
        size: how many of them take the step.

    Returns:
        `step_mb`, the peak of a step above what the process held after a step on one instance; `all_mb`, the peak of
        the process, and what its workers hold; `memory_on`, the size.
    """
    return in_fresh_process(_measure, key, name, batch, size)


def in_fresh_process(function: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """What a function returns in a process that has done nothing else.

    Raises:
        RuntimeError: it failed; the error is printed.
    """
    # The server of Python 3.11 does not take over the path by itself.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["comparison.rows"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        answer: dict[str, float] = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__}{arguments} failed in its process") from None
    finally:
        process.join()
    return answer


def step_peak(step: Callable[[], Any]) -> float:
    """MB by which a call raises the memory of this process at its peak.

    From here on the process gives back at once what it frees. By itself glibc keeps holes for later, which are counted
    as held: from one run to the next, those of a step amount to one to four times the batch.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 2**16)
    if not sys.platform.startswith("linux"):  # only the peak of the whole life is known
        before = _life_peak()
        step()
        return _life_peak() - before
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what there is
    before = _status("VmHWM")
    step()
    return _status("VmHWM") - before


def _answer(
    sender: Connection[Any, Any], function: Callable[..., dict[str, float]], arguments: tuple[Any, ...]
) -> None:
    sender.send(function(*arguments))
    sender.close()


def _measure(key: str, name: str, batch: int, size: int) -> dict[str, float]:
    problem = ROWS[key].make(batch)
    contender = problem.contenders[name]()
    contender.step(problem.thetas[:1], problem.weights[:1])
    before = _life_peak()
    step = step_peak(lambda: contender.step(problem.thetas[:size], problem.weights[:size]))
    peak = max(before, _life_peak())
    measured = {"step_mb": step, "all_mb": peak + _held_by_children(), "memory_on": size}
    contender.close()
    return measured


def _life_peak() -> float:
    if sys.platform.startswith("linux"):
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB


def _status(field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / MB


def _held_by_children() -> float:
    """Proportional set size of the processes that this one has started: memory that is shared counts by shares."""
    total = 0.0
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in children.read_text().split():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
                total += int(found[1]) * 1024 / MB if found else 0.0
    return total
