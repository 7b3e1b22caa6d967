"""The rows of a batch are each solved once, whatever becomes of the workers that have them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imle_solvers import Status
from imle_solvers.executors.backlog import Backlog


@given(
    rows=st.integers(1, 60),
    workers=st.integers(1, 5),
    row_seconds=st.one_of(st.none(), st.floats(0, 1)),
    deaths=st.sets(st.integers(0, 30)),
)
def test_every_row_is_solved_by_one_or_given_up_after_two_deaths(rows, workers, row_seconds, deaths):
    thetas = np.arange(1.0, rows + 1)[:, None]
    backlog = Backlog(thetas, (1,), chunk_seconds=0.05)
    solved, died = np.zeros(rows, int), np.zeros(rows, int)
    turn = 0
    while backlog.waiting:
        start, stop = chunk = backlog.take(workers, row_seconds)
        assert 0 <= start < stop <= rows
        if turn in deaths:
            died[start:stop] += 1
            backlog.lost(chunk)
        else:
            solved[start:stop] += 1
            backlog.solved(chunk, thetas[start:stop], np.zeros(stop - start, np.uint8))
        turn += 1
    crashed = died == 2
    np.testing.assert_array_equal(solved, ~crashed)
    solutions = backlog.solutions()
    np.testing.assert_array_equal(solutions.statuses, np.where(crashed, Status.CRASHED, Status.OPTIMAL))
    np.testing.assert_array_equal(solutions.values, np.where(crashed[:, None], 0, thetas))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_batch_that_is_solved_in_the_time_of_a_chunk_is_cut_once_for_each_worker(workers):
    backlog, chunks = Backlog(np.zeros((30, 1)), (1,), chunk_seconds=0.05), []
    while backlog.waiting:
        chunks.append(backlog.take(workers, 1e-6))
    assert len(chunks) == workers


def test_chunks_of_slow_rows_take_the_time_they_should_and_end_small():
    backlog, sizes = Backlog(np.zeros((100, 1)), (1,), chunk_seconds=0.05), []
    while backlog.waiting:
        start, stop = backlog.take(2, 0.01)
        sizes.append(stop - start)
    assert max(sizes) == 5
    assert sizes[-4:] == [1, 1, 1, 1]
    assert sizes == sorted(sizes, reverse=True)
