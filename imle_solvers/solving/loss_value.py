"""The loss of solutions, as a function of the user's gives it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def loss_of(loss: Callable[[Tensor], Tensor], solutions: Tensor, name: str = "loss") -> Tensor:
    """What the function returns, a scalar that depends on the solutions.

    Args:
        loss: the function.
        solutions: that ask for a gradient.
        name: of the function, for messages.

    Raises:
        ValueError: it returns something else.
    """
    value = loss(solutions)
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        got = repr(value)
        if isinstance(value, Tensor):
            got = f"a tensor of shape {tuple(value.shape)}" if value.ndim else "one that does not"
        raise ValueError(f"{name}: expected a scalar that depends on the solutions it is given, got {got}")
    return value
