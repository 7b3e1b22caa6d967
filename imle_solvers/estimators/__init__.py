"""Gradient estimators, one a module."""

from imle_solvers.estimators.aimle import AIMLE
from imle_solvers.estimators.base import Estimator
from imle_solvers.estimators.imle import IMLE

__all__ = ["AIMLE", "IMLE", "Estimator"]
