"""What a run ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

import imle_solvers


def describe(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, threads of torch, GPU if it is used, and versions."""
    machine: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),  # by which sums are rounded, and so the numbers of a training decided
        "system": platform.system(),
    }
    if torch.device(device).type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
    return machine | {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "imle_solvers": imle_solvers.__version__,
    }


def in_words(machine: dict[str, Any]) -> str:
    """The same as a phrase."""
    words = f"{machine.get('cores', '?')} cores of {machine.get('processor', 'an unknown processor')}"
    if "gpu" in machine:
        words += f", {machine['gpu']}"
    threads = f", threads: {machine['threads']}" if "threads" in machine else ""
    return f"{words}{threads}, torch {machine.get('torch', '?')}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
