"""Which constraint matrices are totally unimodular: every square submatrix has determinant 0, 1 or -1.

A polyhedron with such rows and with integer sides and bounds has integer vertices only (Hoffman & Kruskal, "Integral
boundary points of convex polyhedra", 1956), so the simplex method solves the integer program.

Only matrices are named that are certain to be so, by conditions that take a few looks at each entry; there are others.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from imle_adapters.ilp.spec import Floats

_ROUNDS = 4


class UnimodularRows(NamedTuple):
    """A matrix as factors[:, None] * signs with totally unimodular signs.

    Attributes:
        factors: (m,) positive.
        signs: (m, n) CSR of -1, 0 and 1.
    """

    factors: Floats
    signs: Any


def unimodular_rows(matrix: Any) -> UnimodularRows | None:
    """The rows of a matrix without a positive factor each, if that is known to make them totally unimodular.

    Known are, with rows or columns negated, and rows and columns in either role:

    * matrices with at most two entries in each column whose rows split into two parts, such that the two entries of
      a column are in one part if their signs differ and in both parts if they agree (Heller & Tompkins, "An extension
      of a theorem of Dantzig's", 1956): networks and bipartite graphs.
    * interval matrices: 0/1, with the ones of each column next to each other, in the order given, which in a program
      is that of A_ub, then A_eq (Fulkerson & Gross, "Incidence matrices and interval graphs", 1965).
    * these with more rows and columns that have a single entry or repeat another, up to sign: bounds, slacks, ranges.
      A determinant with two such rows is 0, and along a row with one entry it is that of a smaller submatrix.

    Args:
        matrix: (m, n) CSR without duplicate entries, zeros or unsorted indices.
    """
    counts = np.diff(matrix.indptr)
    factors = np.ones(matrix.shape[0])
    factors[counts > 0] = np.abs(matrix.data[matrix.indptr[:-1][counts > 0]])
    if (np.abs(matrix.data) != np.repeat(factors, counts)).any():
        return None
    signs = scipy.sparse.csr_matrix((np.sign(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)
    return UnimodularRows(factors, signs) if _is_known(signs) or _is_known(_core(signs)) else None


def _is_known(matrix: Any) -> bool:
    turned = matrix.T.tocsr()
    return _splits(matrix) or _splits(turned) or _has_intervals(matrix) or _has_intervals(turned)


def _core(matrix: Any) -> Any:
    """The matrix without rows and columns that cannot make it lose the property, in the order given."""
    for _ in range(_ROUNDS):
        shape = matrix.shape
        matrix = _distinct_rows(_distinct_rows(matrix).T.tocsr()).T.tocsr()
        if matrix.shape == shape:
            break
    return matrix


def _distinct_rows(matrix: Any) -> Any:
    """The rows with two entries or more, one of each kind up to sign."""
    first: dict[tuple[bytes, bytes], int] = {}
    for row, (start, end) in enumerate(pairwise(matrix.indptr.tolist())):
        if end - start > 1:
            signs = matrix.data[start:end] * matrix.data[start]
            first.setdefault((matrix.indices[start:end].tobytes(), signs.tobytes()), row)
    return matrix[list(first.values())]


def _splits(matrix: Any) -> bool:
    """Whether Heller and Tompkins' two parts of the rows exist.

    Each row stands for two nodes, one for each part that it may be in; columns say which nodes go together. There is
    a way to choose if no row's two nodes go together.
    """
    columns = matrix.tocsc()
    counts = np.diff(columns.indptr)
    if (counts > 2).any():
        return False
    starts, m = columns.indptr[:-1][counts == 2], matrix.shape[0]
    one, other = columns.indices[starts], columns.indices[starts + 1]
    apart = np.where(columns.data[starts] == columns.data[starts + 1], m, 0)
    tails, heads = np.concatenate([one, one + m]), np.concatenate([other + apart, other + m - apart])
    edges = scipy.sparse.coo_matrix((np.ones(tails.size), (tails, heads)), shape=(2 * m, 2 * m))
    _, labels = connected_components(edges, directed=False)
    return bool((labels[:m] != labels[m:]).all())


def _has_intervals(matrix: Any) -> bool:
    """Whether all rows have one sign each, and their entries, or those of the columns, are next to each other."""
    counts = np.diff(matrix.indptr)
    signs = np.repeat(matrix.data[matrix.indptr[:-1][counts > 0]], counts[counts > 0])
    return bool((signs == matrix.data).all()) and (_is_contiguous(matrix) or _is_contiguous(matrix.T.tocsr()))


def _is_contiguous(matrix: Any) -> bool:
    counts = np.diff(matrix.indptr)
    starts, ends = matrix.indptr[:-1][counts > 0], matrix.indptr[1:][counts > 0]
    indices = matrix.indices
    return bool((indices[ends - 1] - indices[starts] + 1 == counts[counts > 0]).all())
