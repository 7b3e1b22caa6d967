"""Parsing: sentences of the grammar, files in CoNLL-U, batches, losses."""

import argparse

import networkx as nx
import pytest
import torch

from examples.common.results import read_results
from examples.parsing.conllu import read_conllu
from examples.parsing.evaluation import are_trees, greedy, metrics_of
from examples.parsing.grammar import LONGEST, generate, held_out_pairs
from examples.parsing.losses import PLAIN, make_loss_of, make_trees
from examples.parsing.model import Scorer
from examples.parsing.sentences import Sentence, make_batch, make_vocabulary
from examples.parsing.trees import KINDS, Trees

SENTENCES = [
    Sentence(("some", "poets", "sleep", "in", "towers"), (2, 3, 0, 5, 3)),
    Sentence(("sleep",), (0,)),
    Sentence(("poets", "sleep"), (2, 0)),
    Sentence(("some", "poets", "like", "towers", "."), (2, 3, 0, 3, 3)),
]


@pytest.fixture
def batch():
    return make_batch(SENTENCES, make_vocabulary(SENTENCES), "cpu")


@pytest.mark.parametrize("held_out", [False, True])
def test_sentences_are_trees_with_one_root_and_none_comes_twice(held_out):
    sentences = generate(300, 3, held_out=held_out)
    assert len(set(sentences)) == 300
    assert sentences[:50] == generate(50, 3, held_out=held_out)
    assert sentences[:50] != generate(50, 4, held_out=held_out)
    crossing = 0
    for words, heads in sentences:
        assert len(words) == len(heads) <= LONGEST
        arcs = [(head, word) for word, head in enumerate(heads, start=1)]
        assert nx.is_arborescence(nx.DiGraph(arcs))
        assert heads.count(0) == 1
        spans = [tuple(sorted(arc)) for arc in arcs if arc[0]]
        crossing += any(a < c < b < d for a, b in spans for c, d in spans)
    assert 3 <= crossing <= 60


def test_what_is_tested_has_pairs_that_are_not_trained_on():
    trained = generate(300, 0, held_out=False)
    assert not any(held_out_pairs(sentence) for sentence in trained)
    tested = generate(100, 0, held_out=True)
    assert all(held_out_pairs(sentence) for sentence in tested)
    vocabulary = make_vocabulary(trained)
    words = [word for sentence in tested for word in sentence.words]
    assert sum(word in vocabulary for word in words) > 0.98 * len(words)


def test_a_sentence_has_the_same_scores_in_any_batch(batch):
    torch.manual_seed(0)
    scorer, vocabulary = Scorer(20, 8, 1, 0.5).eval(), make_vocabulary(SENTENCES)
    together = scorer(batch)
    for row, sentence in enumerate(SENTENCES):
        size = len(sentence.words) + 1
        alone = scorer(make_batch([sentence], vocabulary, "cpu"))[0]
        assert torch.allclose(together[row, :size, :size], alone, atol=1e-6)


def test_batches_have_the_trees_that_networkx_finds_for_each_sentence():
    sentences = generate(12, 1, held_out=False) + SENTENCES
    batch = make_batch(sentences, {}, "cpu")
    scores = torch.randn(len(sentences), *(batch.words.shape[1],) * 2, generator=torch.Generator().manual_seed(0))
    rooted, undirected = (Trees(kind).solve(scores, batch) for kind in KINDS)
    for row, sentence in enumerate(sentences):
        words = range(1, len(sentence.words) + 1)
        arcs = nx.DiGraph([(0, word, {"weight": scores[row, 0, word].item()}) for word in words])
        edges = nx.Graph()
        edges.add_nodes_from(words)
        for head in words:
            for word in set(words) - {head}:
                arcs.add_edge(head, word, weight=scores[row, head, word].item())
                edges.add_edge(head, word, weight=(scores[row, head, word] + scores[row, word, head]).item())
        best = nx.maximum_spanning_arborescence(arcs)
        assert set(map(tuple, rooted[row].nonzero().tolist())) == set(best.edges)
        found = {frozenset(pair) for pair in undirected[row].nonzero().tolist()}
        assert found == {frozenset(pair) for pair in nx.maximum_spanning_tree(edges).edges}


@pytest.mark.parametrize("kind", KINDS)
def test_true_trees_are_solved_for_and_exact(batch, kind):
    trees = Trees(kind)
    true = trees.true(batch)
    assert true.sum((1, 2)).tolist() == ([5, 1, 2, 5] if kind == "rooted" else [4, 0, 1, 4])
    solved, cut = trees.solve(4 * true - 1, batch), greedy(4 * true - 1, batch, trees)
    assert torch.equal(solved, true)
    assert torch.equal(cut, true)
    assert metrics_of([solved], [batch], trees) == {"attachment": 1.0, "exact": 1.0, "trees": 1.0}


