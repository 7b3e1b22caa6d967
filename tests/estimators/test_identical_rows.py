"""Rows of a batch that are the same are solved once, and each gets its solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imle_adapters import ShortestPathAdapter
from imle_solvers import IMLE, SolverLayer, Status
from imle_solvers.adapter import Solutions, SolverAdapter
from imle_solvers.solving.batch_solver import IDENTICAL
from imle_solvers.solving.selection import select
from tests.solvers import function_adapter


def test_identical_rows_are_solved_once():
    solves = []
    adapter = function_adapter(lambda theta: (solves.append(1), theta * 2)[1], n=3)
    layer = SolverLayer(adapter, estimator=IMLE(None), num_samples=4, num_workers=0)
    theta = torch.randn(5, 3)[[0, 1, 0, 2, 2, 2]]
    z = layer(theta)
    assert torch.equal(z, (2 * theta).unsqueeze(1).expand(-1, 4, -1))
    assert len(solves) == 3
    assert layer.stats().counters[IDENTICAL] == 21
    assert layer.stats().statuses[Status.OPTIMAL] == 24


def test_rows_of_another_context_are_not_identical():
    graph = ShortestPathAdapter.grid(3, 3)
    layer = SolverLayer(graph, num_workers=0)
    blocked = torch.zeros(3, 3, 3, dtype=torch.bool)
    blocked[2, 1, 1] = True
    costs = torch.ones(3, 3, 3)
    costs[:, 1, 1] = 0.1
    z = layer.map(costs, blocked=blocked)
    assert torch.equal(z[0], z[1])
    assert not torch.equal(z[0], z[2])
    assert layer.stats().counters[IDENTICAL] == 1


def test_errors_name_the_row_of_the_batch_though_others_are_skipped():
    def fail(theta):
        if theta[0] == 7:
            raise ValueError("seven")
        return theta

    layer = SolverLayer(function_adapter(fail), num_workers=0)
    with pytest.raises(RuntimeError, match="instance 4, sample 0.*seven"):
        layer.map(torch.tensor([[1.0, 1], [1, 1], [1, 1], [2, 2], [7, 7], [7, 7]]))


@pytest.mark.parametrize("places", [[0, 1, 2], [0, 7, 25]], ids=["all entries", "entries that short keys lack"])
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*(st.integers(0, most) for most in (2, 1, 2, 1))), min_size=1, max_size=12),
    st.data(),
)
def test_every_asked_row_gets_the_solution_of_its_like(places, rows, data):
    thetas = np.zeros((len(rows), places[-1] + 1))
    thetas[:, places] = [row[:3] for row in rows]
    context = {"k": np.array([row[3] for row in rows])}
    needed = data.draw(st.none() | st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    mask = None if needed is None else np.array(needed)
    selection = select(thetas, context, mask)
    asked = np.ones(len(rows), dtype=bool) if mask is None else mask
    if selection is None:
        assert asked.all()
        assert len({tuple(row) for row in rows}) == len(rows)
        return
    both = np.hstack([thetas, context["k"][:, None]])
    solved = both[selection.chosen] + 1
    expected = np.where(asked[:, None], both + 1, 0)
    np.testing.assert_array_equal(selection.spread(solved), expected)
    assert len(selection.chosen) == len({row for row, is_asked in zip(rows, asked, strict=True) if is_asked})


def test_rows_are_gathered_and_spread_in_place():
    """Several blocks of rows of 4096 entries, in memory that already lies there."""
    rng = np.random.default_rng(0)
    thetas = rng.random((60, 4096))
    thetas[rng.integers(0, 60, 20)] = thetas[3]
    needed = rng.random(60) < 0.7
    selection = select(thetas, {}, needed)
    assert selection is not None
    expected = np.where(needed[:, None], thetas + 1, 0)
    gathered = selection.gather(rows := thetas.copy())
    np.testing.assert_array_equal(gathered, thetas[selection.chosen])
    assert np.shares_memory(gathered, rows)
    solved = gathered + 1
    np.testing.assert_array_equal(selection.spread(solved), expected)
    assert selection.spread(solved, rows) is rows
    np.testing.assert_array_equal(rows, expected)


def test_an_adapter_may_return_theta_overwritten():
    class InPlace(SolverAdapter):
        sense = "max"
        instance_shape = (3,)

        def solve_batch(self, state, thetas, context):
            thetas *= 2
            return Solutions(thetas, np.zeros(len(thetas), np.uint8), fresh=True)

    theta = torch.tensor([[1.0, 2, 3], [1, 2, 3], [4, 5, 6], [1, 2, 3], [7, 8, 9]])
    with SolverLayer(InPlace(), num_workers=0) as layer:
        assert torch.equal(layer.map(theta), 2 * theta)
        assert layer.stats().counters[IDENTICAL] == 2
