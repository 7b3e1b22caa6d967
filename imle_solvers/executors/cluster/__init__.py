"""Solving on a Ray cluster. Nothing here imports Ray before it is needed."""

from imle_solvers.executors.cluster.executor import RayExecutor

__all__ = ["RayExecutor"]
