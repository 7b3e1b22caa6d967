"""Training and evaluation."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from examples.common.checkpoints import Checkpoint
from examples.common.progress import progress_bar
from examples.common.stopping import EarlyStopping
from examples.learning_to_explain.bert import BertScorer
from examples.learning_to_explain.encoding import Encoded
from examples.learning_to_explain.metrics import subset_metrics, test_error
from examples.learning_to_explain.model import Explainer

EVALUATION_BATCH = 200


@dataclass
class Trained:
    """What a training came to.

    Attributes:
        seconds: of training, without evaluation.
        error: on the validation texts, before training and after each epoch.
        f1: on the annotated texts, likewise; only looked at.
    """

    seconds: float
    error: list[float]
    f1: list[float]


def train(
    model: Explainer,
    texts: Encoded,
    validation: Encoded,
    annotated: Encoded,
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    title: str,
) -> Trained:
    """Trains by Adam, until the validation loss has not improved for long; the model has its best weights afterwards.

    Args:
        model: both networks.
        texts: to learn from.
        validation: to stop by.
        annotated: to see how choices agree with people's, which nothing depends on.
        options: of the command line.
        checkpoint: where the state is kept.
        title: of the progress bar.
    """
    pretrained = list(model.scorer.body.parameters()) if isinstance(model.scorer, BertScorer) else []
    known = set(pretrained)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter not in known]
    groups = [{"params": learned}, {"params": pretrained, "lr": options.pretrained_lr}]
    optimizer = torch.optim.Adam(groups if pretrained else learned, lr=options.lr, eps=1e-7)  # eps as published
    rates = [group["lr"] for group in optimizer.param_groups]
    stopping = EarlyStopping(options.patience)
    parts = {"model": model, "optimizer": optimizer, "stopping": stopping}
    values = checkpoint.restore(parts)
    trained = Trained(values.get("seconds", 0.0), values.get("error", []), values.get("f1", []))

    def look() -> None:
        loss, error = evaluate(model, validation)
        trained.error.append(error)
        trained.f1.append(subset_metrics(choose(model, annotated), annotated)["subset_f1"])
        if len(trained.error) > 1:
            stopping.update(loss, model)

    if not trained.error:
        look()
    batches = -(-len(texts) // options.batch_size)
    with progress_bar(title, total=options.epochs * batches) as bar:
        bar.update((len(trained.error) - 1) * batches)
        while len(trained.error) <= options.epochs and not stopping.stop:
            started = time.perf_counter()
            model.train()
            share = (len(trained.error) - 1) / options.epochs if options.decay else 0.0
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 - share)
            for rows in torch.randperm(len(texts)).split(options.batch_size):
                loss = model.loss(texts.rows(rows))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update()
            trained.seconds += time.perf_counter() - started
            look()
            checkpoint.save(parts, seconds=trained.seconds, error=trained.error, f1=trained.f1)
            bar.set_postfix_str(f"validation error {trained.error[-1]:.3f}, F1 {trained.f1[-1]:.3f}")
        bar.update(bar.total - bar.n)
    stopping.restore(model)
    return trained


@torch.no_grad()
def choose(model: Explainer, texts: Encoded) -> Tensor:
    """The words that the model chooses, (N, L) of zeros and ones, on the CPU."""
    model.eval()
    chosen = torch.zeros(texts.mask.shape)
    for rows in torch.arange(len(texts)).split(EVALUATION_BATCH):
        part = model.choose(texts.rows(rows)).cpu()
        chosen[rows, : part.shape[1]] = part
    return chosen


@torch.no_grad()
def predict(model: Explainer, texts: Encoded) -> Tensor:
    """What the model predicts from the words that it chooses, (N, classes) of logits or (N,), on the CPU."""
    model.eval()
    batches = (texts.rows(rows) for rows in torch.arange(len(texts)).split(EVALUATION_BATCH))
    return torch.cat([model(batch, model.choose(batch)).cpu() for batch in batches])


@torch.no_grad()
def evaluate(model: Explainer, texts: Encoded) -> tuple[float, float]:
    """The mean loss, and `test_error`, of chosen words."""
    model.eval()
    total, batches = 0.0, (texts.rows(rows) for rows in torch.arange(len(texts)).split(EVALUATION_BATCH))
    predicted = []
    for batch in batches:
        chosen = model.choose(batch)
        total += float(model.losses(batch, chosen.unsqueeze(1)).sum())
        predicted.append(model(batch, chosen).cpu())
    return total / len(texts), test_error(torch.cat(predicted), texts.targets.cpu())
