"""Learning to explain: ways to choose, metrics, options, the page, and what is learned."""

import html
import importlib.util
import json
import random
import re

import pytest
import torch

from examples.common.results import read_results
from examples.learning_to_explain.bert import Pieces
from examples.learning_to_explain.choosing import METHODS, Chooser, gumbel_softmax, soft_subset
from examples.learning_to_explain.encoding import PADDING, UNKNOWN, Vocabulary, encode, number_of_words
from examples.learning_to_explain.metrics import random_choice, rarest_words, subset_metrics
from examples.learning_to_explain.options import PRESETS, parse
from examples.learning_to_explain.page import Explained, write_page
from examples.learning_to_explain.published import published
from examples.learning_to_explain.texts import Text

TEXTS = [
    Text(("a", "man", "Runs", ".", "he", "runs", "far"), 1, frozenset({2, 5, 6}), second=4),
    Text(("a", "man", "a", "dog"), 0, frozenset({3}), second=2),
    Text(("bird",), 2, frozenset({0})),
]


@pytest.fixture
def encoded():
    """The texts, at most two words chosen of each, the first cut off before its last word."""
    return encode(TEXTS, Vocabulary(TEXTS, 2, {}), classes=True, k="2", length=6)


def chooser(method):
    settings = dict.fromkeys(("beta", "temperature", "target_temperature"))
    return Chooser(method, 6, samples=3, noise="auto", relaxation=0.5, aimle={}, seed=0, **settings)


