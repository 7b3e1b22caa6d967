"""The map demonstration: its map, what it samples and learns, and its page."""

import base64
import json
import re

import numpy as np
import pytest
import torch

from examples.common.results import read_results
from examples.map_demo.maps import cheapest, hamming, paths_over, read_map, walls
from examples.map_demo.sampling import make_layer, sample
from examples.map_demo.settings import Setting, settings_of


@pytest.fixture(scope="module")
def world():
    """The map, paths over it, and the cheapest."""
    costs = walls()
    adapter = paths_over(costs)
    return adapter, costs, cheapest(adapter, costs)


def drawn(page):
    """The data in a page."""
    return json.loads(re.search('<script id="data" type="application/json">(.*?)</script>', page)[1])


def bits(text, shape):
    """Paths of a page, (N, *shape)."""
    cells = int(np.prod(shape))
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(-1, -(-cells // 8))
    return torch.from_numpy(np.unpackbits(packed, axis=1)[:, :cells].reshape(-1, *shape).astype(np.float32))


def test_the_gold_path_goes_round_the_dear_areas(world):
    _, costs, gold = world
    assert costs.shape == (16, 16)
    assert (gold * costs).max() == 1
    assert gold.sum() > 40


def test_targets_of_samples_are_what_the_gradient_of_the_layer_points_to(world):
    adapter, costs, gold = world
    paths, targets = sample(adapter, costs, gold, 2.0, 1.0, 3.0, count=20, seed=4)
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert hamming(targets, gold).mean() < hamming(paths, gold).mean() - 1
    with make_layer(adapter, 2.0, 1.0, 3.0, 4) as layer:  # all samples at once, as in a training
        theta = costs.clone().requires_grad_()
        drawn = layer.sample(theta, 20)
        hamming(drawn, gold).sum().backward()
    assert torch.equal(drawn.detach(), paths)
    torch.testing.assert_close(theta.grad, (targets - paths).mean(0))


def test_more_noise_gives_more_paths_and_none_gives_one(world):
    adapter, costs, gold = world
    kinds = [
        len(sample(adapter, costs, gold, temperature, 0.0, 1.0, count=30, seed=0)[0].unique(dim=0))
        for temperature in (0.0, 1.0)
    ]
    assert kinds[0] == 1
    assert kinds[1] > 10


def test_settings_are_those_that_a_method_tells_apart():
    assert len(settings_of("imle", (0.0, 1.0, 2.0, 5.0), (1, 10, 100))) == 48
    assert settings_of("blackbox", (0.0, 1.0), (1, 10)) == [Setting(0.0, 0.0, 1)]
    assert settings_of("ste", (0.0, 1.0), (1,)) == [Setting(0.0, 0.0, 1), Setting(1.0, 1.0, 1)]
    assert settings_of("score", (0.0, 1.0), (1, 10)) == [Setting(1.0, 1.0, 10)]


@pytest.mark.slow
def test_it_learns_the_path_with_a_map_of_ones_own_and_leaves_a_page(call, tmp_path):
    rows = ["1 9 1 1 1", "1, 9, 1, 9, 1", "", "1 9 1 9 1", "1 1 1 9 1"]
    (tmp_path / "map.txt").write_text("\n".join(rows))
    arguments = ("--quick", "--map", tmp_path / "map.txt", "--gifs", "few", "--method", "imle,identity,blackbox")
    code, _, errors = call("map_demo", *arguments)
    assert code == 0, errors
    out = tmp_path / "out"
    results = read_results(out / "results.json")
    assert results.methods == ["untrained", "random", "imle", "identity", "blackbox"]
    (learned,), (untrained,) = results.values("imle", "wrong"), results.values("untrained", "wrong")
    assert learned < untrained - 3
    assert results.values("imle", "reached")[0] >= 0.75
    assert "steps, in=1 target=0 samples=10" in results.rows[2].metrics
    for name in ("sampling", "learning-imle-in1-target1-samples1", "learning-imle-in1-target1-samples10"):
        assert (out / f"{name}.gif").read_bytes().startswith(b"GIF89a")

    page = (out / "page.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]*(src|href)|@import|url\(|fetch\(", page)  # needs no network
    data = drawn(page)
    sampling, learning = data["sampling"], data["learning"]
    costs = read_map(tmp_path / "map.txt")
    adapter, shape = paths_over(costs), tuple(costs.shape)
    gold = cheapest(adapter, costs)
    assert data["costs"] == costs.flatten().tolist()
    assert (learning["method"], data["seed"], learning["rate"]) == ("imle", 0, 0.05)  # which the page says
    assert torch.equal(bits(learning["gold"], shape)[0], gold)
    paths, targets = sample(adapter, costs, gold, 1.0, 0.0, 10.0, count=sampling["count"], seed=0)
    assert torch.equal(bits(sampling["paths"]["1"], shape), paths)
    assert torch.equal(bits(sampling["targets"]["0/10/1/0"], shape), targets)
    assert len(sampling["targets"]) == 2 * len(sampling["lambdas"]) * len(sampling["temperatures"]) ** 2
    one = learning["settings"]["1/1/10"]
    frames = bits(one["paths"], shape)
    assert hamming(frames, gold).int().tolist() == [one["wrong"][step] for step in learning["steps"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected 2 to 64 rows of costs, found 0"),
        (b"1 2\n3", "line 2: expected 2 to 64 costs, found 1"),
        (b"1 2 3\n1 2", "expected 3 costs in each row, as in the first, found 2 in row 2"),
        (b"1 2\n1 x", "line 2: expected costs separated by blanks or commas .*'x'"),
        (b"1 2\n-1 2", "line 2: expected costs of 0 or more, got -1"),
        (b"1 2\n\n1 nan", "line 3: expected costs of 0 or more, got nan"),
        (b"\xff\xfe1 2", "expected text in UTF-8, got other bytes at position 0"),
        (b"1 " * 65 + b"\n", "line 1: expected 2 to 64 costs, found 65"),
        (None, "expected a map, a row of costs a line, found no file"),
    ],
)
def test_a_map_that_is_none_is_refused_in_one_line(call, tmp_path, content, message):
    if content is not None:
        (tmp_path / "map.txt").write_bytes(content)
    code, _, errors = call("map_demo", "--map", tmp_path / "map.txt")
    assert code == 2
    assert len(errors) == 1
    assert re.search(f"error: --map: .*{message}", errors[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--temperatures", "1,-2"], "--temperatures: expected numbers of 0 or more, as 0,1,2,5, got '1,-2'"),
        (["--temperatures", "x"], "--temperatures: expected numbers of 0 or more"),
        (["--samples", "1,0"], "--samples: expected a whole number of at least 1, got '0'"),
        (["--beta", "0"], "--beta: expected a number above 0, got '0'"),
        (["--method", "score", "--samples", "1"], "--method score: no setting left"),
    ],
)
def test_options_that_cannot_work_are_refused_in_one_line(call, arguments, message):
    code, _, errors = call("map_demo", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert message in errors[0]
