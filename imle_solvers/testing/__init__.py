"""Checks that every adapter must pass, for authors of adapters to run in their own tests.

Names are imported when they are first used: workers load `imle_solvers.testing.spy`, and must not pay for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imle_solvers.testing.check import check_adapter as check_adapter
    from imle_solvers.testing.contract_tests import AdapterContract as AdapterContract

_MODULES = {"AdapterContract": "contract_tests", "check_adapter": "check"}

__all__ = ["AdapterContract", "check_adapter"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
