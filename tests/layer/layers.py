"""Layers that tests make."""

from __future__ import annotations

import torch

from imle_solvers import SolverLayer

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def make(adapter, **kwargs):
    kwargs.setdefault("num_workers", 0)
    kwargs.setdefault("generator", torch.Generator().manual_seed(0))
    return SolverLayer(adapter, **kwargs)
