"""The examples' data: generated maps are like the real ones, files survive a round trip, bad ones are refused."""

import importlib
import json
import re

import numpy as np
import pytest


@pytest.fixture(scope="module")
def warcraft():
    return importlib.import_module("examples.warcraft.data")


@pytest.fixture(scope="module")
def road():
    return importlib.import_module("examples.road_network.data")


@pytest.fixture(scope="module")
def maps(warcraft):
    return warcraft.generate(600, 12, seed=5)


def terrain_of(warcraft, costs):
    return abs(costs[..., None] - warcraft.TERRAIN_COSTS).argmin(-1)


def test_generated_terrain_is_as_frequent_and_as_costly_as_the_real(warcraft, maps):
    frequencies = np.bincount(terrain_of(warcraft, maps.costs).ravel()) / maps.costs.size
    np.testing.assert_allclose(frequencies, warcraft.TERRAIN_FREQUENCIES, atol=0.02)
    assert 20 < warcraft.path_costs(maps.costs, maps.paths).mean() < 26


def test_generated_tiles_have_the_real_colours_with_variation(warcraft, maps):
    tiles = maps.images.reshape(len(maps), 12, 8, 12, 8, 3).mean((2, 4))
    terrain = terrain_of(warcraft, maps.costs)
    for kind, colour in enumerate(warcraft.TERRAIN_RGB):
        np.testing.assert_allclose(tiles[terrain == kind].mean(0), colour, atol=10)
        assert tiles[terrain == kind].std(0).max() > 5


def test_generated_terrain_is_smooth(warcraft, maps):
    terrain = terrain_of(warcraft, maps.costs)
    alike = (terrain[:, :, 1:] == terrain[:, :, :-1]).mean()
    by_chance = (warcraft.TERRAIN_FREQUENCIES**2).sum()
    assert alike > by_chance + 0.3


