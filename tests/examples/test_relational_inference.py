"""Neural relational inference: data, networks, latents, files."""

import argparse
import pickle
import zipfile

import networkx as nx
import numpy as np
import pytest
import torch

from examples.relational_inference.files import read_motions
from examples.relational_inference.latents import METHODS, make_latent
from examples.relational_inference.model import Decoder, Encoder
from examples.relational_inference.options import make_parser, published
from examples.relational_inference.particles import (
    directed_from,
    generate,
    layout_motions,
    random_trees,
    spring_motions,
)
from examples.relational_inference.training import Model, Systems, edge_shares


def rng():
    return np.random.default_rng(0)


def test_random_trees_are_trees_and_those_of_a_seed_are_the_same():
    trees = random_trees(50, 7, rng())
    assert all(nx.is_tree(nx.from_numpy_array(tree)) for tree in trees)
    np.testing.assert_array_equal(trees, random_trees(50, 7, rng()))
    assert len(np.unique(trees.reshape(50, -1), axis=0)) > 40


def test_every_particle_but_the_root_has_its_parent():
    trees, roots = random_trees(20, 8, rng()), np.arange(20) % 8
    parents = directed_from(trees, roots)
    np.testing.assert_array_equal(parents.sum(2), np.arange(8) != roots[:, None])
    np.testing.assert_array_equal(parents | parents.transpose(0, 2, 1), trees)


def test_a_layout_brings_together_what_an_edge_joins():
    trees = random_trees(100, 10, rng())
    tracks = layout_motions(trees, 20, rng())
    assert tracks.shape == (100, 20, 10, 2)
    distances = [
        np.linalg.norm(places[:, :, None] - places[:, None], axis=-1) for places in (tracks[:, 0], tracks[:, -1])
    ]
    others = ~trees & ~np.eye(10, dtype=bool)
    assert distances[0][trees].mean() == pytest.approx(distances[0][others].mean(), rel=0.1)
    assert distances[1][trees].mean() < 0.6 * distances[1][others].mean()
    moved = np.linalg.norm(np.diff(tracks, axis=1), axis=-1).max((0, 2))
    assert (np.diff(moved) < 0).all()  # it cools


def test_springs_keep_energy_and_momentum_between_walls():
    trees = random_trees(20, 6, rng())
    tracks = spring_motions(trees, 6, rng()).astype(float)
    place, speed = tracks[..., :2], tracks[..., 2:]
    assert np.abs(place).max() < 5
    apart = ((place[:, :, :, None] - place[:, :, None]) ** 2).sum(-1)
    energy = 0.5 * (speed**2).sum((2, 3)) + 0.25 * 0.1 * (apart * trees[:, None]).sum((2, 3))
    np.testing.assert_allclose(energy, energy[:, :1].repeat(6, 1), rtol=1e-4)
    np.testing.assert_allclose(speed.sum(2), speed.sum(2)[:, :1].repeat(6, 1), atol=1e-5)


def test_a_root_feels_no_spring_and_walls_hold():
    parents = directed_from(random_trees(10, 5, rng()), np.zeros(10, dtype=int))
    tracks = spring_motions(parents, 60, rng())
    np.testing.assert_allclose(np.abs(tracks[:, :, 0, 2:]), np.abs(tracks[:, :1, 0, 2:]).repeat(60, 1), atol=1e-6)
    assert np.abs(tracks[..., :2]).max() <= 5


def test_the_encoder_follows_a_permutation_of_particles():
    torch.manual_seed(0)
    encoder, tracks = Encoder(6, 8), torch.randn(4, 3, 5, 2)
    encoder.train()(torch.randn(50, 3, 5, 2))
    order = torch.tensor([3, 0, 4, 1, 2])
    scores, permuted = encoder.eval()(tracks), encoder(tracks[:, :, order])
    assert torch.allclose(permuted, scores[:, order][:, :, order], atol=1e-5)
    assert (scores - scores.transpose(1, 2)).abs().max() > 0.01


@pytest.mark.parametrize("background", [False, True])
def test_the_decoder_tells_a_receiver_and_nobody_else(background):
    torch.manual_seed(0)
    decoder, tracks = Decoder(2, 8, background), torch.randn(1, 4, 5, 2)
    none, one = torch.zeros(1, 5, 5), torch.zeros(1, 5, 5)
    one[0, 3, 1] = 1
    changed = (decoder(tracks, one, 1) - decoder(tracks, none, 1)).abs().amax((0, 1, 3))
    assert (changed > 0).tolist() == [False, False, False, True, False]
    moved = tracks.clone()
    moved[:, 0, 0] += 1
    hears = (decoder(moved, none, 1) - decoder(tracks, none, 1))[0, 0, 1:].abs().sum() > 0
    assert bool(hears) == background


