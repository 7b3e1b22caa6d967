"""Combinatorial solvers as differentiable layers in PyTorch.

Names are imported when they are first used: a worker process, which unpickles an adapter and therefore imports this
package, must not pay for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imle_solvers.adapter import Parallelism as Parallelism
    from imle_solvers.adapter import Solutions as Solutions
    from imle_solvers.adapter import SolverAdapter as SolverAdapter
    from imle_solvers.calibration.calibrate import calibrate as calibrate
    from imle_solvers.calibration.callback import CalibrationCallback as CalibrationCallback
    from imle_solvers.calibration.result import Calibration as Calibration
    from imle_solvers.decorators import AdaptiveTargetDistribution as AdaptiveTargetDistribution
    from imle_solvers.decorators import BaseNoiseDistribution as BaseNoiseDistribution
    from imle_solvers.decorators import BaseTargetDistribution as BaseTargetDistribution
    from imle_solvers.decorators import GumbelNoiseDistribution as GumbelNoiseDistribution
    from imle_solvers.decorators import SumOfGammaNoiseDistribution as SumOfGammaNoiseDistribution
    from imle_solvers.decorators import TargetDistribution as TargetDistribution
    from imle_solvers.decorators import aimle as aimle
    from imle_solvers.decorators import imle as imle
    from imle_solvers.decorators import ste as ste
    from imle_solvers.errors import AdapterError as AdapterError
    from imle_solvers.errors import ClosedError as ClosedError
    from imle_solvers.errors import ImleSolversError as ImleSolversError
    from imle_solvers.errors import InputError as InputError
    from imle_solvers.errors import SolveError as SolveError
    from imle_solvers.errors import WorkerDiedError as WorkerDiedError
    from imle_solvers.estimators import AIMLE as AIMLE
    from imle_solvers.estimators import IMLE as IMLE
    from imle_solvers.estimators import Blackbox as Blackbox
    from imle_solvers.estimators import Estimator as Estimator
    from imle_solvers.estimators import Identity as Identity
    from imle_solvers.estimators import PerturbedOptimizer as PerturbedOptimizer
    from imle_solvers.estimators import StraightThrough as StraightThrough
    from imle_solvers.estimators.relative import Relative as Relative
    from imle_solvers.estimators.target import HammingTarget as HammingTarget
    from imle_solvers.estimators.target import Target as Target
    from imle_solvers.executors.auto import AutoExecutor as AutoExecutor
    from imle_solvers.executors.base import Executor as Executor
    from imle_solvers.executors.cache import SolutionCache as SolutionCache
    from imle_solvers.executors.cluster.executor import RayExecutor as RayExecutor
    from imle_solvers.executors.processes.executor import ProcessExecutor as ProcessExecutor
    from imle_solvers.executors.serial import SerialExecutor as SerialExecutor
    from imle_solvers.executors.threads import ThreadExecutor as ThreadExecutor
    from imle_solvers.function_adapter import FunctionAdapter as FunctionAdapter
    from imle_solvers.layer import SolverLayer as SolverLayer
    from imle_solvers.losses.fenchel_young import FenchelYoungLoss as FenchelYoungLoss
    from imle_solvers.losses.hamming import HammingLoss as HammingLoss
    from imle_solvers.losses.regret import RegretLoss as RegretLoss
    from imle_solvers.losses.score_function import ScoreFunctionLoss as ScoreFunctionLoss
    from imle_solvers.losses.spo_plus import SPOPlusLoss as SPOPlusLoss
    from imle_solvers.noise.distributions import Gumbel as Gumbel
    from imle_solvers.noise.distributions import Noise as Noise
    from imle_solvers.noise.distributions import Normal as Normal
    from imle_solvers.noise.distributions import SumOfGamma as SumOfGamma
    from imle_solvers.registry import available_adapters as available_adapters
    from imle_solvers.registry import make_adapter as make_adapter
    from imle_solvers.registry import register_adapter as register_adapter
    from imle_solvers.solving.stats import Stats as Stats
    from imle_solvers.status import Status as Status

_EXPORTS = {
    "adapter": ("Parallelism", "Solutions", "SolverAdapter"),
    "calibration.calibrate": ("calibrate",),
    "calibration.callback": ("CalibrationCallback",),
    "calibration.result": ("Calibration",),
    "decorators": (
        "AdaptiveTargetDistribution",
        "BaseNoiseDistribution",
        "BaseTargetDistribution",
        "GumbelNoiseDistribution",
        "SumOfGammaNoiseDistribution",
        "TargetDistribution",
        "aimle",
        "imle",
        "ste",
    ),
    "errors": (
        "AdapterError",
        "ClosedError",
        "ImleSolversError",
        "InputError",
        "SolveError",
        "WorkerDiedError",
    ),
    "estimators": (
        "AIMLE",
        "IMLE",
        "Blackbox",
        "Estimator",
        "Identity",
        "PerturbedOptimizer",
        "StraightThrough",
    ),
    "executors.auto": ("AutoExecutor",),
    "executors.base": ("Executor",),
    "executors.cache": ("SolutionCache",),
    "executors.cluster.executor": ("RayExecutor",),
    "executors.processes.executor": ("ProcessExecutor",),
    "executors.serial": ("SerialExecutor",),
    "executors.threads": ("ThreadExecutor",),
    "function_adapter": ("FunctionAdapter",),
    "layer": ("SolverLayer",),
    "losses": ("FenchelYoungLoss", "HammingLoss", "RegretLoss", "SPOPlusLoss", "ScoreFunctionLoss"),
    "noise.distributions": ("Gumbel", "Noise", "Normal", "SumOfGamma"),
    "registry": ("available_adapters", "make_adapter", "register_adapter"),
    "solving.stats": ("Stats",),
    "status": ("Status",),
    "estimators.relative": ("Relative",),
    "estimators.target": ("HammingTarget", "Target"),
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
