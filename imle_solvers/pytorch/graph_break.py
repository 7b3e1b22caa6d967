"""What torch.compile leaves out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

_REASON = (
    "solvers run outside of the graph: compile without fullgraph=True, and export only the network that predicts theta"
)

Function = TypeVar("Function", bound=Callable[..., Any])


def graph_break(function: Function) -> Function:
    """Makes a function one break in the graph of whoever compiles its caller, who would find a dozen, or fail in it.

    Whoever compiles nothing calls the function itself: the first call of the other imports the compiler, which takes
    two seconds. So would torch.compiler.disable, where a function is defined.
    """
    uncompiled: Any = torch._disable_dynamo(function)  # type: ignore[attr-defined]
    # As torch.compiler.disable does it, for what the compiler says where it may not break the graph.
    uncompiled._torchdynamo_disable = True
    uncompiled._torchdynamo_disable_msg = _REASON

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        chosen = uncompiled if torch.compiler.is_dynamo_compiling() else function
        return chosen(*arguments, **options)

    return cast(Function, call)