def test_predictions_ahead_start_from_true_states():
    torch.manual_seed(0)
    decoder, tracks, influence = Decoder(2, 8, True), torch.randn(2, 8, 4, 2), torch.rand(2, 4, 4)
    by_one, by_three = decoder(tracks, influence, 1), decoder(tracks, influence, 3)
    assert by_one.shape == by_three.shape == (2, 7, 4, 2)
    assert torch.allclose(by_one[:, 0::3], by_three[:, 0::3], atol=1e-5)
    assert torch.allclose(decoder.step(by_one[:, 3:4], influence), by_three[:, 4:5], atol=1e-5)
    assert not torch.allclose(by_one[:, 4], by_three[:, 4], atol=1e-3)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_latents(method, directed):
    torch.manual_seed(0)
    latent = make_latent(method, 6, directed=directed, step=2.0)
    scores = torch.randn(5, 6, 6, requires_grad=True)
    drawn = latent(scores)
    drawn.mul(torch.randn(5, 6, 6)).sum().backward()
    assert scores.grad.abs().sum() > 0
    assert not drawn.diagonal(dim1=1, dim2=2).any()
    latent.eval()
    for found in (latent(scores).detach(), latent.mode(scores).detach()):
        assert set(found.unique().tolist()) <= {0.0, 1.0}
        symmetric = not directed or method in ("imle", "aimle", "aimle-central", "ste")
        if symmetric:
            assert torch.equal(found, found.transpose(1, 2))
        if method in ("imle", "aimle", "aimle-central", "ste", "rooted"):
            assert all(nx.is_tree(nx.from_numpy_array((each + each.T).clamp(max=1).numpy())) for each in found)
        if method == "rooted" and directed:
            assert all(
                nx.is_arborescence(nx.from_numpy_array(each.T.numpy(), create_using=nx.DiGraph)) for each in found
            )
        if method == "top-k":
            assert (found.sum((1, 2)) == 5 * (1 + symmetric)).all()
    divergence = latent.divergence(scores)
    assert divergence.shape == (5,)
    assert (divergence > 0).all()
    assert latent.divergence(torch.zeros(1, 6, 6)).item() == pytest.approx(0, abs=1e-5)


def test_edge_shares():
    truth, found = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    truth[:, 0, 1] = truth[:, 1, 0] = truth[:, 1, 2] = truth[:, 2, 1] = 1
    found[0, 0, 1] = found[0, 0, 2] = 1
    accuracy, precision, recall = edge_shares(found, truth)
    assert accuracy.tolist() == pytest.approx([1 - 4 / 6, 1 - 4 / 6])
    assert precision.tolist() == [0.5, 0.0]
    assert recall.tolist() == [0.25, 0.0]


def test_the_bound_is_that_of_the_normal_density():
    tracks = torch.randn(3, 4, 5, 2)
    systems = Systems(tracks, torch.zeros(3, 5, 5))
    options = argparse.Namespace(data="springs", hidden=4, ahead=1, variance=0.5, step=2.0)
    model = Model(systems, "imle", False, options)
    scores, influence = torch.randn(3, 5, 5), torch.zeros(3, 5, 5)
    predicted = model.decoder(tracks, influence, 1)
    density = torch.distributions.Normal(predicted, 0.5**0.5).log_prob(tracks[:, 1:]).sum((1, 2, 3))
    constant = -0.5 * np.log(2 * np.pi * 0.5) * 3 * 5 * 2
    expected = (density - constant - model.latent.divergence(scores)) / 5
    assert torch.allclose(model.bound(tracks, scores, influence), expected, rtol=1e-4)


@pytest.fixture
def arrays():
    motions = generate("springs", 12, 3, rng(), 4)
    return {"tracks": motions.tracks, "influence": motions.influence.astype(np.uint8)}


