"""Checks that every adapter must pass, for authors of adapters to call in their own tests."""

from __future__ import annotations

import math
from typing import Any

import cloudpickle
import torch
from torch import Tensor

from imle_solvers.adapter import Parallelism, SolverAdapter, claims_binary
from imle_solvers.contract import check_adapter_attributes
from imle_solvers.layer import SolverLayer


def check_adapter(adapter: SolverAdapter, theta: Tensor, **context: Any) -> None:
    """Asserts that an adapter keeps the contract of `SolverAdapter`, on the given instances.

    It must have its attributes; survive pickling by cloudpickle; give the same solutions for an instance alone, in a
    batch, in another order, after other solves, in threads and in worker processes; leave theta as it is; take float32
    as well as float64; keep what `is_binary` claims; and solve each instance no worse than any solution it returned for
    another of the same context.

    It cannot tell whether solutions are feasible, nor whether better ones exist: compare with brute force for that.

    Args:
        adapter: the adapter.
        theta: (B, *instance_shape) float64 with B of at least 2, feasible instances.
        **context: per-instance arrays with a leading axis of B.

    Raises:
        AssertionError: naming the promise that was broken.
    """
    check_adapter_attributes(adapter)
    assert len(theta) >= 2, "give at least two instances"
    before = theta.clone()
    context = {name: torch.as_tensor(values) for name, values in context.items()}

    def solve(adapter: SolverAdapter, rows: Tensor, **kwargs: Any) -> Tensor:
        with SolverLayer(adapter, **{"num_workers": 0, **kwargs}) as layer:
            return layer.map(theta[rows], **{name: values[rows] for name, values in context.items()})

    rows = torch.arange(len(theta))
    z = solve(adapter, rows)
    assert z.shape == (len(theta), *adapter.solution_shape), f"solutions have shape {tuple(z.shape)}"
    assert torch.equal(theta, before), "theta was changed"
    for row in rows:
        assert torch.equal(solve(adapter, row[None])[0], z[row]), f"instance {row} alone is solved differently"
    assert torch.equal(solve(adapter, rows.flip(0)).flip(0), z), "the order of instances changes solutions"
    with SolverLayer(adapter, num_workers=0) as layer:
        for _ in range(2):
            assert torch.equal(layer.map(theta, **context), z), "earlier solves change later ones"
    twin = cloudpickle.loads(cloudpickle.dumps(adapter))  # as adapters travel to workers
    assert repr(twin) == repr(adapter), "pickling changes the repr"
    assert torch.equal(solve(twin, rows), z), "a pickled copy solves differently"
    if adapter.parallelism is not Parallelism.DEVICE:
        for executor in ("threads", "processes"):
            solved = solve(adapter, rows, executor=executor, num_workers=2)
            assert torch.equal(solved, z), f"{executor} solve differently"
    if claims_binary(adapter, {name: values.numpy() for name, values in context.items()}):
        assert ((z == 0) | (z == 1)).all(), "is_binary, but solutions have other entries than zero and one"
    if adapter.solution_shape == adapter.instance_shape:
        _check_no_rival_is_better(adapter, theta, z, context)
    with SolverLayer(adapter, num_workers=0) as layer:
        single = layer.map(theta.float(), **context)
        assert single.dtype == torch.float32
        assert single.shape == z.shape


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
