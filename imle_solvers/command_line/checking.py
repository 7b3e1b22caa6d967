"""The checks of an adapter that is named on the command line."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import torch

from imle_solvers.adapter import SolverAdapter
from imle_solvers.command_line.table import one_line, show
from imle_solvers.registry import available_adapters, make_adapter
from imle_solvers.testing.check import CHECKS, test_name
from imle_solvers.testing.claims import check_feasibility
from imle_solvers.testing.contract_tests import AdapterContract
from imle_solvers.testing.subject import Subject

_BATCH = 8
_DRAWN = (
    "Instances were drawn at random, without context. To check others, name a subclass of "
    "imle_solvers.testing.AdapterContract."
)


class _NothingThereError(Exception):
    """What is named on the command line cannot be had."""


def check_target(target: str, arguments: Sequence[str]) -> int:
    """Prints a line for each check.

    Args:
        target: "package:Adapter", or the name of a registered adapter.
        arguments: "name=value" each, for what makes the adapter.

    Returns:
        0 if the adapter keeps its promises, 1 if not, 2 if there is no such adapter.
    """
    try:
        named = [_argument(argument) for argument in arguments]
        if len(dict(named)) < len(named):
            raise _NothingThereError(f"expected each name once, got {' '.join(arguments)}")
        found = _resolve(target, dict(named))
    except _NothingThereError as error:
        print(f"python -m imle_solvers check: {error}", file=sys.stderr)
        return 2
    drawn = isinstance(found, SolverAdapter)
    try:
        subject = _drawn(found) if isinstance(found, SolverAdapter) else found.subject()
    except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
        problem = str(error) if isinstance(error, AssertionError) else one_line(error)
        show("FAILED", f"solves instances: {problem}", 10)
        return _end(1, drawn)
    failed = 0
    for promise, check in CHECKS.items():
        if isinstance(found, AdapterContract) and getattr(found, test_name(promise)) is None:
            show("left out", promise, 10)
            continue
        if check is check_feasibility and subject.feasible is None:
            show("left out", f"{promise}: nobody says which are", 10)
            continue
        try:
            check(subject)
        except AssertionError as error:
            failed += 1
            show("FAILED", f"{promise}: {error}", 10)
        else:
            show("ok", promise, 10)
    return _end(failed, drawn)


def _end(failed: int, drawn: bool) -> int:
    if failed and drawn:
        show("", _DRAWN, 10)
    return int(failed > 0)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise _NothingThereError(f"expected name=value, such as n=4, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value  # a word


def _resolve(target: str, arguments: dict[str, Any]) -> SolverAdapter | AdapterContract:
    module, colon, path = target.partition(":")
    if not colon:
        if target not in available_adapters():
            known = ", ".join(available_adapters()) or "none"
            raise _NothingThereError(f"expected package:Adapter, or a registered adapter ({known}), got {target!r}")
        return _made(target, lambda **given: make_adapter(target, **given), arguments)
    try:
        thing: Any = importlib.import_module(module)
    except Exception as error:
        raise _NothingThereError(f"cannot import {module!r}: {one_line(error)}") from error
    for name in path.split("."):
        if not hasattr(thing, name):
            raise _NothingThereError(f"{module!r} is there, but has no {path!r}")
        thing = getattr(thing, name)
    return _made(target, thing, arguments)


def _made(target: str, thing: Any, arguments: dict[str, Any]) -> SolverAdapter | AdapterContract:
    if callable(thing) and not isinstance(thing, SolverAdapter):
        try:
            thing = thing(**arguments)
        except Exception as error:
            raise _NothingThereError(
                f"{target!r} cannot be made with {arguments or 'no arguments'}: {one_line(error)}; give others as "
                "name=value, or name a function that makes the adapter"
            ) from error
    if not isinstance(thing, SolverAdapter | AdapterContract):
        raise _NothingThereError(f"expected {target!r} to be or make a SolverAdapter, got {type(thing).__name__}")
    return thing


def _drawn(adapter: SolverAdapter) -> Subject:
    generator = torch.Generator().manual_seed(0)
    theta = torch.rand(_BATCH, *adapter.instance_shape, generator=generator, dtype=torch.float64)
    return Subject(adapter, theta + 0.1, {})  # as costs and scores may be; the checks turn signs, too