def test_encoding(encoded):
    assert encoded.mask.sum(1).tolist() == [6, 4, 1]
    assert encoded.k.tolist() == [2, 2, 1]
    assert encoded.ids[0, 2] == encoded.ids[0, 5] > UNKNOWN  # capitals do not matter
    assert encoded.ids[1, 3] == UNKNOWN  # it occurs but once
    assert (encoded.ids == PADDING).equal(~encoded.mask)
    assert encoded.features[0, :, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert encoded.features[0, :, 1].tolist() == [0, 0, 1, 0, 0, 1]
    assert encoded.features[1, 3, 2] > encoded.features[1, 1, 2] > encoded.features[1, 0, 2] > 0
    assert encoded.highlight[0].tolist() == [False, False, True, False, False, True]
    assert encoded.highlighted.tolist() == [3, 1, 1]
    two = encoded.rows(torch.tensor([2, 1]))
    assert two.ids.shape == two.mask.shape == (2, 4)
    assert two.targets.tolist() == [2, 0]


@pytest.mark.parametrize(("k", "words", "expected"), [("3", 10, 3), ("3", 2, 2), ("20%", 10, 2), ("1%", 5, 1)])
def test_number_of_words(k, words, expected):
    assert number_of_words(k, words) == expected


def test_metrics_by_hand(encoded):
    chosen = torch.tensor([[0.0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]])
    metrics = subset_metrics(chosen, encoded)
    assert metrics["subset_precision"] == pytest.approx(3 / 5)
    assert metrics["subset_recall"] == pytest.approx(3 / 5)  # one of five is behind the cut
    assert metrics["subset_f1"] == pytest.approx(3 / 5)
    assert subset_metrics(torch.zeros(3, 6), encoded)["subset_f1"] == 0


def test_random_choice_is_what_random_choices_have_on_average(encoded):
    generator = torch.Generator().manual_seed(0)
    layer = chooser("imle")
    drawn = [layer.best(torch.rand(3, 6, generator=generator), encoded.mask, encoded.k) for _ in range(2000)]
    assert torch.stack(drawn).mean(0) == pytest.approx(random_choice(encoded), abs=0.05)


def test_rarest_words(encoded):
    assert rarest_words(encoded)[1].tolist() == [0, 1, 0, 1, 0, 0]
    assert rarest_words(encoded, second_only=True)[0, 4:].tolist() == [1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_chooses_k_words_of_each_text_and_none_of_the_padding(encoded, method):
    layer = chooser(method)
    theta = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    chosen = layer(theta, encoded.mask, encoded.k)
    assert chosen.shape == (3, 3, 6)
    assert (chosen * ~encoded.mask.unsqueeze(1)).abs().max() == 0
    if method != "l2x":
        assert torch.allclose(chosen.sum(-1), encoded.k.unsqueeze(1).float(), atol=1e-4)
    best = layer.best(theta, encoded.mask, encoded.k)
    assert best.sum(1).tolist() == encoded.k.tolist()
    best_scores = theta.masked_fill(~encoded.mask, -9).sort(descending=True).values
    assert (theta * best).sum(1).detach() == pytest.approx(
        torch.stack([row[:k].sum() for row, k in zip(best_scores, encoded.k, strict=True)]).detach()
    )


@pytest.mark.parametrize("relaxed", [gumbel_softmax, soft_subset])
def test_cold_relaxations_choose_whole_words_the_more_likely_ones_more_often(relaxed):
    torch.manual_seed(0)
    chosen = relaxed(torch.tensor([[0.0, 2.0, 0.0, -1e30]]).expand(4000, -1), torch.full((4000,), 2), 0.01)
    assert chosen[:, 3].max() == 0
    assert ((chosen < 0.01) | (chosen > 0.99)).float().mean() > 0.97
    weights = torch.tensor([0.0, 2.0, 0.0]).softmax(0)
    with_replacement = 1 - (1 - weights[1]) ** 2
    first, other = weights[1], weights[0]
    without = first + 2 * other * first / (1 - other)
    expected = with_replacement if relaxed is gumbel_softmax else without
    assert chosen[:, 1].mean().item() == pytest.approx(expected.item(), abs=0.02)


def test_page(tmp_path):
    text = Text(("<b>", "so", "good", "indeed"), 1.0, frozenset({1, 2}), second=2)
    explained = [
        Explained(text, frozenset({2, 3}), "0.90", "1.00"),
        Explained(text, frozenset({1, 2}), "1.00", "1.00"),
        Explained(text, frozenset({0, 3}), "0.10", "1.00", wrong=True),
    ]
    write_page(tmp_path / "page.html", "A & B", "What it is.", explained, shown=9)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "A &amp; B" in page
    assert "http" not in page
    cards = re.findall("<article>(.*?)</article>", page, re.DOTALL)
    assert [re.search(r"<b>(\d+%)</b>", card)[1] for card in cards] == ["100%", "50%", "0%"]
    kinds = [dict(re.findall('<mark class="(.)">(.*?)</mark>', card)) for card in cards]
    assert kinds[1] == {"h": "so", "b": "good", "m": "indeed"}
    assert html.unescape(kinds[2]["m"]) in ("<b>", "indeed")
    assert ['class="wrong"' in card for card in cards] == [False, False, True]
    assert all(f".{kind} {{ background: #" in page for kind in "mhb")
    write_page(tmp_path / "page.html", "A", "B.", explained, shown=2)
    fewer = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r"<b>(\d+%)</b>", fewer) == ["100%", "0%"]
    assert "2 of 3 texts are shown" in fewer
    assert "by people" in fewer
    assert "struck out" in fewer
    write_page(tmp_path / "page.html", "A", "B.", explained, shown=2, planted=True, rated=True)
    planted = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "planted, not chosen" in planted
    assert "people" not in planted
    assert "struck out" not in planted


def options_of(monkeypatch, tmp_path, *arguments):
    monkeypatch.setattr("sys.argv", ["learning_to_explain", "--out", str(tmp_path), *arguments])
    return parse()[1]


def test_presets_are_what_was_published_but_for_what_is_given(monkeypatch, tmp_path):
    beer = options_of(monkeypatch, tmp_path, "--preset", "beer-imle")
    assert (beer.methods, beer.aspect, beer.k, beer.hidden, beer.beta) == (("imle",), 0, "10", 250, 1000)
    adaptive = options_of(monkeypatch, tmp_path, "--pres", "beer-aimle", "--seeds", "2", "--hidden", "9")
    assert (adaptive.methods, adaptive.aspect, adaptive.seeds, adaptive.hidden) == (("aimle-central",), 3, 2, 9)
    assert (adaptive.initial_beta, adaptive.step, adaptive.target_norm, adaptive.temperature) == (0, 1e-4, 1, 1)
    esnli = options_of(monkeypatch, tmp_path, "--preset", "esnli-imle", "--esnli", "x")
    assert (esnli.k, esnli.batch_size, esnli.length, esnli.predictor, esnli.features) == ("3", 256, 150, "mean", False)
    for preset in PRESETS.values():
        assert set(preset) <= set(vars(esnli))


def test_published_figures_say_in_what_the_set_up_differs(monkeypatch, tmp_path):
    as_published = ("--preset", "beer-imle", "--aspect", "1", "--epochs", "20", "--noise", "sog", "--beer", "x")
    hot = ("--temperature", "10", "--target-temperature", "10")
    assert [row.differs for row in published(options_of(monkeypatch, tmp_path, *as_published, *hot))] == ["", ""]
    rows = published(options_of(monkeypatch, tmp_path, *as_published, "--dropout", "0.5"))
    assert [row.differs for row in rows] == ["dropout, temperature, target_temperature", "dropout"]
    assert published(options_of(monkeypatch, tmp_path, *as_published, "--k", "5")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "0"], "--k: expected a number of words, or a share from 1% to 100%, got '0'"),
        (["--k", "101%"], "--k: expected a number of words, or a share"),
        (["--k", "400"], "--k: expected less than 350, the words that are seen of a text, got 400"),
        (["--encoder", "lstm"], "--encoder: expected conv, transformer or bert:NAME, got 'lstm'"),
        (["--encoder", "bert:"], "--encoder: expected conv, transformer or bert:NAME, got 'bert:'"),
        (["--encoder", "transformer", "--filters", 6], "--filters: expected a multiple of 4 for a transformer, got 6"),
        (["--kernel", 4], "--kernel: expected an odd number, got 4"),
        (["--dropout", 1], "--dropout: expected a number from 0 to below 1, got '1'"),
        (["--aspect", 4], "--aspect: invalid choice: '?4'?"),
        (["--preset", "esnli-imle"], "--preset esnli-imle: expected --esnli as data"),
        (["--preset", "beer-imle", "--esnli", "x"], "--preset beer-imle: expected beers as data"),
        (["--beer", ".", "--method", "all"], "--method supervised: needs highlights in the texts to learn from"),
        (["--beer", ".", "--esnli", "x"], "not allowed with argument"),
        (["--vectors", "nothing.txt", "--quick"], "expected word vectors, found no file at nothing.txt"),
        (["--method", "aimle", "--quick", "--initial-beta", -1], "initial_beta"),
    ],
)
def test_wrong_options_get_one_line(call, arguments, message):
    code, _, errors = call("learning_to_explain", *arguments)
    assert code == 2
    assert len(errors) == 1
    assert re.search(message, errors[0])


