"""Combinatorial solvers as differentiable functions in JAX; see docs/jax.md. Needs the extra `jax`.

    solve = imle_solvers.jax.solver(adapter)
    z = solve(theta, key)                                   # (B, *solution_shape), under jit, grad, vmap, shard_map

Adapters, estimators, noise, executors and errors are those of `imle_solvers`.
"""

from __future__ import annotations

try:
    import jax as _jax  # noqa: F401
except ImportError as _error:
    raise ImportError('imle_solvers.jax needs JAX: pip install "imle-solvers[jax]"') from _error

from imle_solvers.jax.front_end import Solver, solver
from imle_solvers.jax.losses import FenchelYoungLoss, HammingLoss, SPOPlusLoss

__all__ = ["FenchelYoungLoss", "HammingLoss", "SPOPlusLoss", "Solver", "solver"]
