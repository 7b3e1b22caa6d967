"""What a cheapest path on a Warcraft map is, and what counts as one."""

import json

import numpy as np
import pytest

from examples.warcraft.generator import TERRAIN_COSTS
from examples.warcraft.maps import Maps, cheapest_paths, check_labels, cost_optimal, exact_match, path_costs


def test_a_tied_path_is_a_valid_label_and_a_dearer_one_is_not():
    costs = np.ones((2, 12, 12))
    costs[:, 5, 5] = 9.2  # the diagonal is blocked; ways round on either side cost the same
    paths = cheapest_paths(costs)
    other_way_round = paths.transpose(0, 2, 1)
    assert (other_way_round != paths).any()
    images = np.zeros((2, 96, 96, 3), dtype=np.uint8)
    check_labels(Maps(images, costs, other_way_round))
    broken = paths.copy()
    broken[1] = np.eye(12)
    with pytest.raises(ValueError, match=r"1 of 2 labels .* map 1, which costs 20.2 where 13.0 is best"):
        check_labels(Maps(images, costs, broken))


def test_a_label_with_a_gap_is_refused(maps):
    paths = maps.paths[:3].copy()
    paths[2, -1, -1] = 0
    with pytest.raises(ValueError, match="1 of 3 labels are not cheapest paths"):
        check_labels(Maps(maps.images[:3], maps.costs[:3], paths))


def test_metrics_tell_exact_from_cost_optimal():
    costs = np.ones((1, 12, 12))
    costs[:, 5, 5] = 9.2
    paths = cheapest_paths(costs)
    maps = Maps(np.zeros((1, 96, 96, 3), dtype=np.uint8), costs, paths)
    tied, detour, gap = paths.transpose(0, 2, 1), paths.copy(), paths.copy()
    detour[0, 0, -1] = 1
    gap[0, 0, 0] = 0
    scores = [(exact_match(mask, maps)[0], cost_optimal(mask, maps)[0]) for mask in (paths, tied, detour, gap)]
    assert scores == [(True, True), (False, True), (False, False), (False, False)]


def test_the_real_map(data_folder):
    golden = json.loads((data_folder / "warcraft" / "golden.json").read_text())
    assert golden["classes"] == TERRAIN_COSTS.tolist()
    costs = TERRAIN_COSTS[[[int(tile) for tile in row] for row in golden["train_0"]["grid"]]][None]
    label = np.array([[int(tile) for tile in row] for row in golden["train_0"]["path"]])[None]
    assert path_costs(costs, cheapest_paths(costs))[0] == pytest.approx(golden["train_0"]["cost"])
    check_labels(Maps(np.zeros((1, 96, 96, 3), dtype=np.uint8), costs, label))