@pytest.fixture
def planted(tmp_path):
    """A file of pairs, in each of which one word says what is true."""
    rng, rows = random.Random(0), []
    signs = {"entailment": ("yes", "sure"), "neutral": ("maybe", "perhaps"), "contradiction": ("no", "never")}
    for _ in range(400):
        label = rng.choice(tuple(signs))
        tokens = rng.choices("abcdefghijklmnop", k=5) + [".", "It", *rng.choices("abcdefghijklmnop", k=3)]
        place = rng.randrange(len(tokens))
        rows.append({"tokens": [*tokens[:place], rng.choice(signs[label]), *tokens[place:]], "label": label})
        rows[-1]["highlight"] = [place]
    file = tmp_path / "planted.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "methods"), [("conv", ("imle", "l2x")), ("transformer", ("aimle",))])
def test_the_words_that_matter_are_found(call, tmp_path, planted, encoder, methods):
    small = "--filters 16 --embedding 16 --hidden 16 --epochs 15 --patience 15"
    plain = "--dropout 0.1 --word-dropout 0 --smoothing 0 --no-decay"
    arguments = ("--esnli", planted, "--k", 1, "--encoder", encoder, "--method", ",".join(methods), "--lr", 0.02)
    code, printed, errors = call("learning_to_explain", *arguments, *small.split(), *plain.split())
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    for method in methods:
        assert results.values(method, "subset_f1")[0] > 0.8 > 0.2 > results.values(method, "random_f1")[0]
        assert results.values(method, "test_error")[0] < 0.2
        assert (tmp_path / "out" / f"{method}.html").stat().st_size > 5_000
    assert any(line.startswith("page: ") for line in printed)


@pytest.mark.skipif(importlib.util.find_spec("transformers"), reason="transformers is installed")
def test_without_transformers_the_extra_is_named(call):
    code, _, errors = call("learning_to_explain", "--quick", "--encoder", "bert:some-model")
    assert code == 2
    assert len(errors) == 1
    assert '--encoder bert:some-model needs transformers: pip install "imle-solvers[hf]"' in errors[0]


@pytest.fixture
def tiny_bert(tmp_path):
    """The folder of a tiny model and its tokenizer."""
    transformers = pytest.importorskip("transformers", reason="needs transformers, extra hf")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "run", "##ning", "aroma", "the"]
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 8, "do_lower_case": True})
    )
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of transformers are not ours
def test_a_model_of_transformers(call, tmp_path, tiny_bert):
    texts = [Text(("the", "running", "aroma"), 0.5), Text(("the",) * 9, 0.5)]
    pieces, starts = Pieces(str(tiny_bert)).cut(texts, 9)
    assert pieces[0].tolist() == [2, 9, 6, 7, 8, 3, -1, -1]
    assert starts[0].tolist() == [1, 2, 4, *[-1] * 6]
    assert starts[1].tolist() == [1, 2, 3, 4, 5, 6, -1, -1, -1]  # cut off at eight pieces
    encoded = encode(texts, Vocabulary(texts, 1, {}), classes=False, k="2", length=9, cut=Pieces(str(tiny_bert)).cut)
    assert encoded.mask.sum(1).tolist() == [3, 6]
    code, _, errors = call("learning_to_explain", "--quick", "--encoder", f"bert:{tiny_bert}", "--epochs", 1)
    assert code == 0, errors
    assert read_results(tmp_path / "out" / "results.json").values("aimle", "subset_f1")


@pytest.mark.filterwarnings("default")
def test_a_folder_without_a_model_gets_one_line(call, tmp_path):
    pytest.importorskip("transformers", reason="needs transformers, extra hf")
    code, _, errors = call("learning_to_explain", "--quick", "--encoder", f"bert:{tmp_path}")
    assert code == 2
    assert "expected the folder or the name of a model" in errors[-1]
