"""PyEPO's I-MLE on its own OR-Tools models."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from comparison.loops import Array, each
from comparison.problem import Contender


def pyepo(
    model: Callable[[Any], Any], samples: int, processes: int, kappa: float, order: Sequence[int] | None = None
) -> Contender:
    """A contender whose sample is the mean of S draws, with the same noise and step as ours.

    Args:
        model: makes one of PyEPO's models from the module `pyepo.model.ort`.
        samples: S.
        processes: of its pool; 1 is in-process.
        kappa: k of its Sum-of-Gamma noise, with 10 terms.
        order: for each of its entries the one of theta; None: the same.
    """
    logging.getLogger("pyepo").setLevel(logging.WARNING)
    from pyepo.func import implicitMLE
    from pyepo.func.utils import sumGammaDistribution
    from pyepo.model import ort

    built = model(ort)
    noise = sumGammaDistribution(kappa=kappa, n_iterations=10)
    layer = implicitMLE(built, n_samples=samples, lambd=1.0, distribution=noise, processes=processes)
    there = np.arange(built.num_cost) if order is None else np.asarray(order)
    back = np.argsort(there)

    def solve(theta: Array) -> Array:
        built.setObj(theta[there])
        return np.asarray(built.solve()[0])[back]

    return Contender(lambda theta: layer(theta[:, there])[:, back], each(solve))


def grid_arcs(side: int) -> list[tuple[int, int]]:
    """The arcs of PyEPO's grid in its order: to the right and down."""
    from pyepo.model.ort import shortestPathModel

    return list(shortestPathModel((side, side)).arcs)
