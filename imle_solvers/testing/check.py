"""All checks of an adapter, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from imle_solvers.adapter import SolverAdapter
from imle_solvers.testing import claims, optimality, repeatability, travel
from imle_solvers.testing.subject import Feasible, Objective, Subject

CHECKS: dict[str, Callable[[Subject], None]] = {
    "pickles": travel.check_pickling,
    "depends on no global random state, and moves none": repeatability.check_random_state,
    "leaves earlier solutions as they are": repeatability.check_memory,
    "gives an instance the same solution each time": repeatability.check_repetition,
    "settles how to solve once": repeatability.check_revision,
    "solves float32 as well": repeatability.check_dtypes,
    "has zeros and ones where it says is_binary": claims.check_binary,
    "has about num_ones ones": claims.check_num_ones,
    "has feasible solutions": claims.check_feasibility,
    "answers to theta": optimality.check_theta_matters,
    "has no worse solutions than it has found itself": optimality.check_sense,
    "answers to context": optimality.check_context_matters,
    "solves the same in threads": repeatability.check_threads,
    "solves the same in worker processes, and imports nothing heavy there": travel.check_processes,
}
"""By what it says of an adapter: a check, which raises `AssertionError`. What starts workers comes last."""


def test_name(promise: str) -> str:
    """What the test of a check, by its words in `CHECKS`, is called in `AdapterContract`."""
    return "test_it_" + promise.replace(",", "").replace(" ", "_")


def check_adapter(
    adapter: SolverAdapter,
    theta: Tensor,
    *,
    feasible: Feasible | None = None,
    objective: Objective | None = None,
    any_sign: bool = True,
    **context: Any,
) -> None:
    """Asserts that an adapter keeps the contract of `SolverAdapter`, on the given instances and on others like them.

    It must have its attributes; survive pickling by cloudpickle; give the same solutions for an instance alone, in a
    batch, in another order, after other solves, where solutions tie, in threads and in worker processes, whatever the
    state of global random generators, which it must not move; import nothing heavy in workers, such as torch; leave
    theta and earlier solutions as they are; take float32 as well as float64; keep what `is_binary` and `num_ones`
    claim; answer to theta and to context; and solve each instance no worse than any solution it returned for another
    of the same context.

    The others are made of the given: shuffled, with tied entries, with noise, and with all signs turned. The adapter
    may refuse them, by `InputError` from `check` or by a status that is not OPTIMAL; or clamp theta, and count that
    under a name that begins with "clamped". For claims that may fail rarely up to 100 more are tried, as many as a
    second allows.

    Its state is built six times, of which twice in threads and three times in worker processes, however many instances
    there are. It is solved in a worker process first, so that one that ends its process is an AssertionError here.

    Torch in a worker is found where the adapter's module imports it, so the module of a model is no place for an
    adapter, nor is one of tests.

    It cannot tell whether better solutions exist: compare with brute force for that. `AdapterContract` runs the same
    under pytest, a test for each check.

    Args:
        adapter: the adapter.
        theta: (B, *instance_shape) float64 with B of at least 2, feasible instances.
        feasible: `feasible(solution, **context)` says of one instance whether a solution is, (*solution_shape) and
            context as numpy arrays. None: whatever the adapter returns is.
        objective: `objective(theta, solution, **context)` says of one instance, in numpy arrays, what the adapter makes
            least or largest. None: the sum of theta times solution, where they have the same shape.
        any_sign: whether theta of other signs than those given are tried.
        **context: per-instance arrays with a leading axis of B.

    Raises:
        AssertionError: naming the promise that was broken, in one line: what was done, what was expected, what came,
            and what to do; also where the adapter raises, returns what is no solution, or does not end OPTIMAL.
        TypeError, ValueError: theta or context is not what the adapter takes.
    """
    __tracebackhide__ = True
    for name, function in {"feasible": feasible, "objective": objective}.items():
        if function is not None and not callable(function):
            raise TypeError(
                f"{name}: expected a function, got {type(function).__name__}; if it is the adapter's context, "
                "use AdapterContract"
            )
    subject = Subject(adapter, theta, context, feasible, objective, any_sign=any_sign)
    for check in CHECKS.values():
        check(subject)
