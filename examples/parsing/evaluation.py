"""How well sentences are parsed."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from examples.common.results import Column
from examples.parsing.losses import candidates
from examples.parsing.model import Scorer
from examples.parsing.sentences import Batch
from examples.parsing.trees import Trees


def greedy(scores: Tensor, batch: Batch, trees: Trees) -> Tensor:
    """Decodes without a solver: each word's best head, or the undirected edges of positive score; matrices of arcs."""
    if trees.rooted:
        best = candidates(scores, batch).argmax(1)
        return trees.true(batch._replace(heads=best))
    found = torch.zeros_like(scores)
    part = trees.over(batch)
    found[:, part.tails, part.heads] = (trees.theta(scores, part) > 0).to(scores)  # which padding is not
    return found


def are_trees(found: Tensor, batch: Batch, trees: Trees) -> Tensor:
    """(B,) whether matrices of arcs are trees that span the words, and of rooted ones the root."""
    kind = nx.DiGraph if trees.rooted else nx.Graph
    check = nx.is_arborescence if trees.rooted else nx.is_tree
    answers = []
    for arcs, length in zip(found.cpu().numpy(), batch.lengths.tolist(), strict=True):
        graph = kind()
        graph.add_nodes_from(range(0 if trees.rooted else 1, length + 1))
        graph.add_edges_from(np.argwhere(arcs).tolist())
        answers.append(check(graph))
    return torch.tensor(answers)


COLUMNS = {
    "attachment": Column("attachment", ".1%"),
    "exact": Column("exact trees", ".1%"),
    "greedy_attachment": Column("attachment, greedy", ".1%"),
    "greedy_exact": Column("exact, greedy", ".1%"),
    "greedy_trees": Column("trees, greedy", ".1%"),
}


def metrics_of(found: Sequence[Tensor], batches: Sequence[Batch], trees: Trees) -> dict[str, float]:
    """Attachment and shares of exact and of any trees, of matrices of arcs for each batch.

    Attachment is the share of arcs that are right, 2 right / (found + true) where their numbers differ.
    """
    right = total = 0.0
    exact, valid = [], []
    for arcs, batch in zip(found, batches, strict=True):
        true = trees.true(batch)
        right += (arcs * true).sum().item()
        total += (arcs + true).sum().item()
        exact.append((arcs == true).flatten(1).all(1))
        valid.append(are_trees(arcs, batch, trees))
    shares = {"exact": exact, "trees": valid}
    return {"attachment": 2 * right / total} | {
        name: torch.cat(each).double().mean().item() for name, each in shares.items()
    }


@torch.no_grad()
def evaluate(scorer: Scorer, batches: Sequence[Batch], trees: Trees, *, cut: bool) -> dict[str, float]:
    """Parses batches by the solver, and without.

    Args:
        scorer: of arcs.
        batches: held-out sentences.
        trees: the layers.
        cut: whether undirected edges are there by the sign of their score, as a loss on each edge has it; where they
            are not, there is no parse without the solver.
    """
    scorer.eval()
    scores = [scorer(batch) for batch in batches]
    pairs = list(zip(scores, batches, strict=True))
    solved = metrics_of([trees.solve(each, batch) for each, batch in pairs], batches, trees)
    metrics = {name: solved[name] for name in ("attachment", "exact")}
    if trees.rooted or cut:
        without = metrics_of([greedy(each, batch, trees) for each, batch in pairs], batches, trees)
        metrics |= {f"greedy_{name}": value for name, value in without.items()}
    return metrics
