"""Files of Warcraft maps survive a round trip, and bad ones are refused."""

import re

import numpy as np
import pytest

from examples.warcraft.files import read, write


@pytest.mark.parametrize("root", ["warcraft_shortest_path_oneskin", "warcraft_shortest_path", "."])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_published_layout_round_trips(maps, tmp_path, root, parts):
    write(tmp_path / root, "train", maps[:9], parts=parts)
    names = {path.name for path in (tmp_path / root / "12x12").iterdir()}
    assert ("train_maps.npy" if parts == 1 else "train_maps_part1.npy") in names
    again = read(tmp_path, 12, "train")
    assert (again.costs == maps.costs[:9]).all()  # float16 in the file, snapped to tenths
    assert (again.images == maps.images[:9]).all()
    assert (again.paths == maps.paths[:9]).all()


def test_costs_are_stored_as_float16_as_published(maps, tmp_path):
    write(tmp_path, "val", maps[:2])
    stored = np.load(tmp_path / "12x12" / "val_vertex_weights.npy", allow_pickle=False)
    assert stored.dtype == np.float16
    assert np.float64(np.float16(0.8)) in stored.astype(np.float64)


def test_pickled_files_are_refused(maps, tmp_path):
    write(tmp_path, "val", maps[:2])
    np.save(tmp_path / "12x12" / "val_maps.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="expected an array of numbers"):
        read(tmp_path, 12, "val")


def test_files_of_other_shapes_are_refused(maps, tmp_path):
    write(tmp_path, "val", maps[:2])
    np.save(tmp_path / "12x12" / "val_vertex_weights.npy", np.ones((2, 12, 11), dtype=np.float16))
    with pytest.raises(
        ValueError, match=re.escape("expected val_vertex_weights of shape (2, 12, 12), got (2, 12, 11)")
    ):
        read(tmp_path, 12, "val")


def test_missing_files_are_named(maps, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected .*12x12.*found in .*nothing"):
        read(tmp_path, 12, "train")
    write(tmp_path, "val", maps[:2])
    with pytest.raises(
        FileNotFoundError, match=r"expected train_maps.npy or train_maps_part0.npy .*found val_maps.npy, val_sh"
    ):
        read(tmp_path, 12, "train")
