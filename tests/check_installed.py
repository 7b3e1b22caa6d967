"""Run by `make wheel` with the wheel's own environment: imports and solves, in process and in workers."""

import pathlib

import networkx
import numpy as np
import torch

import imle_adapters
import imle_solvers
from imle_adapters import (
    AssignmentAdapter,
    ILPAdapter,
    ILPSpec,
    MaxArborescenceAdapter,
    MaxSpanningTreeAdapter,
    ShortestPathAdapter,
    TopKAdapter,
)
from imle_solvers import SolverLayer, available_adapters

for package in (imle_solvers, imle_adapters):
    folder = pathlib.Path(package.__file__).parent
    assert "site-packages" in folder.parts, f"{package.__name__} comes from {folder}, not from the wheel"
    assert (folder / "py.typed").exists()

adapters = {
    "ilp": ILPAdapter(ILPSpec(shape=(4,), A_ub=[[2.0, 3, 1, 4]], b_ub=[5.0], integrality=True, ub=1, sense="max")),
    "shortest_path_grid": ShortestPathAdapter.grid(4, 5),
    "max_spanning_tree": MaxSpanningTreeAdapter(networkx.complete_graph(5)),
    "max_arborescence": MaxArborescenceAdapter(networkx.complete_graph(5, networkx.DiGraph)),
    "assignment": AssignmentAdapter(3, 4),
    "top_k": TopKAdapter(5, 2),
}
assert set(adapters) | {"shortest_path"} == set(available_adapters())
for name, adapter in adapters.items():
    for num_workers in (0, 2) if name != "top_k" else (0,):
        with SolverLayer(adapter, num_workers=num_workers) as layer:
            theta = torch.rand(6, *adapter.instance_shape, requires_grad=True)
            z = layer(theta)
            z.sum().backward()
            assert np.isin(z.detach().numpy(), (0, 1)).all()
            assert theta.grad.shape == theta.shape
            print(f"{name}, {num_workers} workers: {layer.stats()}")