def test_what_is_no_tree_is_told():
    batch = make_batch([Sentence(("a", "b", "c"), (2, 0, 2))] * 3, {}, "cpu")
    cycle = batch._replace(heads=torch.tensor([[0, 2, 0, 2], [0, 2, 1, 2], [0, 0, 0, 0]]))
    rooted, undirected = (Trees(kind) for kind in KINDS)
    assert are_trees(rooted.true(cycle), batch, rooted).tolist() == [True, False, True]
    assert are_trees(undirected.true(cycle), batch, undirected).tolist() == [True, True, False]
    metrics = metrics_of([rooted.true(cycle)], [batch], rooted)
    assert metrics == {"attachment": 6 / 9, "exact": 1 / 3, "trees": 2 / 3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["imle", "fenchel-young", PLAIN])
def test_losses_teach_the_heads(batch, kind, method):
    options = argparse.Namespace(trees=kind, beta=2.0, temperature=0.5)
    torch.manual_seed(0)
    trees = make_trees(method, options)
    loss_of = make_loss_of(method, trees, 2)
    scores = torch.zeros(4, 6, 6, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.3)
    for _ in range(40):
        optimizer.zero_grad()
        loss_of(scores, batch).backward()
        assert not scores.grad[2, :, 3:].any()  # of words that are not there
        optimizer.step()
    assert torch.equal(trees.solve(scores.detach(), batch), trees.true(batch))


def line(*columns):
    name, form, head = columns
    return "\t".join([str(name), form, "_", "_", "_", "_", str(head), "_", "_", "_"]) + "\n"


WHOLE = (
    "# text = don't\n"
    + "1-2\tdon't"
    + "\t_" * 8
    + "\n"
    + line(1, "do", 0)
    + line(2, "n't", 1)
    + "2.1\tsleep"
    + "\t_" * 8
    + "\n"
    + "\n"
    + line(1, "Käse", 0)
    + "\n"
)


@pytest.mark.parametrize(
    "written",
    [WHOLE.encode(), WHOLE.encode("utf-8-sig"), WHOLE.replace("\n", "\r\n").encode(), b"\n" + WHOLE.encode() + b"\n\n"],
    ids=["plain", "mark", "windows", "empty lines"],
)
def test_words_and_heads_are_read(tmp_path, written):
    (tmp_path / "own.conllu").write_bytes(written)
    assert read_conllu(tmp_path / "own.conllu") == [Sentence(("do", "n't"), (0, 1)), Sentence(("Käse",), (0,))]


