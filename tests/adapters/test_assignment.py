"""Assignments against enumeration and a second solver."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from imle_adapters import AssignmentAdapter
from imle_solvers import Status

BACKENDS = ("compiled", "scipy")


def best_by_enumeration(theta, sense, allowed, unmatched):
    """The best objective over all matchings, None where there is none."""
    n, m = theta.shape
    pick = min if sense == "min" else max
    best = None
    for choice in itertools.product([None, *range(m)], repeat=n):
        columns = [column for column in choice if column is not None]
        alone = choice.count(None)
        if len(set(columns)) < len(columns) or (unmatched is None and alone > max(0, n - m)):
            continue
        if any(column is not None and not allowed[row, column] for row, column in enumerate(choice)):
            continue
        value = sum(theta[r, c] if c is not None else (unmatched or [0] * n)[r] for r, c in enumerate(choice))
        best = value if best is None else pick(best, value)
    return best


def solve(adapter, theta, **context):
    solved = adapter.solve_batch(adapter.build(), theta[None], {k: np.asarray(v)[None] for k, v in context.items()})
    return solved.values[0], Status(int(solved.statuses[0]))


def objective(theta, z, unmatched=None):
    """Without rounding, but for one at the end."""
    alone = [] if unmatched is None else np.asarray(unmatched, dtype=float)[z.sum(axis=1) == 0].tolist()
    return math.fsum(theta[z > 0].astype(float).tolist() + alone)


def check_against_scipy(adapter, thetas, **context):
    """As good as SciPy's, up to rounding, and a matching."""
    assert adapter.backend == "compiled"
    reference = AssignmentAdapter(
        *adapter.instance_shape,
        adapter.sense,
        allowed=adapter.allowed,
        unmatched=adapter.unmatched,
        backend="scipy",
    )
    ours, theirs = (each.solve_batch(each.build(), thetas.copy(), context) for each in (adapter, reference))
    np.testing.assert_array_equal(ours.statuses, theirs.statuses)
    unmatched = context.get("unmatched", [adapter.unmatched] * len(thetas))
    for row in np.flatnonzero(ours.statuses == Status.OPTIMAL):
        z, other = ours.values[row], theirs.values[row]
        assert set(np.unique(z)) <= {0, 1}
        assert max(z.sum(0).max(), z.sum(1).max()) <= 1
        if unmatched[row] is None:
            assert z.sum() == min(z.shape)
        largest = float(np.abs(thetas[row][other > 0]).max(initial=0))
        assert objective(thetas[row], z, unmatched[row]) == pytest.approx(
            objective(thetas[row], other, unmatched[row]), rel=1e-12, abs=1e-12 * largest
        )


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    sense=st.sampled_from(["min", "max"]),
    priced=st.booleans(),
    seed=st.integers(0, 10_000),
    density=st.sampled_from([0.3, 0.7, 1.0]),
    whole=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_no_matching_is_better(backend, shape, sense, priced, seed, density, whole, dtype):
    rng = np.random.default_rng(seed)
    theta = (rng.integers(-3, 4, shape) if whole else rng.normal(size=shape)).astype(dtype)
    allowed = rng.random(shape) < density
    unmatched = rng.normal(size=shape[0]).tolist() if priced else None
    z, status = solve(AssignmentAdapter(*shape, sense, unmatched=unmatched, backend=backend), theta, allowed=allowed)
    best = best_by_enumeration(theta, sense, allowed, unmatched)
    if best is None:
        assert status is Status.INFEASIBLE
        return
    assert status is Status.OPTIMAL
    assert set(np.unique(z)) <= {0.0, 1.0}
    assert z.sum(0).max() <= 1
    assert z.sum(1).max() <= 1
    assert not (z * ~allowed).any()
    value = (z * theta).sum() + (np.array(unmatched or [0] * shape[0]) * (1 - z.sum(1))).sum()
    assert value == pytest.approx(best)


@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("shape", [(5, 5), (1, 5), (5, 1), (2, 5), (5, 3), (4, 5), (5, 4)])
def test_every_choice_of_pairs_of_up_to_five(shape, sense):
    rng = np.random.default_rng(0)
    n, m = shape
    thetas = np.concatenate([rng.integers(-2, 3, (60, n, m)), rng.normal(size=(60, n, m))])
    matchings = []
    for columns in itertools.permutations([*range(m), *[None] * max(0, n - m)], n):
        z = np.zeros(shape)
        for row, column in enumerate(columns):
            if column is not None:
                z[row, column] = 1
        matchings.append(z)
    best = np.einsum("bij,kij->bk", thetas, np.stack(matchings))
    best = best.min(axis=1) if sense == "min" else best.max(axis=1)
    for dtype in (np.float32, np.float64):
        adapter = AssignmentAdapter(*shape, sense)
        z = adapter.solve_batch(adapter.build(), thetas.astype(dtype), {}).values
        np.testing.assert_array_equal(z.sum((1, 2)), min(shape))
        np.testing.assert_allclose((z * thetas).sum((1, 2)), best, rtol=1e-5, atol=1e-5)


