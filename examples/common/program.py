"""How a program starts and ends."""

from __future__ import annotations

import importlib
import sys


def start(name: str) -> None:
    """Calls `main` of an experiment; Ctrl-C ends it with one line, and the exit code of a shell."""
    try:
        importlib.import_module(f"examples.{name}.main").main()
    except KeyboardInterrupt:
        message = "interrupted; with --resume it goes on from its last checkpoint, if there is one yet"
        print(f"\nexamples/{name}: {message}", file=sys.stderr)
        sys.exit(130)
