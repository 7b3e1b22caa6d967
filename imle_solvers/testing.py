"""Checks that every adapter must pass, for authors of adapters to call in their own tests."""

from __future__ import annotations

import contextlib
import math
import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from imle_solvers.adapter import Parallelism, SolverAdapter, claims_binary
from imle_solvers.contract import check_adapter_attributes
from imle_solvers.deferred import wait_for_kernels
from imle_solvers.errors import AdapterError, ImleSolversError, InputError
from imle_solvers.executors.base import Executor
from imle_solvers.executors.pickled import pickled
from imle_solvers.executors.processes.executor import ProcessExecutor
from imle_solvers.executors.serial import SerialExecutor
from imle_solvers.executors.threads import ThreadExecutor
from imle_solvers.layer import SolverLayer


def check_adapter(adapter: SolverAdapter, theta: Tensor, **context: Any) -> None:
    """Asserts that an adapter keeps the contract of `SolverAdapter`, on the given instances.

    It must have its attributes; survive pickling by cloudpickle; give the same solutions for an instance alone, in a
    batch, in another order, after other solves, in threads and in worker processes; leave theta as it is; take float32
    as well as float64; keep what `is_binary` claims; and solve each instance no worse than any solution it returned for
    another of the same context.

    Its state is built five times, of which twice in threads and twice in worker processes, however many instances there
    are.

    It cannot tell whether solutions are feasible, nor whether better ones exist: compare with brute force for that.

    Args:
        adapter: the adapter.
        theta: (B, *instance_shape) float64 with B of at least 2, feasible instances.
        **context: per-instance arrays with a leading axis of B.

    Raises:
        AssertionError: naming the promise that was broken, in one line; also where the adapter raises, returns what is
            no solution, or does not end OPTIMAL.
        TypeError, ValueError: theta or context is not what the adapter takes.
    """
    with _in_plain_words(TypeError, ValueError):
        check_adapter_attributes(adapter)
    assert len(theta) >= 2, "give at least two instances"
    before = theta.clone()
    context = {name: torch.as_tensor(values) for name, values in context.items()}

    def solve(theta: Tensor, rows: Tensor, executor: Executor, adapter: SolverAdapter = adapter) -> Tensor:
        with _in_plain_words():
            layer = SolverLayer(adapter, executor=executor)
            return layer.map(theta[rows], **{name: values[rows] for name, values in context.items()})

    rows = torch.arange(len(theta))
    with SerialExecutor() as serial:  # the same all along, since it may take long to build a state
        z = solve(theta, rows, serial)
        wait_for_kernels()  # what has solved until they are there is compared with what does from now on
        assert z.shape == (len(theta), *adapter.solution_shape), f"solutions have shape {tuple(z.shape)}"
        assert torch.equal(theta, before), "theta was changed"
        for row in rows:
            alone = solve(theta, row[None], serial)[0]
            assert torch.equal(alone, z[row]), f"instance {row} alone is solved differently"
        assert torch.equal(solve(theta, rows.flip(0), serial).flip(0), z), "the order of instances changes solutions"
        assert torch.equal(solve(theta, rows, serial), z), "earlier solves change later ones"
        single = solve(theta.float(), rows, serial)
        assert single.dtype == torch.float32
        assert single.shape == z.shape
    twin = _copy(adapter)
    assert repr(twin) == repr(adapter), "pickling changes the repr"
    if adapter.parallelism is Parallelism.DEVICE:
        assert torch.equal(solve(theta, rows, SerialExecutor(), twin), z), "a pickled copy solves differently"
    else:
        for name, kind in (("threads", ThreadExecutor), ("processes", ProcessExecutor)):
            with kind(2) as executor:
                assert torch.equal(solve(theta, rows, executor), z), f"{name} solve differently"
    if claims_binary(adapter, {name: values.numpy() for name, values in context.items()}):
        assert ((z == 0) | (z == 1)).all(), "is_binary, but solutions have other entries than zero and one"
    if adapter.solution_shape == adapter.instance_shape:
        _check_no_rival_is_better(adapter, theta, z, context)


@contextlib.contextmanager
def _in_plain_words(*more: type[Exception]) -> Iterator[None]:
    """Turns errors of the adapter's making into assertions of one line. What the caller gave comes up as it is."""
    broken: tuple[type[Exception], ...] = (ImleSolversError, *more)
    try:
        yield
    except InputError:
        raise
    except broken as error:
        raise AssertionError(" ".join(str(error).split())) from error


def _copy(adapter: SolverAdapter) -> SolverAdapter:
    """The adapter as it arrives at workers."""
    with _in_plain_words():
        data = pickled(adapter)
        try:
            twin: SolverAdapter = pickle.loads(data)
        except Exception as error:
            raise AdapterError(f"{adapter!r} pickles, but cannot be loaded: {type(error).__name__}: {error}") from error
    return twin


def _check_no_rival_is_better(adapter: SolverAdapter, theta: Tensor, z: Tensor, context: dict[str, Tensor]) -> None:
    rows = (len(theta), math.prod(adapter.instance_shape))
    values = theta.reshape(rows) @ z.reshape(rows).T  # (instance, solution)
    own = values.diagonal().unsqueeze(1)
    gain = own - values if adapter.sense == "min" else values - own
    same = torch.ones_like(gain, dtype=torch.bool)
    for array in context.values():
        flat = array.reshape(len(theta), -1)
        same &= (flat.unsqueeze(1) == flat.unsqueeze(0)).all(-1)
    gain = torch.where(same, gain, 0.0)
    worst = int(gain.argmax())
    instance, rival = divmod(worst, len(theta))
    assert gain.max() <= 1e-6 * (1 + values.abs().max()), (
        f"instance {instance} is solved worse than by the solution of instance {rival}: "
        f"objective {float(own[instance])} against {float(values[instance, rival])}"
    )
