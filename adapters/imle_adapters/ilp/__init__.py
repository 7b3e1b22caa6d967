"""Integer and linear programs by OR-Tools, as layers: `ILPSpec` says what the program is, `ILPAdapter` solves it."""

from imle_adapters.ilp.adapter import ILPAdapter
from imle_adapters.ilp.choice import Choice
from imle_adapters.ilp.engines.backends import available_backends
from imle_adapters.ilp.spec import ILPSpec
from imle_adapters.ilp.timing import fastest_settings

__all__ = ["Choice", "ILPAdapter", "ILPSpec", "available_backends", "fastest_settings"]
