"""A plain function as an adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from imle_solvers.adapter import Context, ContextShapes, FloatArray, IsBinary, Parallelism, Sense, Shape, SolverAdapter
from imle_solvers.arguments import explain_arguments
from imle_solvers.contract import as_shape, check_adapter_attributes, check_takes


@explain_arguments()
class FunctionAdapter(SolverAdapter):
    """A solver that is a function.

    With `batched=False`, `fn(theta, **context)` takes one numpy instance, (*instance_shape), and returns a solution,
    (*solution_shape), or `(solution, Status)`, or `(solution, Status, gap)` (see `Solutions.gaps`). It runs in worker
    processes, so it may be a lambda or a closure, but what it refers to must pickle.

    With `batched=True`, `fn(thetas, **context)` takes a tensor, (N, *instance_shape), on the device of the layer's
    input, and returns a tensor, (N, *solution_shape), there. No workers are involved.

    Args:
        fn: the function, deterministic in its arguments.
        sense: "min" if theta are costs, "max" if they are scores.
        instance_shape: shape of theta for one instance; n stands for (n,), as it does in the other shapes.
        solution_shape: shape of one solution; None: theta's.
        batched: whether `fn` takes a batch of tensors.
        context: names of the per-instance arrays that `fn` takes besides theta, or a mapping of names to their
            shapes for one instance.
        num_ones: about how many ones a solution has, if known.
        binary: whether all feasible solutions have entries of zero and one only, so that target solutions that are
            known need not be solved for.

    Raises:
        TypeError: `fn` is not callable, or not with theta and the context; another argument of the wrong kind.
        ValueError: an unknown sense, a negative number of ones, or a shape with a side below 0.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        sense: Sense,
        instance_shape: int | Sequence[int],
        solution_shape: int | Sequence[int] | None = None,
        batched: bool = False,
        context: Sequence[str] | Mapping[str, int | Sequence[int] | None] = (),
        num_ones: float | None = None,
        binary: bool = False,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"FunctionAdapter: expected a function, got {type(fn).__name__}")
        if isinstance(context, str):
            raise TypeError(
                f"FunctionAdapter: expected a list of names as context, such as [{context!r}], got a string"
            )
        self.fn = fn
        self.sense: Sense = sense
        self.instance_shape: Shape = as_shape(instance_shape, "FunctionAdapter: instance_shape")
        if solution_shape is not None:
            self.solution_shape = as_shape(solution_shape, "FunctionAdapter: solution_shape")
        self.parallelism = Parallelism.DEVICE if batched else Parallelism.PROCESSES
        shapes = context.items() if isinstance(context, Mapping) else ((name, None) for name in context)
        self.context: ContextShapes = {
            name: None if shape is None else as_shape(shape, f"FunctionAdapter: the shape of context {name!r}")
            for name, shape in shapes
        }
        self.num_ones = num_ones
        if binary:
            self.is_binary: IsBinary = True
        check_adapter_attributes(self)
        hint = "; name in context= what it takes besides theta"
        check_takes(fn, f"FunctionAdapter: {_name(fn)}", ["thetas" if batched else "theta"], self.context, hint)

    # By position, as it is called, so that context may have these names.
    def solve(self, state: Any, theta: FloatArray, /, **context: Any) -> Any:  # type: ignore[override]
        return self.fn(theta, **context)

    def solve_tensors(self, thetas: Any, context: Context) -> Any:
        return self.fn(thetas, **context)

    def __repr__(self) -> str:
        return f"FunctionAdapter({_name(self.fn)}, sense={self.sense!r}, instance_shape={self.instance_shape})"


def _name(function: Callable[..., Any]) -> str:
    name: str = getattr(function, "__name__", type(function).__name__)
    return name
