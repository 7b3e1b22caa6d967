"""0/1 knapsack by dynamic programming, written in NumPy. Worker processes import it, so it does not import PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from imle_solvers import SolverAdapter, register_adapter


@register_adapter("knapsack")
class KnapsackAdapter(SolverAdapter):
    """The most valuable items of given weights, 1 or more, that a knapsack can hold. Theta are values, (items,)."""

    sense = "max"

    def __init__(self, weights: list[int], capacity: int) -> None:
        self.weights, self.capacity = weights, capacity
        self.instance_shape = (len(weights),)

    def solve(self, state: None, theta: Any, **context: Any) -> Any:
        best = np.zeros((len(theta) + 1, self.capacity + 1))  # of the first items, with so much room
        for item, (value, weight) in enumerate(zip(theta, self.weights, strict=True)):
            best[item + 1] = best[item]
            best[item + 1, weight:] = np.maximum(best[item, weight:], best[item, :-weight] + value)
        packed, room = np.zeros(len(theta)), self.capacity
        for item in reversed(range(len(theta))):
            if best[item + 1, room] > best[item, room]:
                packed[item] = 1
                room -= self.weights[item]
        return packed