MALFORMED = {
    "nothing": (None, "expected a file in CoNLL-U: No such file"),
    "empty": ("", "expected sentences in CoNLL-U, found none"),
    "comments": ("# text = a\n\n", "expected sentences in CoNLL-U, found none"),
    "encoding": (WHOLE.encode("latin-1"), "expected text in UTF-8, got the byte 0xe4 at"),
    "spaces": (WHOLE.replace("\t", " "), "line 2: expected 10 columns (ID, FORM"),
    "columns": (WHOLE.replace("\t_\n", "\n"), "line 2: expected 10 columns (ID, FORM"),
    "id": (WHOLE.replace("2\tn't", "x\tn't"), "line 4: expected an ID such as 2, 1-2 or 1.1, got 'x'"),
    "order": (WHOLE.replace("2\tn't", "3\tn't"), "line 4: expected the ID 2, got 3"),
    "no form": (WHOLE.replace("n't\t_\t_\t_\t_\t1", "\t_\t_\t_\t_\t1"), "line 4: expected a FORM, got none"),
    "blind": (
        WHOLE.replace("\t1\t", "\t_\t"),
        "line 4: expected HEAD, column 7, to be the ID of a word, or 0, got '_'",
    ),
    "range": (WHOLE.replace("\t1\t", "\t9\t"), "line 4: expected HEAD from 0 to 2, the last word, got 9"),
    "itself": (
        WHOLE.replace("\t1\t", "\t2\t"),
        'line 4: expected HEADs that lead to 0, a tree, got a cycle above "n\'t"',
    ),
    "cycle": (line(1, "a", 2) + line(2, "b", 1) + "\n", "line 1: expected HEADs that lead to 0, a tree, got a cycle"),
    "cut in a line": (WHOLE[:-10], "expected 10 columns (ID, FORM"),
    "cut after a line": (WHOLE[:-1], "line 8: expected an empty line after the last sentence, got the end"),
    "cut before its end": (WHOLE[:-2], "line 7: expected an end of the line, got the end of the file"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_files_get_one_line_before_work_starts(call, tmp_path, what):
    content, message = MALFORMED[what]
    path = tmp_path / "own.conllu"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, printed, errors = call("parsing", "--quick", "--conllu", path)
    assert (code, printed, len(errors)) == (2, [], 1)
    assert str(path) in errors[0]
    assert message in errors[0]


def test_several_roots_are_no_undirected_tree(call, tmp_path):
    path = tmp_path / "own.conllu"
    path.write_text(line(1, "a", 0) + line(2, "b", 0) + "\n")
    assert read_conllu(path) == [Sentence(("a", "b"), (0, 0))]
    code, _, errors = call("parsing", "--quick", "--conllu", path, "--trees", "undirected")
    assert (code, len(errors)) == (2, 1)
    assert "own.conllu, line 1: expected one word with HEAD 0 in the sentence, got 2" in errors[0]


def test_files_need_a_sentence_of_two_words(call, tmp_path):
    path, two, several = tmp_path / "own.conllu", tmp_path / "two.conllu", tmp_path / "several.conllu"
    path.write_text(line(1, "a", 0) + "\n")
    two.write_text(line(1, "a", 0) + line(2, "b", 1) + "\n")
    several.write_text(two.read_text() * 9 + path.read_text())
    for arguments, message in (
        (
            ["--conllu", path, "--conllu-test", two],
            "own.conllu: expected a sentence of two words or more to learn from",
        ),
        (["--conllu", two, "--conllu-test", path], "own.conllu: expected a sentence of two words or more held out"),
        (["--conllu", several], "several.conllu: expected a sentence of two words or more held out, got none among 1"),
    ):
        code, _, errors = call("parsing", "--quick", *arguments)
        assert (code, len(errors)) == (2, 1)
        assert message in errors[0]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_sentences_that_are_too_few_to_hold_some_out_are_counted(call, tmp_path, count):
    path = tmp_path / "own.conllu"
    path.write_text((line(1, "a", 0) + line(2, "b", 1) + "\n") * count)
    code, _, errors = call("parsing", "--quick", "--conllu", path)
    assert (code, len(errors)) == (2, 1)
    assert (
        "own.conllu: expected 10 sentences or more, 9 to learn from and the last to be held out, "
        f"found {count}; give held-out ones by --conllu-test FILE"
    ) in errors[0]
    path.write_text(path.read_text() * 10)
    assert len(read_conllu(path)) == 10 * count
    code, _, errors = call("parsing", "--quick", "--conllu", path, "--no-baseline", "--epochs", 1)
    assert code == 0, errors


@pytest.mark.parametrize("method", ["imle", PLAIN])
def test_a_batch_of_single_words_teaches_no_edge(method):
    trees = make_trees(method, argparse.Namespace(trees="undirected", beta=2.0, temperature=0.5))
    scores = torch.randn(1, 2, 2, requires_grad=True)
    make_loss_of(method, trees, 2)(scores, make_batch(SENTENCES[1:2], {}, "cpu")).backward()
    assert not scores.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_own_sentences_are_learned_from(call, tmp_path, kind):
    text = "".join(
        "".join(line(place, *word) for place, word in enumerate(zip(*sentence, strict=True), start=1)) + "\n"
        for sentence in generate(20, 0, held_out=False) + SENTENCES
    )
    (tmp_path / "own.conllu").write_text(text)
    code, _, errors = call("parsing", "--quick", "--conllu", tmp_path / "own.conllu", "--trees", kind, "--no-baseline")
    assert code == 0, errors
    results = read_results(tmp_path / "out" / "results.json")
    assert results.title.endswith(": own")
    assert results.methods == ["untrained", "random tree", "word after", "imle"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", -1], "--layers: expected 0 or more, got -1"),
        (["--dropout", 1], "--dropout: expected a share from 0 to below 1, got 1.0"),
        (["--conllu-test", "own.conllu"], "--conllu-test: expected --conllu FILE beside it"),
        (["--trees", "binary"], "invalid choice: 'binary'"),
        (["--method", "crf"], "unknown method 'crf'"),
    ],
    ids=["layers", "dropout", "test only", "trees", "method"],
)
def test_bad_options(call, arguments, message):
    code, _, errors = call("parsing", "--quick", *arguments)
    assert (code, len(errors)) == (2, 1)
    assert message in errors[0]
