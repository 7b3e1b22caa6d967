"""Totally unimodular programs are recognised, never others."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from imle_adapters.ilp.unimodular import unimodular_rows
from tests.adapters.ilp.instances import knapsack
from tests.adapters.ilp.unimodular import (
    FAMILIES,
    bipartite,
    cycle,
    incidence,
    intervals,
)


def known(matrix: Any) -> bool:
    return unimodular_rows(scipy.sparse.csr_matrix(matrix)) is not None


def is_totally_unimodular(matrix: np.ndarray) -> bool:
    """By all square submatrices."""
    m, n = matrix.shape
    parts = (
        matrix[np.ix_(rows, columns)]
        for k in range(1, min(m, n) + 1)
        for rows in itertools.combinations(range(m), k)
        for columns in itertools.combinations(range(n), k)
    )
    return all(abs(np.rint(np.linalg.det(part))) <= 1 for part in parts)


@pytest.mark.parametrize(
    "matrix",
    [
        FAMILIES["path"].A_eq.toarray(),
        bipartite(4, 5),
        cycle(6),
        intervals(20, 10),
        -intervals(20, 10),
        np.ones((1, 7)),
        np.zeros((2, 3)),
    ],
)
def test_known_matrices(matrix: np.ndarray) -> None:
    """In either direction, with rows times factors, and with bounds, slacks and ranges among the rows."""
    m, n = matrix.shape
    assert known(matrix) and known(matrix.T)
    for kind in (matrix, matrix.T):
        factors = np.random.default_rng(0).choice([-3.0, -0.1, 0.7, 1.0, 2.0], len(kind))
        rows = unimodular_rows(scipy.sparse.csr_matrix(kind * factors[:, None]))
        assert rows is not None
        assert (rows.signs.multiply(rows.factors[:, None]).toarray() == kind * factors[:, None]).all()
    wider = np.hstack([np.insert(matrix, 1, -matrix[0], axis=0), np.eye(m + 1)])
    assert known(np.vstack([wider, 3 * np.eye(n + m + 1)[::-1], -wider]))


@pytest.mark.parametrize(
    "matrix",
    [
        cycle(3),
        cycle(5),
        np.abs(incidence(4, [(0, 1), (1, 2), (2, 0), (2, 3)])),
        np.array([[1.0, 1.0], [1.0, -1.0]]),
        np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 1, 1]]),
        np.array([[2.0, 3.0], [3.0, 2.0]]),
        np.array([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]]),
        knapsack(5, 2).A_ub.toarray(),
    ],
)
def test_others_are_not_known(matrix: np.ndarray) -> None:
    assert not known(matrix) and not known(matrix.T)
    assert not known(np.hstack([matrix, np.eye(len(matrix))]))
    assert not known(np.vstack([bipartite(3, 3), np.arange(9) % 2 + 1]))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_what_is_known_is_true(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    m, n = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    kind = data.draw(st.sampled_from(["any", "columns of two", "intervals"]))
    matrix = rng.choice([-1.0, 0.0, 0.0, 1.0], (m, n))
    if kind == "columns of two":
        matrix[np.argsort(rng.random((m, n)), axis=0) >= 2] = 0.0
    if kind == "intervals":
        matrix = intervals(n, m, int(rng.integers(2**32))) * rng.choice([-1.0, 1.0], (m, 1))
    for _ in range(data.draw(st.integers(0, 2))):
        matrix[rng.integers(m), rng.integers(n)] = rng.choice([-1.0, 0.0, 1.0])
    if known(matrix):
        assert is_totally_unimodular(matrix)
    elif kind == "columns of two" and (np.count_nonzero(matrix, axis=0) <= 2).all() and matrix.any():
        assert not is_totally_unimodular(matrix)  # Heller and Tompkins' condition is necessary, too
