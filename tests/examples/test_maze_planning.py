"""Mazes: their generator and files, what counts as optimal and explored, and that costs are learned from paths."""

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import ndimage

from examples.common.results import read_results
from examples.maze_planning.evaluation import astar, guided, metrics_of
from examples.maze_planning.generator import generate
from examples.maze_planning.mazes import SIDE, connects, distances, optimal
from examples.maze_planning.planning import SPLITS, read
from examples.maze_planning.search import search
from imle_adapters import ShortestPathAdapter
from imle_solvers import SolverLayer


@pytest.fixture(scope="module")
def mazes():
    return generate(12, 3)


def arrays_of(mazes):
    """What a split of a file holds."""
    goals = np.zeros((len(mazes), 1, SIDE, SIDE))
    given = np.full((len(mazes), 1, SIDE, SIDE), -1024.0)
    for row, (walls, target) in enumerate(zip(mazes.walls, mazes.target, strict=True)):
        goals[row].flat[target] = 1
        steps = distances(walls, target)
        given[row].flat[steps >= 0] = -steps[steps >= 0]
    return [(~mazes.walls).astype(np.float32), goals, np.zeros((len(mazes), 8, 1, SIDE, SIDE)), given]


@pytest.fixture
def arrays(mazes):
    """What a file of the generated mazes holds, each split the same."""
    return {f"arr_{index}": array.copy() for index, array in enumerate(arrays_of(mazes) * len(SPLITS))}


def graph_of(walls):
    """The floor of a maze as a graph."""
    graph = nx.Graph()
    for row, column in np.argwhere(~walls):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            other = row + down, column + right
            if max(other) < SIDE and min(other) >= 0 and not walls[other]:
                graph.add_edge((row, column), other)
    return graph


def test_demonstrations_are_shortest_paths_over_floor(mazes):
    assert optimal(mazes.paths, mazes).all()
    for maze in range(len(mazes)):
        source, target = (divmod(int(cells[maze]), SIDE) for cells in (mazes.source, mazes.target))
        steps = nx.single_source_shortest_path_length(graph_of(mazes.walls[maze]), target)
        assert mazes.lengths[maze] == steps[source] + 1
        found = distances(mazes.walls[maze], int(mazes.target[maze]))
        assert (found >= 0).sum() == len(steps)
        assert all(found[row * SIDE + column] == count for (row, column), count in steps.items())


def test_the_first_mazes_of_a_seed_are_the_same_for_any_count(mazes):
    few, other = generate(3, 3), generate(3, 4)
    for name in ("images", "walls", "source", "target"):
        assert (getattr(few, name) == getattr(mazes, name)[:3]).all()
        assert (getattr(other, name) != getattr(few, name)).any()


def test_what_is_no_shortest_path_is_not_optimal(mazes):
    masks = mazes.paths.copy()
    longer, broken, straight = masks[:3]
    beside = next(cell for cell in np.argwhere(~mazes.walls[0]) if not longer[tuple(cell)])
    longer[tuple(beside)] = 1
    broken[tuple(np.argwhere(broken)[5])] = 0
    straight[...] = search(np.ones((SIDE, SIDE)), int(mazes.source[2]), int(mazes.target[2]), step=1.0).path
    assert (straight.astype(bool) & mazes.walls[2]).any()
    assert straight.sum() <= mazes.lengths[2]
    assert optimal(masks, mazes).tolist() == [False] * 3 + [True] * 9
    assert connects(masks, mazes).tolist() == [True, False] + [True] * 10


def test_a_search_finds_what_the_layer_finds_and_expands_less_than_dijkstra(mazes):
    costs = 1 + np.random.default_rng(0).random(mazes.walls.shape)
    with SolverLayer(ShortestPathAdapter.grid(SIDE, SIDE), num_workers=0) as layer:
        context = {"source": mazes.source, "target": mazes.target, "blocked": mazes.walls}
        masks = layer.map(torch.from_numpy(costs), **{name: torch.from_numpy(each) for name, each in context.items()})
    for maze in range(4):
        ends, walls = (int(mazes.source[maze]), int(mazes.target[maze])), mazes.walls[maze]
        informed = search(costs[maze], *ends, step=float(costs[maze].min()), walls=walls)
        blind = search(costs[maze], *ends, walls=walls)
        for found in (informed, blind):
            assert (found.path == masks[maze].numpy()).all()
            assert found.expanded[found.path == 1].all()
        assert informed.expanded.sum() < blind.expanded.sum()
        assert not (informed.expanded & ~blind.expanded).any()


