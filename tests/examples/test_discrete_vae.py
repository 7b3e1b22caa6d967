"""The auto-encoder with a discrete code: its files, its codes, its loss, what it learns."""

import gzip
import importlib.util
import itertools
import math
import re
import struct
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.common.results import Row, read_results
from examples.discrete_vae import published
from examples.discrete_vae.codes import METHODS, RANDOM, Codes, Settings, relaxed_top_k, uniform_codes
from examples.discrete_vae.data import load
from examples.discrete_vae.idx import read_idx
from examples.discrete_vae.main import make_training
from examples.discrete_vae.model import DiscreteVAE, divergence, reconstruction_loss
from examples.discrete_vae.options import PRESETS
from examples.discrete_vae.picture import strip
from examples.discrete_vae.training import Point


def idx(images, magic=0x0803):
    """The bytes of an IDX file."""
    return struct.pack(">4I", magic, *images.shape) + images.astype(np.uint8).tobytes()


def settings(**changed):
    usual = {"k": 3, "samples": 4, "noise": "sog", "temperature": 1.0, "beta": 10.0, "aimle": {}, "hot": 1, "cold": 0.5}
    return Settings(**usual | changed)


IMAGES = np.arange(2 * 3 * 5).reshape(2, 3, 5)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("separator", "-.")
def test_idx_files_are_read_under_all_their_names(tmp_path, separator, ending):
    content = gzip.compress(idx(IMAGES)) if ending else idx(IMAGES)
    (tmp_path / f"train-images{separator}idx3-ubyte{ending}").write_bytes(content)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[1:]))
    images = load(tmp_path)
    assert images.train.tolist() == IMAGES.reshape(2, 15).tolist()
    assert images.test.tolist() == IMAGES[1:].reshape(1, 15).tolist()
    assert images.shape == (3, 5)
    assert images.batch(images.train, "cpu")[1, -1] == pytest.approx(29 / 255)
    assert len(load(tmp_path, train=1).train) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file of images, got 0 bytes, less than its head has"),
        (idx(IMAGES)[:12], "got 12 bytes, less than its head has"),
        (idx(IMAGES)[:-1], "expected 46 bytes for 2 images of 3 x 5, as its head says, got 45; get it anew"),
        (idx(IMAGES) + b"!", "expected 46 bytes .* got 47"),
        (idx(IMAGES, 0x0801), r"expected an IDX file of images \(magic number 2051\), got labels"),
        (idx(IMAGES, 0x0D03), r"got a file that begins with b'\\x00\\x00\\r\\x03"),  # floats
        ("0,0,5,13,9,1\n".encode("utf-16") * 9, "got a file that begins with b'"),
        (idx(IMAGES[:0]), "expected images, got 0 of 3 x 5 pixels"),
        (gzip.compress(idx(IMAGES))[:-9], "expected a whole gzip file, got a damaged one"),
        (gzip.compress(idx(IMAGES))[:12] + b"damaged" * 9, "expected a whole gzip file, got a damaged one"),
        (b"\x1f\x8bno gzip", "expected a whole gzip file, got a damaged one"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(call, tmp_path, content, message):
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(content)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(ValueError, match=message):
        read_idx(file)
    code, _, errors = call("discrete_vae", "--data", "mnist", "--idx", tmp_path)
    assert code == 2
    assert len(errors) == 1
    assert re.search(f"{file}: .*{message}", errors[0])


def test_files_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere; found no folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES))
    names = "expected train-images-idx3-ubyte or train-images.idx3-ubyte, or one of them with .gz, in .*; found t10k-"
    with pytest.raises(FileNotFoundError, match=names):
        load(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES.reshape(2, 5, 3)))
    with pytest.raises(ValueError, match="images of one size, got 5 x 3 in train-.*, 3 x 5 in t10k-"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "fashion"], "--data fashion reads a folder of IDX files: give --idx DIR"),
        (["--idx", "."], "--data digits reads no files: leave out --idx"),
        (["--k", 20], "--k: expected less than 20, the columns of a code, got 20"),
        (["--train-images", 5000], "--train-images: expected at most 1437, as there are no more images, got 5000"),
        (["--temperature", -1], "--temperature: expected a number above 0, got '-1'"),
        (["--preset", "aimle-paper"], "--data mnist reads a folder of IDX files: give --idx DIR"),
    ],
)
def test_it_says_what_is_wrong(call, arguments, message):
    code, _, errors = call("discrete_vae", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert message in errors[0]


def test_the_embedded_digits_are_those_of_scikit_learn():
    found = importlib.util.find_spec("sklearn")  # not imported, which takes seconds
    if found is None:
        pytest.skip("scikit-learn is not installed")
    with gzip.open(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        expected = np.loadtxt(file, delimiter=",", dtype=int)[:, :-1]
    images = load(None)
    assert torch.cat([images.train, images.test]).tolist() == expected.tolist()
    assert images.white == expected.max()


def test_the_real_mnist_is_read(data_folder):
    images = read_idx(data_folder / "mnist" / "t10k-images-idx3-ubyte.gz")
    assert images.shape == (10_000, 28, 28)
    assert images.mean() == pytest.approx(33.791, abs=1e-3)  # 0.1325 of white, as is known of these


@pytest.mark.parametrize("method", [*METHODS, RANDOM])
@pytest.mark.parametrize("k", [1, 3])
def test_codes_have_k_ones_in_each_row_and_are_likelier_where_scores_are_higher(method, k):
    torch.manual_seed(0)
    scores = torch.zeros(50, 2, 20)
    scores[:, 0, 5] = 4.0
    codes = Codes(method, settings(k=k)).draw(scores)
    assert codes.shape == (50, 4, 2, 20)
    assert set(codes.unique().tolist()) == {0, 1}
    assert (codes.sum(-1) == k).all()
    shares = codes.mean((0, 1))
    assert (shares[0, 5] > 0.6) == (method != RANDOM)
    torch.testing.assert_close(shares[1], torch.full((20,), k / 20), atol=0.11, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_teaches_the_encoder_which_entry_is_of_use(method):
    torch.manual_seed(0)
    scores = torch.zeros(200, 2, 20, requires_grad=True)
    codes = Codes(method, settings(aimle={"initial_beta": 0.5}))
    drawn = codes.draw_to_train(scores, 0.5)
    loss = -drawn[..., 0, 7]  # the code is better for having this entry
    (loss.sum(1) if codes.averaging else loss.mean(1)).mean().backward()
    mean = scores.grad.mean(0)
    assert mean[0].argmin() == 7
    assert mean[0, 7] < 0
    assert mean[1].abs().max() < 0.1 * mean[0].abs().max()


def test_relaxed_codes_have_the_sum_k_and_tend_to_the_top_k():
    torch.manual_seed(0)
    scores = torch.randn(30, 20)
    torch.testing.assert_close(relaxed_top_k(scores, 1, 0.7), torch.softmax(scores / 0.7, -1))
    relaxed = relaxed_top_k(scores, 4, 0.5)
    torch.testing.assert_close(relaxed.sum(-1), torch.full((30,), 4.0))
    apart = torch.arange(20.0)[torch.randperm(20)]
    hard = torch.zeros(20).scatter_(-1, apart.topk(4).indices, 1.0)
    torch.testing.assert_close(relaxed_top_k(apart, 4, 0.05), hard, atol=1e-6, rtol=0)
    assert torch.isfinite(relaxed_top_k(apart * 1000, 19, 0.05)).all()


def test_uniform_codes_are_uniform():
    torch.manual_seed(0)
    codes = uniform_codes(2000, 2, 3)
    assert (codes.sum(-1) == 3).all()
    torch.testing.assert_close(codes.mean(0), torch.full((2, 20), 3 / 20), atol=0.04, rtol=0)


def test_the_loss_is_that_of_its_formulas():
    scores, shares = torch.zeros(1, 20, 20), torch.tensor([0.5, 0.25, 0.25])
    assert divergence(scores).item() == pytest.approx(0, abs=1e-6)
    scores[0, 0, 3] = 1000.0  # this row is certain
    assert divergence(scores).item() == pytest.approx(math.log(20), rel=1e-6)
    scores[0, 0] = torch.cat([shares.log(), torch.full((17,), -torch.inf)]).clamp(min=-100)
    expected = sum(share * math.log(20 * share) for share in shares.tolist())
    assert divergence(scores).item() == pytest.approx(expected, rel=1e-5)
    logits, image = torch.tensor([[[0.0, 2.0], [1.0, -1.0]]]), torch.tensor([[1.0, 0.25]])
    by_hand = [
        sum(
            -x * math.log(1 / (1 + math.exp(-z))) - (1 - x) * math.log(1 - 1 / (1 + math.exp(-z)))
            for z, x in zip(sample, image[0].tolist(), strict=True)
        )
        for sample in logits[0].tolist()
    ]
    assert reconstruction_loss(logits, image)[0].tolist() == pytest.approx(by_hand, rel=1e-5)


def test_evaluation_measures_every_held_out_image_by_its_samples():
    images = load(None, train=10, test=7)
    options = Namespace(
        k=10, samples=2, noise="sog", temperature=0.0, beta=1.0, initial_beta=None, step=None, target_norm=None,
        hot=1.0, cold=1.0, epochs=1, batch_size=4, lr=1e-3, kl_weight=1.0, device="cpu",
    )  # fmt: skip
    training = make_training("imle", 3, options, images)
    point = training.evaluate(images)
    torch.manual_seed(3)
    network = DiscreteVAE(64)
    pixels = images.test / 16
    scores = network.encode(pixels)
    codes = (scores >= scores.topk(10, -1).values[..., -1:]).float()  # without noise
    losses = reconstruction_loss(network.decode(codes).unsqueeze(1), pixels)
    assert point.reconstruction == pytest.approx(losses.mean().item(), rel=1e-5)
    assert point.divergence == pytest.approx(divergence(scores).mean().item(), rel=1e-5)
    assert point.nelbo == point.reconstruction + point.divergence


@pytest.mark.slow
def test_it_learns_codes_that_say_more_than_random_ones(call, tmp_path):
    arguments = ("--method", "imle,aimle-central", "--epochs", 4, "--lr", "2e-3")
    code, _, errors = call("discrete_vae", *arguments)
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    found = {row.method: row.metrics["nelbo"] for row in results.rows}
    assert list(found) == ["untrained", "random", "imle", "aimle-central"]
    for method in ("imle", "aimle-central"):
        assert found[method] < found["random"] - 2 < found["untrained"] - 20
    assert results.rows[0].metrics["reconstruction"] == results.rows[2].curves["reconstruction"][0]


def test_published_losses_stand_beside_those_of_as_many_steps():
    history = [Point(75 * epoch, 100.0 - epoch, 20.0) for epoch in range(25)]
    reached = published.losses(history, samples=10)
    assert reached == {"loss_1": 94.0, "loss_2": 86.0, "loss_3": 78.0}
    rows = [Row("aimle-central", 0, reached)]
    options = Namespace(preset="aimle-paper", **PRESETS["aimle-paper"])
    images = load(None)
    (figures,) = published.published(options, images, rows)
    assert figures.metrics == {"loss_1": 79.85607, "loss_2": 72.88469, "loss_3": 70.79888}
    assert figures.differs == "60000 training images (here 1437), 10000 test images (here 360)"
    options.temperature = 2.0
    assert "temperature 1.0 (here 2.0)" in published.published(options, images, rows)[0].differs
    options.preset = None
    assert published.published(options, images, rows) == []


def test_pictures_stand_side_by_side():
    images = torch.arange(12.0).reshape(2, 6)
    joined = strip(images, (2, 3))
    assert joined.shape == (2, 8)
    assert joined[1, :3].tolist() == [3, 4, 5]
    assert joined[0, 4:7].tolist() == [6, 7, 8]
    assert all(np.isnan(joined[row, column]) for row, column in itertools.product((0, 1), (3, 7)))
