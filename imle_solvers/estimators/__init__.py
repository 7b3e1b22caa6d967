"""Gradient estimators, one a module."""

from imle_solvers.estimators.aimle import AIMLE
from imle_solvers.estimators.base import Estimator
from imle_solvers.estimators.blackbox import Blackbox
from imle_solvers.estimators.imle import IMLE
from imle_solvers.estimators.perturbed_optimizer import PerturbedOptimizer
from imle_solvers.estimators.straight_through import Identity, StraightThrough

__all__ = ["AIMLE", "IMLE", "Blackbox", "Estimator", "Identity", "PerturbedOptimizer", "StraightThrough"]
