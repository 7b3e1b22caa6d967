"""Schedules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imle_solvers.schedules import cosine, exponential, linear


@pytest.mark.parametrize("schedule", [linear, cosine, exponential])
@given(start=st.floats(0.01, 100), end=st.floats(0.01, 100), steps=st.integers(1, 1000), step=st.integers(-5, 2000))
def test_it_goes_from_start_to_end_and_stays_between(schedule, start, end, steps, step):
    value = schedule(start, end, steps)
    assert value(0) == pytest.approx(start)
    assert value(steps) == value(steps + 7) == pytest.approx(end)
    assert min(start, end) * (1 - 1e-9) <= value(step) <= max(start, end) * (1 + 1e-9)
    assert (value(step + 1) - value(step)) * (end - start) >= -1e-9


def test_halfway():
    assert linear(1, 3, 10)(5) == 2
    assert cosine(1, 3, 10)(5) == pytest.approx(2)
    assert cosine(0, 1, 3)(1) == pytest.approx(0.25)
    assert exponential(1, 4, 10)(5) == pytest.approx(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear(0, 1, 0), "at least one step, got 0"),
        (lambda: cosine(float("inf"), 1, 5), "finite ends"),
        (lambda: exponential(0, 1, 5), "positive ends, got 0 and 1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
