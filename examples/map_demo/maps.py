"""The map: costs of cells, and paths over them."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer

CHEAP, DEAR = 1.0, 100.0
SIDES = range(2, 65)


def walls() -> Tensor:
    """The map of torch-imle's annotation-cli.py: 16 x 16 cells of cost 1, and three blocks of cost 100."""
    costs = torch.full((16, 16), CHEAP)
    costs[1:6, :12] = DEAR
    costs[8:12, 1:] = DEAR
    costs[14:, 6:10] = DEAR
    return costs


def read_map(file: Path) -> Tensor:
    """Reads a map from a text file: a row of costs a line, separated by blanks or commas.

    Returns:
        (H, W) costs, 0 or more.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a map; says in which line.
    """
    if not file.is_file():
        raise FileNotFoundError(f"expected a map, a row of costs a line, found no file {file}")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected text in UTF-8, got other bytes at position {error.start}") from None
    rows = [_row(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if len(rows) not in SIDES:
        raise ValueError(f"{file}: expected {SIDES[0]} to {SIDES[-1]} rows of costs, found {len(rows)}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{file}: expected {len(rows[0])} costs in each row, as in the first, found {len(row)} in row {number}"
            )
    return torch.tensor(rows)


def _row(file: Path, number: int, line: str) -> list[float]:
    try:
        costs = [float(word) for word in line.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"{file}, line {number}: expected costs separated by blanks or commas ({error})") from None
    if len(costs) not in SIDES:
        raise ValueError(f"{file}, line {number}: expected {SIDES[0]} to {SIDES[-1]} costs, found {len(costs)}")
    if wrong := [cost for cost in costs if not 0 <= cost < math.inf]:
        raise ValueError(f"{file}, line {number}: expected costs of 0 or more, got {wrong[0]:g}")
    return costs


def paths_over(costs: Tensor) -> ShortestPathAdapter:
    """Paths from the upper left to the lower right cell, over eight neighbours, of a map of this size."""
    height, width = costs.shape
    return ShortestPathAdapter.grid(height, width, neighbourhood=8, costs="vertex")


def cheapest(adapter: ShortestPathAdapter, costs: Tensor) -> Tensor:
    """The cheapest paths of maps, without noise: (*, H, W) in and out."""
    with SolverLayer(adapter, num_workers=0) as layer, torch.no_grad():
        return layer.map(costs)


def hamming(paths: Tensor, gold: Tensor) -> Tensor:
    """How many cells are wrong, (N, H, W) to (N,); of means of paths the mean of that."""
    return (paths - gold).abs().sum((-2, -1))
