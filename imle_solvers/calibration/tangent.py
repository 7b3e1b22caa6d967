"""How theta moves when the parameters behind it do, to first order: what a network is to its next few steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_ADVICE = (
    "have the network compute it by operations that can: without torch.compile, attention under "
    "torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), recurrent networks on a GPU under "
    "torch.backends.cudnn.flags(enabled=False)"
)

Parameters = tuple[Tensor, ...]
"""A tensor of the shape of each leaf."""


class Tangent:
    """The linear map from moves of parameters to moves of theta, J, and its transpose.

    J comes from differentiating J^T v, which is linear in v, a second time: no call of the network is needed, only the
    graph that it has left on theta. Where theta itself is the parameter, J is the identity.

    Args:
        theta: (B, *instance_shape), with its graph, which is kept.

    Attributes:
        leaves: the parameters.

    Raises:
        ValueError: theta has no graph, or cannot be differentiated twice.
    """

    def __init__(self, theta: Tensor) -> None:
        if not theta.requires_grad:
            raise ValueError(
                "theta: expected it as the network has made it, with its graph, got one that asks for no gradient; "
                "pass theta = network(inputs), without detach() and not under torch.no_grad(), or a parameter itself"
            )
        self._theta = theta
        self.leaves: Parameters = _leaves(theta)
        self._v = torch.zeros_like(theta, requires_grad=True)
        try:
            pulled = torch.autograd.grad(theta, self.leaves, self._v, create_graph=True, materialize_grads=True)
            # Those that do not depend on v are none of theta's.
            self._depend = [index for index, tensor in enumerate(pulled) if tensor.requires_grad]
            self._pulled = [pulled[index] for index in self._depend]
            for tensor in self._pulled:
                if tensor.grad_fn is not None:
                    _check_twice(tensor.grad_fn)
            self.push(tuple(torch.zeros_like(leaf) for leaf in self.leaves))
        except RuntimeError as error:
            line = _line(error)
            if "second time" in line or "inplace operation" in line:
                raise ValueError(
                    f"theta: its graph is not what it was ({line}); make theta anew, and calibrate before backward() "
                    "and before the optimiser's step"
                ) from error
            raise ValueError(f"theta: cannot be differentiated twice ({line}); {_ADVICE}") from error

    def pull(self, gradient: Tensor) -> Parameters:
        """J^T gradient: the parameters' gradient, from that of theta, (B, *instance_shape)."""
        return torch.autograd.grad(self._theta, self.leaves, gradient, retain_graph=True, materialize_grads=True)

    def push(self, move: Parameters) -> Tensor:
        """J move: how theta moves, (B, *instance_shape), as the parameters do."""
        along = [move[index] for index in self._depend]
        (moved,) = torch.autograd.grad(self._pulled, self._v, along, retain_graph=True, materialize_grads=True)
        return moved.detach()


def _leaves(theta: Tensor) -> Parameters:
    """The tensors without a history that theta was made of and that ask for a gradient."""
    if theta.grad_fn is None:
        return (theta,)
    leaves = {id(leaf): leaf for node in _nodes(theta.grad_fn) if (leaf := getattr(node, "variable", None)) is not None}
    return tuple(leaves.values())


def _nodes(root: Any) -> Iterator[Any]:
    """All nodes of a graph."""
    seen, left = {root}, [root]
    while left:
        node = left.pop()
        yield node
        following = {other for other, _ in node.next_functions if other is not None} - seen
        seen |= following
        left += following


def _check_twice(root: Any) -> None:
    """Raises `RuntimeError` for what is marked as once differentiable, and would be passed by in silence."""
    if any(node.name().endswith("::Error") for node in _nodes(root)):
        raise RuntimeError("it was made by a function that is marked as once differentiable")


def _line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split())
