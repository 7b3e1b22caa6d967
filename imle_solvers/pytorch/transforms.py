"""What of PyTorch a solver cannot take part in, and what is said then. docs/pytorch.md lists it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_FUNC = (
    "SolverLayer does not work under torch.func (grad, vjp, jvp, jacrev, vmap, ...), since solvers need values; call "
    "it with a batch of theta, and differentiate by backward() or torch.autograd.grad"
)
_FORWARD_MODE = (
    "SolverLayer has no forward-mode derivative: its gradients are estimated from what comes backward; use backward() "
    "or torch.autograd.grad"
)
_META = "theta is on the meta device, and has no values to solve with; move the model to a device that has"
_TRACED = (
    "SolverLayer cannot be exported or traced, as its solver is no part of a graph; export the network that predicts "
    "theta, and call the layer with what it returns"
)
_TWICE = (
    "SolverLayer cannot be differentiated twice: its gradient is an estimate, made of solutions, without a derivative; "
    "leave out create_graph=True, or detach the gradient"
)
_BATCHED = (
    "SolverLayer takes one downstream gradient at a time: call torch.autograd.grad for each, without "
    "is_grads_batched=True, or jacobian without vectorize=True"
)


def check_values(theta: Tensor) -> None:
    """Raises `RuntimeError` for a tensor that solvers cannot read, and where a trace is expected of what they do."""
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(_FUNC)
    if forward_ad.unpack_dual(theta).tangent is not None:
        raise RuntimeError(_FORWARD_MODE)
    if theta.is_meta:
        raise RuntimeError(_META)
    if torch._C._is_tracing():
        raise RuntimeError(_TRACED)
    if theta.is_nested:
        raise RuntimeError("theta: expected a dense tensor, got a nested one; pad its instances, and mask the padding")
    if theta.layout is not torch.strided:
        raise RuntimeError(f"theta: expected a dense tensor, got one of {theta.layout}; pass theta.to_dense()")
    kind = type(theta)
    if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        if kind.__name__ == "FakeTensor":
            raise RuntimeError(_TRACED)
        raise RuntimeError(
            f"theta: expected a plain tensor, got a {kind.__name__}, whose values solvers cannot read; make it one, a "
            "DTensor by theta.to_local() or theta.full_tensor()"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Like PyTorch's, with errors that say what is wrong with solvers. For `backward` with one incoming gradient.

    Its first result is the gradient.
    """

    @functools.wraps(backward)
    def once(ctx: Any, incoming: Tensor) -> Any:
        if torch._C._functorch.is_legacy_batchedtensor(incoming) or torch._C._functorch.is_batchedtensor(incoming):
            raise RuntimeError(_BATCHED)
        with torch.no_grad():
            results = backward(ctx, incoming)
        if torch.is_grad_enabled() and incoming.requires_grad:
            return _Final.apply(results[0], incoming), *results[1:]  # type: ignore[no-untyped-call]
        return results

    return once


class _Final(torch.autograd.Function):
    """A gradient that depends on another in a way that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, incoming: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> Any:
        raise RuntimeError(_TWICE)
