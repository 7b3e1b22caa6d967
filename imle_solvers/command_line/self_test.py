"""A layer, where it can run, on a problem of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from imle_solvers.command_line.table import one_line, show
from imle_solvers.executors.base import Executor
from imle_solvers.executors.processes.executor import ProcessExecutor
from imle_solvers.executors.threads import ThreadExecutor
from imle_solvers.function_adapter import FunctionAdapter
from imle_solvers.layer import SolverLayer

_N, _K = 8, 3


def run_self_test() -> int:
    """Prints a line for each part of the test.

    Returns:
        0 if all is well, 1 if not.
    """
    theta = torch.linspace(-1, 1, 16 * _N).reshape(16, _N).sin()
    expected = torch.zeros_like(theta).scatter(1, theta.topk(_K).indices, 1.0)
    tests: dict[str, Callable[[], None]] = {
        "training": lambda: _train(theta),
        "in-process": lambda: _compare(theta, expected, "serial"),
        "threads": lambda: _compare(theta, expected, ThreadExecutor(2)),
        "processes": lambda: _compare(theta, expected, ProcessExecutor(2)),
    }
    if torch.cuda.is_available():
        tests["GPU"] = lambda: _compare(theta.cuda(), expected.cuda(), "serial")
    failed = 0
    for name, test in tests.items():
        begin = time.perf_counter()
        try:
            test()
        except Exception as error:
            failed += 1
            show("self-test", f"{name}: FAILED, {one_line(error)}")
        else:
            show("self-test", f"{name}: ok ({time.perf_counter() - begin:.1f} s)")
    return int(failed > 0)


def _adapter() -> FunctionAdapter:
    k = _K

    def top_k(theta: Any) -> Any:  # not of this module, which imports torch: a worker gets it as it is
        import numpy as np

        return np.isin(np.arange(len(theta)), np.argsort(-theta)[:k])

    return FunctionAdapter(top_k, sense="max", instance_shape=(_N,), num_ones=_K, binary=True)


def _train(theta: Tensor) -> None:
    variable = theta.clone().requires_grad_()
    with SolverLayer(_adapter(), num_workers=0, num_samples=4) as layer:
        layer(variable).square().sum().backward()
    if variable.grad is None or not bool(variable.grad.isfinite().all()):
        raise AssertionError("expected a finite gradient, got none, or one that is not")


def _compare(theta: Tensor, expected: Tensor, executor: str | Executor) -> None:
    try:
        with SolverLayer(_adapter(), executor=executor) as layer:
            z = layer.map(theta)
    finally:
        if isinstance(executor, Executor):
            executor.close()
    if not torch.equal(z, expected):
        wrong = int((z != expected).any(1).sum())
        raise AssertionError(f"expected the largest {_K} of {_N} entries, got others for {wrong} of {len(theta)}")
