"""Adapters for common solvers, one family of problems a folder.

Names are imported when they are first used, so that a worker for one solver does not load the libraries of all.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imle_adapters.assignment.adapter import AssignmentAdapter as AssignmentAdapter
    from imle_adapters.graphs.arborescence import MaxArborescenceAdapter as MaxArborescenceAdapter
    from imle_adapters.graphs.shortest_path import ShortestPathAdapter as ShortestPathAdapter
    from imle_adapters.graphs.spanning_tree import MaxSpanningTreeAdapter as MaxSpanningTreeAdapter
    from imle_adapters.ilp import ILPAdapter as ILPAdapter
    from imle_adapters.ilp import ILPSpec as ILPSpec
    from imle_adapters.selection.top_k import TopKAdapter as TopKAdapter

_MODULES = {
    "AssignmentAdapter": "assignment.adapter",
    "ILPAdapter": "ilp",
    "ILPSpec": "ilp",
    "MaxArborescenceAdapter": "graphs.arborescence",
    "MaxSpanningTreeAdapter": "graphs.spanning_tree",
    "ShortestPathAdapter": "graphs.shortest_path",
    "TopKAdapter": "selection.top_k",
}

__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