def test_without_a_way_there_is_no_path_and_all_that_can_be_reached_is_expanded():
    walls = np.zeros((5, 5), dtype=bool)
    walls[2] = True
    found = search(np.ones((5, 5)), 0, 24, step=1.0, walls=walls)
    assert not found.path.any()
    assert found.expanded.sum() == 10


def test_exploration_is_relative_to_astar_on_the_true_maze_and_zero_through_walls(mazes):
    reference = np.array([each.expanded.sum() for each in astar(mazes)])
    near = ndimage.binary_dilation(mazes.paths, np.ones((1, 5, 5)))
    costs = np.where(mazes.walls, 1000.0, np.where(near, 1.0, 3.0))
    costs[0] = 1  # nothing learned: straight through walls
    found = guided(costs, mazes, walls_known=False)
    metrics = metrics_of(mazes.paths, found, mazes)
    expanded = np.array([each.expanded.sum() for each in found])
    assert metrics["expanded"] == expanded.mean()
    assert metrics["saved"] == pytest.approx(np.maximum(1 - expanded / reference, 0)[1:].sum() / len(mazes))
    assert 0 < metrics["saved"] < 1
    assert metrics["optimal_searched"] < metrics["optimal"] == 1
    assert metrics_of(mazes.paths, astar(mazes), mazes)["saved"] == 0


def test_files_of_mazes_are_read_and_give_more_problems_with_other_starts(mazes, arrays, tmp_path):
    np.savez(tmp_path / "mazes.npz", **arrays)
    again = read(tmp_path / "mazes.npz", "val", 30, seed=0)
    assert len(again) == 30
    assert (again.walls == mazes.walls[np.arange(30) % 12]).all()
    assert (again.target == mazes.target[np.arange(30) % 12]).all()
    assert (again.images[..., 0] == np.where(again.walls, 0, 255)).all()
    assert optimal(again.paths, again).all()
    assert (again.source[:12] != again.source[12:24]).any()
    assert (read(tmp_path / "mazes.npz", "test", 5, seed=0).source != again.source[:5]).any()


def test_the_published_mazes(data_folder):
    file = data_folder / "planning" / "mazes_032_moore_c8.npz"
    found = read(file, "test", 100, seed=0)
    assert optimal(found.paths, found).all()  # their distances were compared with ours on reading
    assert 0.88 < 1 - found.walls.mean() < 0.9


def spoil(arrays, name, change):
    array = arrays[name].copy()
    change(array)
    return arrays | {name: array}


