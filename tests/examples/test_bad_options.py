"""The examples say in one line what is wrong with their options, before they train."""

import os
import re

import pytest


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
        (["--device", "abacus"], "--device abacus: "),
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
    code, _, errors = call("custom_solver", "--out", tmp_path / "file")
    assert code == 2
    assert len(errors) == 1
    assert "--out: cannot make the folder" in errors[0]


def test_a_folder_that_cannot_be_written_to_is_found_before_the_training(call, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    code, _, errors = call("custom_solver")
    assert code == 2
    assert len(errors) == 1
    assert "--out: cannot write to the folder" in errors[0]
