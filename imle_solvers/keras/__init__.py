"""Combinatorial solvers as layers of Keras 3; see docs/keras.md. Needs the extra `keras`, and a backend of Keras.

    layer = imle_solvers.keras.Solver(adapter)
    z = layer(theta, training=True)                         # (B, *solution_shape), in model.fit, saved with the model

Adapters, estimators, noise, executors and errors are those of `imle_solvers`. Keras's backend may be PyTorch, JAX or
TensorFlow.
"""

from __future__ import annotations

import importlib.util as _util

if _util.find_spec("keras") is None:
    raise ImportError('imle_solvers.keras needs Keras: pip install "imle-solvers[keras]"')
try:
    import keras as _keras  # noqa: F401
except ImportError as _error:
    raise ImportError(
        f"imle_solvers.keras: Keras cannot import its backend ({_error}); set the environment variable KERAS_BACKEND "
        'to one that is installed, "torch", "jax" or "tensorflow", before Keras is imported'
    ) from _error

from imle_solvers.keras.layer import Solver
from imle_solvers.keras.losses import FenchelYoungLoss, HammingLoss, SPOPlusLoss

__all__ = ["FenchelYoungLoss", "HammingLoss", "SPOPlusLoss", "Solver"]
