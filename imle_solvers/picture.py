"""What `layer.plot` shows: solves, and hands the solution to `imle_solvers.viz`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from imle_solvers.adapter import SolverAdapter
from imle_solvers.solving.context import prepare_context
from imle_solvers.solving.loss_value import loss_of
from imle_solvers.solving.theta import is_single
from imle_solvers.viz.canvas import check_axes
from imle_solvers.viz.instances import plot_solution, plot_values, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Show = Literal["map", "sample", "marginals", "gradient"]


class Solving(Protocol):
    """What a picture asks of a layer."""

    adapter: SolverAdapter

    def __call__(self, theta: Tensor, **context: Any) -> Tensor: ...
    def map(self, theta: Tensor, **context: Any) -> Tensor: ...
    def sample(self, theta: Tensor, num_samples: int, **context: Any) -> Tensor: ...
    def marginals(self, theta: Tensor, num_samples: int, **context: Any) -> Tensor: ...


def merged_context(context: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Context from a mapping and from keywords, each name once.

    Raises:
        TypeError: `context` is no mapping, or has a name that is a keyword, too.
    """
    if context is None:
        return dict(more)
    if not isinstance(context, Mapping):
        raise TypeError(
            f"context: expected a mapping from names to arrays, got {type(context).__name__}; the adapter's context of "
            'the name "context" is passed by context={"context": ...}'
        )
    for name in more:
        if name in context:
            raise TypeError(f"plot: got {name!r} twice, in context= and as a keyword; leave one of them out")
    return {**context, **more}


def check_options(options: Mapping[str, Any], adapter: SolverAdapter) -> None:
    """Raises `TypeError` where context of the adapter was passed as an option of the same name."""
    for name, value in options.items():
        if name in adapter.context and isinstance(value, Tensor | np.ndarray | list | tuple):
            raise TypeError(
                f"plot: {name} is an argument of plot's own; pass context of that name by context={{{name!r}: ...}}"
            )


def picture_of(
    layer: Solving,
    theta: Tensor,
    context: dict[str, Any],
    show: Show,
    instance: int,
    num_samples: int,
    loss: Callable[[Tensor], Tensor] | None,
    axes: Axes | None,
) -> Axes:
    """Draws one instance, see `SolverLayer.plot`. Solves for that one alone, but for the gradient of a loss."""
    check_axes(axes)
    if show not in get_args(Show):
        raise ValueError(f'show: expected "map", "sample", "marginals" or "gradient", got {show!r}')
    if (show == "gradient") != (loss is not None):
        raise ValueError(
            'plot: show="gradient" draws that of a loss, and nothing else does: '
            'layer.plot(theta, "gradient", loss=lambda z: (z - labels).abs().sum())'
        )
    single = is_single(theta, layer.adapter)
    thetas = theta.detach().unsqueeze(0) if single else theta.detach()
    batch = len(thetas)
    if isinstance(instance, bool) or not isinstance(instance, int):
        raise TypeError(f"instance: expected an int, got {instance!r}")
    if not -batch <= instance < batch:
        raise IndexError(f"instance: expected one of the {batch} of the batch, got {instance}")
    instance %= batch
    every = prepare_context(layer.adapter, context, batch, theta.device, single=single)
    own = {name: values[instance] for name, values in every.items()}
    words = {"map": "MAP state", "marginals": f"marginals, {num_samples} samples"}
    title = titled(words.get(show, show), instance, None if single else batch)
    place: dict[str, Any] = {"context": own, "title": title, "axes": axes}
    if loss is not None:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = theta.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(loss_of(loss, layer(leaf, **context)), leaf)
        return plot_values(layer.adapter, gradient if single else gradient[instance], kind="gradient", **place)
    one = thetas[instance]
    with torch.no_grad():
        if show == "marginals":
            return plot_values(layer.adapter, layer.marginals(one, num_samples, **own), kind="shares", **place)
        solution = layer.map(one, **own) if show == "map" else layer.sample(one, 1, **own)[0]
    return plot_solution(layer.adapter, one, solution, **place)
