"""The examples say in one line what is wrong with their options, before they train."""

import importlib.util
import os
import re

import pytest

from examples.common.methods import METHODS
from examples.common.results import read_results


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", 13], r"invalid choice: '?13'? \(choose from '?12"),
        (["--epochs", 0], "--epochs: expected a whole number of at least 1, got '0'"),
        (["--samples", "x"], "--samples: expected a whole number of at least 1, got 'x'"),
        (["--lr", -1], "--lr: expected a number above 0, got '-1'"),
        (["--seed", -1], "--seed: expected a whole number from 0 to .*, got '-1'"),
        (["--quick", "--beta", 0], "beta must be positive and finite, got 0.0"),
        (["--quick", "--workers", -2], "num_workers must be 0 .* got -2"),
        (["--device", "abacus"], "--device abacus: .*; leave it out to use the CPU"),
        (["--device", "meta"], "--device meta: .*; leave it out to use the CPU"),
        (["--data", "nowhere"], "expected nowhere/12x12, .* found in nowhere: no such folder"),
        (["--write", "a", "--data", "b"], "leave out --data"),
        (["--method", "imle,magic"], "--method: unknown method 'magic'; expected all, or some of imle,aimle,"),
        (["--seeds", 0], "--seeds: expected a whole number of at least 1, got '0'"),
    ],
)
def test_warcraft_says_what_is_wrong(call, arguments, message):
    code, _, errors = call("warcraft", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


@pytest.mark.parametrize("frontend", ["jax", "keras"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "none"], "--method none: not with --frontend {}, which has imle,aimle,"),
        (["--method", "all"], "--method score: not with --frontend {}, which has imle,aimle,"),
        (["--method", "imle,fenchel-young"], "--method fenchel-young: not with --frontend {}, which has imle,aimle,"),
        (["--resume"], "--resume: only with --frontend torch, not with --frontend {}"),
        (["--ray", "local"], "--ray: only with --frontend torch, not with --frontend {}"),
        (["--device", "cpu:0"], "--device: only with --frontend torch, not with --frontend {}"),
        (["--seed", 2**31 - 2, "--seeds", 3], "--seed: expected seeds below 2.*31 with --frontend {}, got 2147483648"),
    ],
)
def test_what_other_front_ends_do_not_have_is_said(call, tmp_path, frontend, arguments, message):
    code, _, errors = call("warcraft", "--frontend", frontend, *arguments)
    assert (code, len(errors)) == (2, 1)
    assert re.search(message.format(frontend), errors[0])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("frontend", "there", "message"),
    [
        ("jax", [], r'needs JAX, Equinox, Optax: make warcraft-jax, or pip install "imle-solvers\[examples-jax\]"'),
        ("jax", ["jax"], r"--frontend jax needs Equinox, Optax: make warcraft-jax"),
        ("keras", [], r'needs Keras: make warcraft-keras, or pip install "imle-solvers\[keras\]"'),
    ],
)
def test_a_front_end_that_is_not_installed_is_named(call, tmp_path, monkeypatch, frontend, there, message):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in there else None)
    code, _, errors = call("warcraft", "--frontend", frontend)
    assert (code, len(errors)) == (2, 1)
    assert re.search(message, errors[0])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tntp", "nowhere_net.tntp"], "expected a network file NAME_net.tntp, found none at nowhere_net.tntp"),
        (["--beta", 0], "beta must be positive and finite, got 0.0"),
        (["--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["--seed", 2**63], "--seed: expected a whole number from 0 to"),
        (["--places", 2], "--places: expected at least 4, got 2"),
        (["--routes", 0], "--routes: expected a whole number of at least 1, got '0'"),
    ],
)
def test_road_network_says_what_is_wrong(call, arguments, message):
    code, _, errors = call("road_network", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


def test_a_folder_that_cannot_be_made_is_found_before_the_training(call, tmp_path):
    (tmp_path / "file").touch()
    code, _, errors = call("custom_solver", "--out", tmp_path / "file" / "folder")
    assert code == 2
    assert len(errors) == 1
    assert "--out: cannot make the folder" in errors[0]


def test_a_folder_that_cannot_be_written_to_is_found_before_the_training(call, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    code, _, errors = call("custom_solver")
    assert code == 2
    assert len(errors) == 1
    assert "--out: cannot write to the folder" in errors[0]


def test_a_file_or_nothing_is_no_folder_for_results(call, tmp_path):
    (tmp_path / "file").touch()
    for given, message in ((tmp_path / "file", "got the file"), ("", "got none")):
        code, _, errors = call("road_network", "--out", given)
        assert code == 2
        assert len(errors) == 1
        assert message in errors[0]


def test_a_run_that_is_refused_leaves_no_folder(call, tmp_path):
    kept = tmp_path / "results" / "kept"
    kept.parent.mkdir()
    for out in (tmp_path / "out", kept / "deep"):
        code, _, _ = call("road_network", "--out", out, "--places", 2)
        assert (code, out.exists()) == (2, False)
    assert kept.parent.is_dir()
    assert not kept.exists()


def test_quick_leaves_options_that_are_given_as_they_are(call, tmp_path):
    code, _, _ = call("road_network", "--quick", "--epochs", 1)
    assert code == 0
    settings = read_results(tmp_path / "out" / "results.json").settings
    assert (settings["epochs"], settings["places"]) == (1, 30)
    code, _, errors = call("road_network", "--quick", "--places", 2)
    assert (code, len(errors)) == (2, 1)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00", b"text"])
def test_files_of_maps_that_are_damaged_are_named(call, tmp_path, content):
    few = ("--train-maps", 3, "--test-maps", 2)
    assert call("warcraft", *few, "--write", tmp_path / "maps")[0] == 0
    (tmp_path / "maps" / "12x12" / "train_maps.npy").write_bytes(content)
    code, _, errors = call("warcraft", *few, "--data", tmp_path / "maps")
    assert (code, len(errors)) == (2, 1)
    assert re.search(r"train_maps\.npy: expected an array of numbers as NumPy saves it", errors[0])


def test_a_row_of_a_network_that_is_wrong_is_named(call, tmp_path, data_folder):
    text = (data_folder / "roads_tntp" / "SiouxFalls_net.tntp").read_text().splitlines(keepends=True)
    wrong = next(number for number, line in enumerate(text) if line.strip().startswith("1\t"))
    text[wrong] = text[wrong].replace("1", "x", 1)
    (tmp_path / "wrong_net.tntp").write_text("".join(text))
    code, _, errors = call("road_network", "--tntp", tmp_path / "wrong_net.tntp")
    assert (code, len(errors)) == (2, 1)
    assert f"wrong_net.tntp, line {wrong + 1}: expected two numbers of nodes" in errors[0]


def test_a_method_that_is_added_by_resume_stands_beside_those_before(call, tmp_path):
    assert call("road_network", "--quick", "--epochs", 1, "--method", "imle")[0] == 0
    assert call("road_network", "--quick", "--epochs", 1, "--method", "ste", "--resume")[0] == 0
    rows = read_results(tmp_path / "out" / "results.json").rows
    assert [row.method for row in rows if row.method in METHODS] == ["imle", "ste"]
