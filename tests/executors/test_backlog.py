"""The rows of a batch are each solved once, whatever becomes of the workers that have them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imle_solvers.executors.backlog import Backlog


@given(
    rows=st.integers(1, 60),
    workers=st.integers(1, 5),
    row_seconds=st.one_of(st.none(), st.floats(0, 1)),
    deaths=st.sets(st.integers(0, 30)),
)
def test_every_row_is_solved_by_one_or_given_up_after_two_deaths(rows, workers, row_seconds, deaths):
    backlog = Backlog(rows, chunk_seconds=0.05)
    solved, died, given_up = np.zeros(rows, int), np.zeros(rows, int), []
    turn = 0
    while backlog:
        start, stop = chunk = backlog.take(workers, row_seconds)
        assert 0 <= start < stop <= rows
        if turn in deaths:
            died[start:stop] += 1
            given_up += backlog.lost(chunk)
        else:
            solved[start:stop] += 1
        turn += 1
    assert sorted(given_up) == np.flatnonzero(died == 2).tolist()
    np.testing.assert_array_equal(solved, died < 2)


def test_a_chunk_that_was_not_begun_comes_again_as_it_was():
    backlog = Backlog(10, chunk_seconds=1.0)
    chunk = backlog.take(1, 0.3)
    rest = backlog.take(1, 0.0)
    assert not backlog
    backlog.put_back(chunk)
    assert backlog.take(1, 0.3) == chunk
    assert rest == (chunk[1], 10)


def test_without_time_for_a_chunk_rows_come_one_by_one():
    backlog, chunks = Backlog(5, chunk_seconds=0), []
    while backlog:
        chunks.append(backlog.take(3, 1e-6))
    assert chunks == [(row, row + 1) for row in range(5)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_batch_that_is_solved_in_the_time_of_a_chunk_is_cut_once_for_each_worker(workers):
    backlog, chunks = Backlog(30, chunk_seconds=0.05), []
    while backlog:
        chunks.append(backlog.take(workers, 1e-6))
    assert len(chunks) == workers


def test_chunks_of_slow_rows_take_the_time_they_should_and_end_small():
    backlog, sizes = Backlog(100, chunk_seconds=0.05), []
    while backlog:
        start, stop = backlog.take(2, 0.01)
        sizes.append(stop - start)
    assert max(sizes) == 5
    assert sizes[-4:] == [1, 1, 1, 1]
    assert sizes == sorted(sizes, reverse=True)


def test_there_is_plenty_while_each_worker_has_rows_to_come():
    backlog = Backlog(12, 0)
    assert backlog.plenty(6)
    assert not backlog.plenty(7)
    backlog.take(3, None)
    assert not backlog.plenty(6)
    assert backlog.plenty(3)


def test_nothing_is_given_out_ahead_of_rows_on_which_a_worker_died():
    backlog = Backlog(100, 1.0)
    chunk = backlog.take(2, 0.1)
    assert backlog.plenty(2)
    assert not backlog.suspects(chunk)
    backlog.lost(chunk)
    assert not backlog.plenty(2)
    assert backlog.suspects(chunk)
    while not backlog.plenty(2):
        assert backlog.suspects(backlog.take(2, 0.1))
    assert not backlog.suspects(backlog.take(2, 0.1))