def families(n, m, rng):
    """Costs that solvers find easy, and some that they find hard."""
    places, others = rng.random((n, 1, 2)), rng.random((1, m, 2))
    far = np.where(rng.random((n, m)) < 0.7, 1e9, rng.normal(size=(n, m)))
    return {
        "normal": rng.normal(size=(n, m)),
        "uniform": rng.random((n, m)),
        "ties": rng.integers(0, 4, (n, m)),
        "all the same": np.full((n, m), 0.1),
        "whole numbers": rng.integers(0, 1000, (n, m)),
        "products": rng.random((n, 1)) * rng.random((1, m)),
        "products in order": np.outer(np.arange(1, n + 1), np.arange(1, m + 1)),
        "sums": rng.random((n, 1)) + rng.random((1, m)),
        "rank two": rng.normal(size=(n, 2)) @ rng.normal(size=(2, m)),
        "distances": np.sqrt(((places - others) ** 2).sum(-1)),
        "the lesser index": np.minimum.outer(np.arange(n), np.arange(m)),
        "prices for forbidden pairs": far,
        "great": rng.normal(size=(n, m)) * 1e30,
        "tiny": rng.normal(size=(n, m)) * 1e-30,
        "all magnitudes": rng.normal(size=(n, m)) * 10.0 ** rng.integers(-30, 30, (n, m)),
        "negative zeros": np.where(rng.random((n, m)) < 0.5, -0.0, rng.integers(0, 2, (n, m))),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("shape", [(3, 3), (17, 17), (60, 60), (25, 40), (40, 25), (40, 41), (150, 150)])
def test_every_family_is_solved_as_well_as_by_scipy(shape, sense, dtype):
    thetas = np.stack(list(families(*shape, np.random.default_rng(0)).values())).astype(dtype)
    check_against_scipy(AssignmentAdapter(*shape, sense), thetas)


@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("shape", [(30, 30), (20, 45), (45, 20)])
def test_forbidden_pairs_and_unmatched_rows_as_by_scipy(shape, sense):
    rng = np.random.default_rng(0)
    thetas = np.stack([each for name, each in families(*shape, rng).items() if name != "all magnitudes"])
    thetas = np.repeat(thetas, 3, axis=0)
    allowed = rng.random(thetas.shape) < np.tile([0.05, 0.2, 0.7], len(thetas) // 3)[:, None, None]
    check_against_scipy(AssignmentAdapter(*shape, sense), thetas, allowed=allowed)
    shared = np.eye(*shape, dtype=bool) | (rng.random(shape) < 0.1)
    check_against_scipy(AssignmentAdapter(*shape, sense, allowed=shared), thetas)
    check_against_scipy(AssignmentAdapter(*shape, sense, allowed=shared), thetas, allowed=allowed)
    scales = np.abs(thetas).mean((1, 2))[:, None]
    unmatched = rng.normal(size=(len(thetas), shape[0])) * scales
    priced = AssignmentAdapter(*shape, sense, unmatched=0.3)
    check_against_scipy(priced, thetas)
    check_against_scipy(priced, thetas, unmatched=unmatched)
    check_against_scipy(priced, thetas, unmatched=np.round(unmatched), allowed=allowed)


entries = st.one_of(st.integers(-3, 3).map(float), st.floats(-(2.0**100), 2.0**100, width=32))


@settings(max_examples=150)
@given(data=st.data(), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), sense=st.sampled_from(["min", "max"]))
def test_any_costs_are_solved_as_well_as_by_scipy(data, shape, sense):
    theta = data.draw(hnp.arrays(np.float32, shape, elements=entries))
    if data.draw(st.booleans()):
        prices = data.draw(hnp.arrays(np.float64, shape[0], elements=entries))
        adapter = AssignmentAdapter(*shape, sense, unmatched=prices)
    else:
        adapter = AssignmentAdapter(*shape, sense)
    solved = adapter.solve_batch(adapter.build(), theta[None].copy(), {})
    reference = AssignmentAdapter(*shape, sense, unmatched=adapter.unmatched, backend="scipy")
    other = reference.solve_batch(reference.build(), theta[None].copy(), {})
    assert solved.statuses[0] == Status.OPTIMAL
    largest = float(max(np.abs(theta).max(), np.abs(adapter.unmatched).max() if adapter.unmatched is not None else 0))
    found, known = (objective(theta, each.values[0], adapter.unmatched) for each in (solved, other))
    assert found == pytest.approx(known, rel=1e-12, abs=1e-13 * largest)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["house", "hotel"])
def test_points_of_a_film_are_found_again_in_later_frames(name, backend, data_folder):
    film = loadmat(data_folder / "graph_matching" / "cmum.mat", variable_names=["CMUM"])["CMUM"][0, 0][name][0, 0]
    frames = np.stack(list(film["XTs"].ravel())).astype(float)  # (frames, 2, points), points in the same order
    for later in (1, 10):
        steps = frames[:-later, :, :, None] - frames[later:, :, None, :]
        adapter = AssignmentAdapter(30, 30, backend=backend)
        z = adapter.solve_batch(adapter.build(), (steps**2).sum(axis=1), {}).values
        np.testing.assert_array_equal(z, np.broadcast_to(np.eye(30), z.shape))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("shape", [(80, 80), (40, 70), (70, 40)])
def test_large_ones_equal_a_second_solver(sense, shape, backend):
    theta = np.random.default_rng(0).uniform(1, 2, shape)
    z, _ = solve(AssignmentAdapter(*shape, sense, backend=backend), theta)
    rows, columns = min_weight_full_bipartite_matching(csr_array(theta), maximize=sense == "max")
    assert (z * theta).sum() == pytest.approx(theta[rows, columns].sum())
    assert z.sum() == min(shape)


def test_dtype_and_ties_do_not_depend_on_the_batch():
    adapter = AssignmentAdapter(4, 4)
    theta = np.zeros((6, 4, 4), dtype=np.float32)
    theta[3:] = np.random.default_rng(0).integers(0, 2, (3, 4, 4))
    batch = adapter.solve_batch(adapter.build(), theta, {}).values
    assert batch.dtype == np.float32
    for row, z in zip(theta, batch, strict=True):
        np.testing.assert_array_equal(solve(adapter, row)[0], z)
