"""Generated Warcraft maps are like the real ones."""

import numpy as np
import pytest

from examples.warcraft.generator import TERRAIN_COSTS, TERRAIN_FREQUENCIES, TERRAIN_RGB, generate
from examples.warcraft.maps import check_labels, path_costs


@pytest.fixture(scope="module")
def maps():
    return generate(600, 12, seed=5)


def terrain_of(costs):
    return abs(costs[..., None] - TERRAIN_COSTS).argmin(-1)


@pytest.mark.slow
def test_generated_terrain_is_as_frequent_and_as_costly_as_the_real(maps):
    frequencies = np.bincount(terrain_of(maps.costs).ravel()) / maps.costs.size
    np.testing.assert_allclose(frequencies, TERRAIN_FREQUENCIES, atol=0.02)
    assert 20 < path_costs(maps.costs, maps.paths).mean() < 26


def test_generated_tiles_have_the_real_colours_with_variation(maps):
    tiles = maps.images.reshape(len(maps), 12, 8, 12, 8, 3).mean((2, 4))
    terrain = terrain_of(maps.costs)
    for kind, colour in enumerate(TERRAIN_RGB):
        np.testing.assert_allclose(tiles[terrain == kind].mean(0), colour, atol=10)
        assert tiles[terrain == kind].std(0).max() > 5


def test_generated_terrain_is_smooth(maps):
    terrain = terrain_of(maps.costs)
    alike = (terrain[:, :, 1:] == terrain[:, :, :-1]).mean()
    by_chance = (TERRAIN_FREQUENCIES**2).sum()
    assert alike > by_chance + 0.3


def test_the_seed_decides_the_maps_and_the_count_only_how_many(maps):
    again = generate(130, 12, seed=5)
    for name in ("images", "costs", "paths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps[:130], name))
    assert (generate(1, 12, seed=6).images != maps.images[:1]).any()


@pytest.mark.parametrize("size", [18, 30])
def test_larger_maps(size):
    larger = generate(3, size, seed=0)
    assert larger.images.shape == (3, 8 * size, 8 * size, 3)
    check_labels(larger)