BROKEN = {
    "no way": (lambda a: spoil(a, "arr_0", lambda x: x[2].fill(0)), "maze 2 of train: expected the goal on floor"),
    "lonely": (
        lambda a: spoil(a, "arr_0", lambda x: np.copyto(x[1], a["arr_1"][1, 0])),
        "maze 1 of train: expected a way from another cell to the goal, got none",
    ),
    "distances": (
        lambda a: spoil(a, "arr_3", lambda x: np.multiply(x, -1, out=x)),
        "maze 0 of train: expected distances to be the steps to the goal, below zero, got others",
    ),
    "a way where there is none": (
        lambda a: spoil(a, "arr_3", lambda x: np.copyto(x, -1, where=x == -1024)),
        "expected distances of cells without a way to the goal below all others, got others",
    ),
    "two goals": (
        lambda a: spoil(a, "arr_1", lambda x: x[3, 0].fill(1)),
        "maze 3 of .*one goal, got 1024",
    ),
    "grey": (
        lambda a: spoil(a, "arr_0", lambda x: x[0].fill(0.5)),
        "maze 0 of .* maps, arr_0, .*0 or 1, got 0.5",
    ),
    "nan": (
        lambda a: spoil(a, "arr_1", lambda x: x[0].fill(np.nan)),
        "maze 0 of .* goals, arr_1, .*0 or 1, got nan",
    ),
    "columns": (
        lambda a: a | {"arr_0": a["arr_0"][:, :, 1:]},
        r"numbers of shape (12, 32, 32) .*, got float32 (12, 32",
    ),
    "rows": (lambda a: a | {"arr_1": a["arr_1"][1:]}, "goals of train, arr_1, to be numbers of shape (12, 1, 32, 32)"),
    "empty split": (lambda a: a | {"arr_0": a["arr_0"][:0]}, "with a maze or more, got float32 (0, 32, 32)"),
    "scalar": (lambda a: a | {"arr_0": np.float32(1)}, "with a maze or more, got float32 ()"),
    "text": (lambda a: a | {"arr_0": np.full((12, SIDE, SIDE), "x")}, "to be numbers of shape"),
    "missing": (lambda a: {"arr_0": a["arr_0"]}, "arr_0 to arr_11, found no arr_1 in it but arr_0"),
    "pickled": (
        lambda a: a | {"arr_0": np.array([{}], dtype=object)},
        "got Python objects, .*, as arr_0",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_arrays_are_refused_in_one_line(call, arrays, tmp_path, what):
    change, message = BROKEN[what]
    np.savez(tmp_path / "mazes.npz", **change(arrays))
    check_refused(call, tmp_path / "mazes.npz", message)


def check_refused(call, file, message):
    code, printed, errors = call("maze_planning", "--quick", "--planning", file)
    assert (code, printed, len(errors)) == (2, [], 1)
    assert all(part in errors[0] for part in message.split(".*")), errors[0]


@pytest.mark.parametrize(
    "spoiled",
    [lambda b: b"", lambda b: b"P1\n# text\n", lambda b: b[: len(b) // 2], lambda b: "Gänge".encode("utf-16")],
    ids=["empty", "text", "truncated", "encoding"],
)
def test_what_is_no_file_of_mazes_is_refused_in_one_line(call, arrays, tmp_path, spoiled):
    np.savez(tmp_path / "whole.npz", **arrays)
    (tmp_path / "mazes.npz").write_bytes(spoiled((tmp_path / "whole.npz").read_bytes()))
    check_refused(call, tmp_path / "mazes.npz", "mazes.npz: expected mazes .*, arr_0 to arr_11, got a")


def test_damaged_contents_and_single_arrays_are_refused_in_one_line(call, arrays, tmp_path):
    np.savez_compressed(tmp_path / "mazes.npz", **arrays)
    bytes_of = bytearray((tmp_path / "mazes.npz").read_bytes())
    bytes_of[300:600] = bytes(300)
    (tmp_path / "mazes.npz").write_bytes(bytes_of)
    check_refused(call, tmp_path / "mazes.npz", "arr_0 to arr_11, got a damaged file")
    np.save(tmp_path / "one.npy", arrays["arr_0"])
    check_refused(call, tmp_path / "one.npy", "arr_0 to arr_11, got a file that is no .npz")


def test_a_missing_file_is_named_and_so_are_those_beside_it(call, arrays, tmp_path):
    np.savez(tmp_path / "mazes.npz", **arrays)
    check_refused(call, tmp_path / "maze.npz", "maze.npz: expected mazes .* found no such file; beside it: mazes.npz")
    check_refused(call, tmp_path / "no" / "maze.npz", "beside it: no .npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beta", 0], "beta must be positive and finite, got 0.0"),
        (["--workers", -2], "num_workers must be 0 .* got -2"),
        (["--test-mazes", 0], "--test-mazes: expected a whole number of at least 1, got '0'"),
        (["--walls", "painted"], "invalid choice: .*painted"),
    ],
)
def test_bad_options_are_said_in_one_line(call, arguments, message):
    code, _, errors = call("maze_planning", "--quick", *arguments)
    assert (code, len(errors)) == (2, 1)
    assert all(part in errors[0] for part in message.split(".*")), errors[0]


@pytest.mark.slow
def test_costs_are_learned_from_paths(call, tmp_path):
    mazes = generate(140, 0)
    splits = (mazes[:100], mazes[100:120], mazes[120:])
    np.savez(tmp_path / "mazes.npz", *(array for split in splits for array in arrays_of(split)))
    few = ("--train-mazes", 100, "--test-mazes", 20, "--epochs", 8, "--batch-size", 8, "--workers", 0)
    code, _, errors = call("maze_planning", "--planning", tmp_path / "mazes.npz", *few, "--no-baseline")
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    (untrained,), (learned,) = (results.values(method, "optimal") for method in ("untrained", "imle"))
    assert learned > untrained + 0.3
    assert results.values("A* on the true maze", "optimal") == [1.0]


def test_a_solver_that_knows_the_walls_never_goes_through_them(call, tmp_path):
    code, _, errors = call("maze_planning", "--quick", "--walls", "known", "--no-baseline")
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    for row in results.rows:
        assert row.metrics["walls"] == 0
    assert results.values("untrained", "optimal")[0] > 0.5
