"""What is installed, and what it finds on this machine."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import imle_solvers
from imle_solvers.adapter import SolverAdapter
from imle_solvers.command_line.table import one_line, show
from imle_solvers.executors.cpus import available_cpus
from imle_solvers.registry import available_adapters, load_factory

_DISTRIBUTION = "imle-solvers"
_FOR_DEVELOPERS = ("dev", "bench")


def show_installation() -> None:
    """Prints versions, cores, GPUs, the kernel cache, adapters and backends, a line each."""
    show(_DISTRIBUTION, f"{imle_solvers.__version__}, {Path(imle_solvers.__file__).parent}")
    show("Python", f"{platform.python_version()}, {sys.executable}, {platform.platform()}")
    show("packages", ", ".join(f"{name} {_version(name)}" for name in _dependencies("")))
    for extra, names in _extras().items():
        there = ", ".join(f"{name} {_version(name)}" for name in names)
        missing = any(_version(name) == _MISSING for name in names)
        show(f"extra {extra} ", there + (f' (pip install "{_DISTRIBUTION}[{extra}]")' if missing else ""))
    show("cores", _cores())
    show("GPU", _gpus())
    show("kernel cache", _kernel_cache())
    show("adapters", ", ".join(available_adapters()) or "none registered")
    for name, found in _backends():
        show("backends", f"of {name}: {found}")


_MISSING = "(not installed)"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _MISSING


def _requirements() -> list[str]:
    try:
        return requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # a checkout that is on the path
        return ["torch", "numpy"]


def _dependencies(extra: str) -> list[str]:
    """Names of the packages that an extra needs, "": that are needed without any."""
    found = []
    for requirement in _requirements():
        of = re.search(r"extra *== *['\"]([^'\"]*)", requirement)
        name = re.match(r"[\w.-]+", requirement)
        if name is not None and (of[1] if of else "") == extra:
            found.append(name[0])
    return sorted(found)


def _extras() -> dict[str, list[str]]:
    names = {found[1] for found in (re.search(r"extra *== *['\"]([^'\"]*)", each) for each in _requirements()) if found}
    return {name: _dependencies(name) for name in sorted(names) if name not in _FOR_DEVELOPERS}


def _cores() -> str:
    usable, there = available_cpus(), os.cpu_count()
    return f"{usable} usable" + (f", of {there}" if there != usable else "")


def _gpus() -> str:
    import torch

    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)
    built = torch.version.cuda or getattr(torch.version, "hip", None)
    return "none found by torch, " + (f"which is built for CUDA {built}" if built else "which is built without CUDA")


def _kernel_cache() -> str:
    from imle_solvers.noise import kernels  # loads Numba

    folder = getattr(getattr(kernels.fill_float32, "stats", None), "cache_path", None)
    if folder is None:
        return (
            "none, so that each process compiles kernels for itself: no folder can be written to; set NUMBA_CACHE_DIR "
            "to one"
        )
    path = Path(folder)
    parent = next(each for each in (path, *path.parents) if each.exists())
    writable = "" if os.access(parent, os.W_OK) else ", which cannot be written to"
    beside = ", and beside other modules that have kernels" if path.name == "__pycache__" else ""
    return f"{path}{beside}; {len(list(path.glob('*.nbi')))} kernels there{writable}"


def _backends() -> Iterator[tuple[str, str]]:
    """Registered adapters that name their backends, or cannot be loaded."""
    for name in available_adapters():
        try:
            factory = load_factory(name)
            found = factory.backends() if isinstance(factory, type) and issubclass(factory, SolverAdapter) else ()
        except Exception as error:
            yield name, one_line(error)
            continue
        if found:
            yield name, ", ".join(found)