def test_a_file_is_read_and_learned_from(call, tmp_path, arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    motions = read_motions(tmp_path / "own.npz")
    np.testing.assert_array_equal(motions.tracks, arrays["tracks"])
    np.testing.assert_array_equal(motions.influence, arrays["influence"])
    assert call("relational_inference", "--quick", "--data", tmp_path / "own.npz")[0] == 0


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def save_one(path, array):
    with path.open("wb") as opened:
        np.save(opened, array)


WRITERS = {
    "nothing": (lambda path, arrays: None, "found no such file"),
    "empty": (lambda path, arrays: path.write_bytes(b""), "got a file that is no .npz, or the beginning of one"),
    "text": (lambda path, arrays: path.write_text("a,b\n1,2\n"), "no .npz"),
    "another encoding": (lambda path, arrays: path.write_bytes("Jägerstraße".encode("utf-16")), "no .npz"),
    "pickle": (lambda path, arrays: path.write_bytes(pickle.dumps(Bomb())), "no .npz"),
    "pickled array": (
        lambda path, arrays: np.savez(path, **{**arrays, "tracks": np.array([Bomb()], dtype=object)}),
        "got Python objects, or a damaged array, as tracks",
    ),
    "one array": (
        lambda path, arrays: save_one(path, arrays["tracks"]),
        "no .npz.*; write it by numpy.savez",
    ),
    "zip of something": (lambda path, arrays: zipfile.ZipFile(path, "w").close(), "found no tracks in it but nothing"),
    "no truth": (lambda path, arrays: np.savez(path, tracks=arrays["tracks"]), "found no influence in it but tracks"),
    "text columns": (
        lambda path, arrays: np.savez(path, **{**arrays, "tracks": arrays["tracks"].astype(str)}),
        "got tracks of <U",
    ),
    "axes": (lambda path, arrays: np.savez(path, **{**arrays, "tracks": arrays["tracks"][0]}), "got tracks of shape"),
    "columns": (
        lambda path, arrays: np.savez(path, **{**arrays, "influence": arrays["influence"][:, 1:]}),
        r"and influence of shape \(12, 3, 4\)",
    ),
    "few": (lambda path, arrays: np.savez(path, **{k: v[:5] for k, v in arrays.items()}), "with N >= 10"),
    "not finite": (
        lambda path, arrays: np.savez(path, **{**arrays, "tracks": arrays["tracks"] * np.nan}),
        "finite tracks, got other values in system 0",
    ),
    "weights": (
        lambda path, arrays: np.savez(path, **{**arrays, "influence": arrays["influence"] * 0.5}),
        "zeros and ones, got other values in system 0",
    ),
    "alone": (
        lambda path, arrays: np.savez(path, **{**arrays, "influence": arrays["influence"] * 0}),
        "an influence in every system, got other values in system 0",
    ),
    "at rest": (
        lambda path, arrays: np.savez(path, **{**arrays, "tracks": arrays["tracks"] * 0 + 1}),
        "particles that move, got other values in system 0",
    ),
    "on itself": (
        lambda path, arrays: np.savez(path, **{**arrays, "influence": arrays["influence"] | np.eye(4, dtype=np.uint8)}),
        "no influence of a particle on itself",
    ),
}


@pytest.mark.parametrize("what", WRITERS)
def test_malformed_files_get_one_line_before_work_starts(call, tmp_path, arrays, what):
    write, message = WRITERS[what]
    path = tmp_path / "own.npz"
    write(path, arrays)
    with pytest.raises(ValueError, match=rf"own.npz: expected a .npz of arrays tracks .*{message}"):
        read_motions(path)
    code, printed, errors = call("relational_inference", "--quick", "--data", path)
    assert (code, len(errors)) == (2, 1)
    assert "training" not in "\n".join(printed)


def test_a_truncated_file(tmp_path, arrays):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="no .npz, or the beginning of one"):
        read_motions(path)
    np.savez(path, **arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"\0" * 40 + whole[240:])  # damaged in the middle
    with pytest.raises(ValueError, match="got (a damaged file|Python objects, or a damaged array)"):
        read_motions(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "comets"], "--data: expected layout, springs, leaders or a file NAME.npz, got 'comets'"),
        (["--nodes", 2], "--nodes: expected at least 3, got 2"),
        (["--steps", 1], "--steps: expected at least 2, got 1"),
        (["--nodes", 10_000, "--systems", 2_000_000], "expected at most 1000000000 pairs of particles in all, got 200"),
        (["--steps", 5, "--ahead", 5], "--ahead: expected less than 5, the time steps, got 5"),
        (["--method", "tree"], "unknown method 'tree'"),
        (["--variance", 0], "--variance: expected a number above 0, got '0'"),
    ],
)
def test_bad_options(call, arguments, message):
    code, _, errors = call("relational_inference", "--quick", *arguments)
    assert (code, len(errors)) == (2, 1)
    assert message in errors[0]


def test_the_published_figure_stands_beside_its_data_only():
    parser = make_parser("")
    same = published(parser.parse_args([]))
    assert [(each.method, each.metrics) for each in same] == [("aimle-central", {"precision": 0.637})]
    assert "hidden 256 (here 32)" in same[0].differs
    assert published(parser.parse_args(["--steps", "20"])) == []
    assert published(parser.parse_args(["--data", "springs"])) == []
