"""What learning has to beat: a network that has not learned, random trees, and each word beside its neighbour."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from examples.parsing.data import Data
from examples.parsing.evaluation import evaluate, metrics_of
from examples.parsing.model import Scorer
from examples.parsing.sentences import Batch
from examples.parsing.trees import Trees


def baselines(scorer: Scorer, data: Data, kind: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Names and metrics of the baselines.

    Args:
        scorer: untrained.
        data: whose held-out sentences are parsed.
        kind: of the trees.
    """
    trees, batches = Trees(kind), data.batches
    yield "untrained", evaluate(scorer, batches, trees, cut=False)
    scores = [torch.randn(*batch.words.shape, batch.words.shape[1]).to(batch.words.device) for batch in batches]
    drawn = [trees.solve(each, batch) for each, batch in zip(scores, batches, strict=True)]
    yield "random tree", _solved(metrics_of(drawn, batches, trees))
    chains = [trees.true(_chain(batch)) for batch in batches]
    yield "word after", _solved(metrics_of(chains, batches, trees))


def _chain(batch: Batch) -> Batch:
    """Each word hangs on the next one, the last one on the root."""
    after = torch.arange(1, batch.words.shape[1] + 1).expand_as(batch.words)
    last = after > batch.lengths.unsqueeze(1)
    return batch._replace(heads=after.masked_fill(last, 0).to(batch.words.device))


def _solved(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in ("attachment", "exact")}