def test_the_seed_decides_the_maps_and_the_count_only_how_many(warcraft, maps):
    again = warcraft.generate(130, 12, seed=5)
    for name in ("images", "costs", "paths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps[:130], name))
    assert (warcraft.generate(1, 12, seed=6).images != maps.images[:1]).any()


@pytest.mark.parametrize("size", [18, 30])
def test_larger_maps(warcraft, size):
    larger = warcraft.generate(3, size, seed=0)
    assert larger.images.shape == (3, 8 * size, 8 * size, 3)
    warcraft.check_labels(larger)


def test_a_tied_path_is_a_valid_label_and_a_dearer_one_is_not(warcraft):
    costs = np.ones((2, 12, 12))
    costs[:, 5, 5] = 9.2  # the diagonal is blocked; ways round on either side cost the same
    paths = warcraft.cheapest_paths(costs)
    other_way_round = paths.transpose(0, 2, 1)
    assert (other_way_round != paths).any()
    images = np.zeros((2, 96, 96, 3), dtype=np.uint8)
    warcraft.check_labels(warcraft.Maps(images, costs, other_way_round))
    broken = paths.copy()
    broken[1] = np.eye(12)
    with pytest.raises(ValueError, match=r"1 of 2 labels .* map 1, which costs 20.2 where 13.0 is best"):
        warcraft.check_labels(warcraft.Maps(images, costs, broken))


def test_a_label_with_a_gap_is_refused(warcraft, maps):
    paths = maps.paths[:3].copy()
    paths[2, -1, -1] = 0
    with pytest.raises(ValueError, match="1 of 3 labels are not cheapest paths"):
        warcraft.check_labels(warcraft.Maps(maps.images[:3], maps.costs[:3], paths))


def test_metrics_tell_exact_from_cost_optimal(warcraft):
    costs = np.ones((1, 12, 12))
    costs[:, 5, 5] = 9.2
    paths = warcraft.cheapest_paths(costs)
    maps = warcraft.Maps(np.zeros((1, 96, 96, 3), dtype=np.uint8), costs, paths)
    tied, detour, gap = paths.transpose(0, 2, 1), paths.copy(), paths.copy()
    detour[0, 0, -1] = 1
    gap[0, 0, 0] = 0
    scores = [
        (warcraft.exact_match(mask, maps)[0], warcraft.cost_optimal(mask, maps)[0])
        for mask in (paths, tied, detour, gap)
    ]
    assert scores == [(True, True), (False, True), (False, False), (False, False)]


@pytest.mark.parametrize("root", ["warcraft_shortest_path_oneskin", "warcraft_shortest_path", "."])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_published_layout_round_trips(warcraft, maps, tmp_path, root, parts):
    warcraft.write(tmp_path / root, "train", maps[:9], parts=parts)
    names = {path.name for path in (tmp_path / root / "12x12").iterdir()}
    assert ("train_maps.npy" if parts == 1 else "train_maps_part1.npy") in names
    again = warcraft.read(tmp_path, 12, "train")
    assert (again.costs == maps.costs[:9]).all()  # float16 in the file, snapped to tenths
    assert (again.images == maps.images[:9]).all()
    assert (again.paths == maps.paths[:9]).all()


def test_costs_are_stored_as_float16_as_published(warcraft, maps, tmp_path):
    warcraft.write(tmp_path, "val", maps[:2])
    stored = np.load(tmp_path / "12x12" / "val_vertex_weights.npy", allow_pickle=False)
    assert stored.dtype == np.float16
    assert np.float64(np.float16(0.8)) in stored.astype(np.float64)


def test_pickled_files_are_refused(warcraft, maps, tmp_path):
    warcraft.write(tmp_path, "val", maps[:2])
    np.save(tmp_path / "12x12" / "val_maps.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        warcraft.read(tmp_path, 12, "val")


def test_files_of_other_shapes_are_refused(warcraft, maps, tmp_path):
    warcraft.write(tmp_path, "val", maps[:2])
    np.save(tmp_path / "12x12" / "val_vertex_weights.npy", np.ones((2, 12, 11), dtype=np.float16))
    with pytest.raises(
        ValueError, match=re.escape("expected val_vertex_weights of shape (2, 12, 12), got (2, 12, 11)")
    ):
        warcraft.read(tmp_path, 12, "val")


def test_missing_files_are_named(warcraft, maps, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected .*12x12.*found in .*nothing"):
        warcraft.read(tmp_path, 12, "train")
    warcraft.write(tmp_path, "val", maps[:2])
    with pytest.raises(
        FileNotFoundError, match=r"expected train_maps.npy or train_maps_part0.npy .*found val_maps.npy, val_sh"
    ):
        warcraft.read(tmp_path, 12, "train")


def test_the_real_map(warcraft, data_folder):
    golden = json.loads((data_folder / "warcraft" / "golden.json").read_text())
    assert golden["classes"] == warcraft.TERRAIN_COSTS.tolist()
    costs = warcraft.TERRAIN_COSTS[[[int(tile) for tile in row] for row in golden["train_0"]["grid"]]][None]
    label = np.array([[int(tile) for tile in row] for row in golden["train_0"]["path"]])[None]
    assert warcraft.path_costs(costs, warcraft.cheapest_paths(costs))[0] == pytest.approx(golden["train_0"]["cost"])
    warcraft.check_labels(warcraft.Maps(np.zeros((1, 96, 96, 3), dtype=np.uint8), costs, label))


# --- Roads ---


TRIANGLE = """<NUMBER OF ZONES> 2
<NUMBER OF NODES> 3
<FIRST THRU NODE> 3
<NUMBER OF LINKS> 4
<END OF METADATA>

~ init term capacity length free_flow_time b power speed toll type ;
  1 3 1 1 5.5 0 4 0 0 1 ;
  3 1 1 1 5.5 0 4 0 0 1 ;
  2 3 1 1 2.5 0 4 0 0 1 ;
  1 2 1 1 9 0 4 0 0 1 ;
"""


def test_zones_may_not_be_passed_through(road, tmp_path):
    (tmp_path / "triangle_net.tntp").write_text(TRIANGLE)
    roads = road.read_tntp(tmp_path / "triangle_net.tntp")
    assert roads.trips() == [(("from", 1), ("to", 2)), (("from", 2), ("to", 1))]
    assert roads.graph.in_degree(("from", 2)) == 0
    assert roads.graph.out_degree(("to", 2)) == 0
    assert roads.graph.edges[("from", 1), 3]["cost"] == 5.5
    assert roads.graph.number_of_edges() == 4


def test_where_all_nodes_are_through_nodes_none_is_split(road, tmp_path):
    (tmp_path / "triangle_net.tntp").write_text(TRIANGLE.replace("THRU NODE> 3", "THRU NODE> 1"))
    roads = road.read_tntp(tmp_path / "triangle_net.tntp")
    assert set(roads.graph) == {1, 2, 3}
    assert roads.trips() == [(1, 2), (2, 1)]


def test_broken_network_files_are_refused(road, tmp_path):
    file = tmp_path / "triangle_net.tntp"
    file.write_text(TRIANGLE.replace("LINKS> 4", "LINKS> 5"))
    with pytest.raises(ValueError, match="expected 5 links, found 4"):
        road.read_tntp(file)
    file.write_text("no network")
    with pytest.raises(ValueError, match="is not a TNTP network"):
        road.read_tntp(file)
    with pytest.raises(FileNotFoundError, match=r"other_net.tntp; beside it: triangle_net.tntp"):
        road.read_tntp(tmp_path / "other_net.tntp")


@pytest.mark.parametrize(("name", "links", "zones"), [("SiouxFalls", 76, 24), ("Anaheim", 914, 38)])
def test_real_networks(road, data_folder, name, links, zones):
    roads = road.read_tntp(data_folder / "roads_tntp" / f"{name}_net.tntp")
    assert roads.graph.number_of_edges() == links
    assert len(roads.trips()) == zones * (zones - 1)
    assert set(roads.positions) == (set(roads.graph) if name == "SiouxFalls" else set())
