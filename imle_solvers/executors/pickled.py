"""Adapters pickled for workers, and what in them does not pickle."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import cloudpickle

from imle_solvers.adapter import SolverAdapter
from imle_solvers.errors import AdapterError


def pickled(adapter: SolverAdapter) -> bytes:
    """The adapter as it travels to workers.

    Raises:
        AdapterError: it does not pickle, naming the attribute at fault.
    """
    try:
        if "__mp_main__" in sys.modules:  # the main script's name in what multiprocessing spawns
            cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])
        data: bytes = cloudpickle.dumps(adapter)
    except Exception as error:
        blame = " of ".join(reversed(_way_to_fault(adapter, frozenset()))) or "it"
        problem = f"{blame} does not pickle ({type(error).__name__}: {error})"
        raise AdapterError(
            f"{adapter!r} cannot be sent to worker processes: {problem}. Make it picklable, for example by making such "
            "things in build(), which runs in each worker; or use num_workers=0"
        ) from error
    return data


def _way_to_fault(value: Any, seen: frozenset[int]) -> list[str]:
    """From a value that does not pickle to the innermost part of it that does not, by what each is called."""
    seen |= {id(value)}
    for name, part in _parts(value):
        if id(part) not in seen and not _pickles(part):
            return [name, *_way_to_fault(part, seen)]
    return []


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, types.FunctionType):
        try:
            variables = inspect.getclosurevars(value)
        except ValueError:  # a variable that has no value yet
            return
        for name, part in {**variables.nonlocals, **variables.globals}.items():
            yield f"variable {name!r}", part
    elif isinstance(value, types.MethodType):
        yield "its object", value.__self__
    elif isinstance(value, functools.partial):
        yield "its function", value.func
        arguments: dict[Any, Any] = dict(enumerate(value.args)) | value.keywords
        for name, part in arguments.items():
            yield f"argument {name!r}", part
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield f"entry {name!r}", part
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield f"entry {index}", part
    elif isinstance(value, type):
        for name, part in vars(value).items():
            if isinstance(part, types.FunctionType):
                yield f"method {name!r}", part
    else:
        for name, part in getattr(value, "__dict__", {}).items():
            yield f"attribute {name!r}", part
        yield f"class {type(value).__name__}", type(value)


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _pickles(value: Any) -> bool:
    try:
        # Arrays are passed over, and the rest is not kept: a value may be large.
        cloudpickle.dump(value, _Nowhere(), protocol=5, buffer_callback=lambda buffer: None)
    except Exception:
        return False
    return True
